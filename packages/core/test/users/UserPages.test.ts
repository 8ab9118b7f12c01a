import { randomUUID } from "node:crypto"
import { Users } from "@broker/core/users/Users"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { UserName, UserSort, type UsersQuery } from "@broker/domain/User"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { client, connect, gateway } from "../connections/parties.ts"

const { personalKey, signedIn, unique, user } = Fixtures

/** A user as far as their place in a list goes. */
const Row = Schema.Struct({
  name: Schema.Literals(["Ada", "Grace", "Zoë"]),
  /** Minutes; null for a user who was never seen. */
  seen: Schema.NullOr(Schema.Literals([0, 1, 2]))
})

const Rows = Schema.Array(Row).check(Schema.isMaxLength(14))
const Limit = Schema.Literals([1, 2, 3, 5, 200])

interface Placed {
  readonly id: string
  readonly name: string
  readonly seen: number | null
}

const put = Effect.fnUntraced(function* (organizationId: OrganizationId, rows: ReadonlyArray<typeof Row.Type>) {
  const sql = yield* SqlClient.SqlClient
  const placed = rows.map((row): Placed => ({ ...row, id: randomUUID() }))
  yield* sql`
    insert into users (id, organization_id, name, name_key, state_since, created_at, last_seen_at)
    select (row ->> 'id')::uuid, ${organizationId}, row ->> 'name', lower(row ->> 'name'), now(), now(),
           '2026-01-01T00:00:00Z'::timestamptz + make_interval(mins => (row ->> 'seen')::int)
      from jsonb_array_elements(${JSON.stringify(placed)}::jsonb) as row`
  return placed
})

const remove = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  for (const id of ids) yield* sql`delete from users where id = ${id}`
})

const page = Effect.fnUntraced(function* (organizationId: OrganizationId, query: Partial<UsersQuery> = {}) {
  const users = yield* Users
  return yield* users.list(organizationId, { text: "", states: [], sort: "name", limit: 50, cursor: null, ...query })
})

const names = (organizationId: OrganizationId, query: Partial<UsersQuery>) =>
  Effect.map(page(organizationId, query), ({ items }) => items.map(({ name }): string => name))

/** All pages one after the other, with something happening between any two. */
const walk = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  query: Pick<UsersQuery, "sort" | "limit">,
  between: Effect.Effect<void, unknown, SqlClient.SqlClient> = Effect.void
) {
  const ids: Array<string> = []
  let cursor: string | null = null
  do {
    const { items, nextCursor }: Effect.Success<ReturnType<typeof page>> = yield* page(organizationId, {
      ...query,
      cursor
    })
    ids.push(...items.map(({ id }) => id))
    cursor = nextCursor
    yield* between
  } while (cursor !== null && ids.length < 100)
  return ids
})

/** The order by the rule: the key, then the id, both ways round. */
const sorted = (rows: ReadonlyArray<Placed>, sort: UserSort) => {
  const key = (row: Placed) =>
    sort.endsWith("name") ? row.name.toLowerCase() : sort.endsWith("lastSeen") ? `${row.seen ?? "!"}` : row.id
  const text = (row: Placed) => `${key(row)} ${row.id}`
  const ids = rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)).map(({ id }) => id)
  return sort.startsWith("-") ? ids.reverse() : ids
}

layer(Fixtures.layer)("Pages of users", (it) => {
  it.effect.prop(
    "C8 hold every user who stays once, in a total order, though others come and go between pages",
    [Rows, Rows, Rows, UserSort, Limit],
    ([staying, coming, going, sort, limit]) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const stay = yield* put(organizationId, staying)
        const leaving = (yield* put(organizationId, going)).map(({ id }) => id)
        const arriving = [...coming]
        const between = Effect.gen(function* () {
          const next = arriving.pop()
          if (next !== undefined) yield* put(organizationId, [next])
          yield* remove(leaving.splice(0, 1))
        })
        const ids = yield* walk(organizationId, { sort, limit }, between)
        const known = new Set(stay.map(({ id }) => id))
        assert.deepStrictEqual(
          ids.filter((id) => known.has(id)),
          sorted(stay, sort)
        )
      }),
    { arbitrary: { runs: 60, size: 12, maxShrinks: 40 } }
  )

  it.effect("a user is found by a part of the name, folded, or of the e-mail address, or by the id", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const one = yield* user({ organizationId, name: UserName.make("Ada Straße"), email: "Lovelace@example.com" })
      yield* user({ organizationId, name: UserName.make("Grace"), email: "hopper@example.com" })
      for (const text of ["STRASSE", "lace@EX", one.id, "  ada "]) {
        assert.deepStrictEqual(yield* names(organizationId, { text }), ["Ada Straße"], text)
      }
    })
  )

  it.effect("what is searched for is taken literally", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      yield* user({ organizationId, name: UserName.make("100%") })
      yield* user({ organizationId, name: UserName.make("1000") })
      assert.deepStrictEqual(yield* names(organizationId, { text: "0%" }), ["100%"])
    })
  )

  it.effect("users are found by their state", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const organizationId = yield* Fixtures.organization
      const [one] = [yield* user({ organizationId }), yield* user({ organizationId })]
      yield* users.suspend(organizationId, one.id, "")
      assert.deepStrictEqual(yield* names(organizationId, { states: ["suspended"] }), [one.name])
    })
  )

  it.effect("the longest names have a cursor too", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      // One character that folds into eighteen.
      const name = UserName.make("\u{fdfa}".repeat(128))
      yield* user({ organizationId, name })
      yield* user({ organizationId, name })
      const first = yield* page(organizationId, { limit: 1 })
      assert.isAtMost(first.nextCursor?.length ?? 0, 1_024)
      const second = yield* page(organizationId, { limit: 1, cursor: first.nextCursor })
      assert.notStrictEqual(second.items[0]?.id, first.items[0]?.id)
    })
  )

  it.effect("each row counts the keys that can be used, the devices and the live connections", () =>
    Effect.gen(function* () {
      const server = yield* gateway()
      const someone = yield* client()
      yield* connect(someone, { serverId: server.id })
      const { items } = yield* page(defaultOrganizationId, { text: someone.userId })
      assert.deepStrictEqual(
        items.map(({ devices, keys, liveConnections }) => ({ devices, keys, liveConnections })),
        [{ devices: 1, keys: 1, liveConnections: 1 }]
      )
    })
  )

  it.effect("a key that is over is not counted", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const owner = yield* user({ organizationId })
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* personalKey(owner)
      yield* personalKey(owner)
      yield* sql`update personal_keys set revoked_at = now() where id = ${id}`
      yield* signedIn({ user: owner })
      const { items } = yield* page(organizationId)
      assert.deepStrictEqual(
        items.map(({ devices, keys }) => ({ devices, keys })),
        [{ devices: 1, keys: 2 }]
      )
    })
  )

  it.effect.each(["", "!", Base64Url.encode("ada"), Base64Url.encode('["ada","1"]')])(
    "the cursor %o is refused as such",
    (cursor) =>
      Effect.gen(function* () {
        const refused = yield* Effect.flip(page(defaultOrganizationId, { cursor }))
        assert.strictEqual(refused.code, "invalid_cursor")
      })
  )

  it.effect.each(["lastSeen", "-lastSeen", "created", "-created"] as const)(
    "a cursor of another sort is refused by %s",
    (sort) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        yield* user({ organizationId, name: UserName.make(unique("ada")) })
        yield* user({ organizationId })
        const { nextCursor } = yield* page(organizationId, { limit: 1 })
        const refused = yield* Effect.flip(page(organizationId, { sort, cursor: nextCursor }))
        assert.strictEqual(refused.code, "invalid_cursor")
      })
  )

  it.effect("A5 a cursor of another organization shows nothing of it", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* Fixtures.organization, yield* Fixtures.organization]
      yield* user({ organizationId: one })
      yield* user({ organizationId: one })
      const { nextCursor } = yield* page(one, { limit: 1 })
      assert.deepStrictEqual((yield* page(two, { cursor: nextCursor })).items, [])
    })
  )
})
