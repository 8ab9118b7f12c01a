import { randomUUID } from "node:crypto"
import { Servers } from "@broker/core/servers/Servers"
import { ServerSort, type ServersQuery } from "@broker/domain/Fleet"
import type { OrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"

/** A server as far as its place in a list goes. Names come twice, as retired servers keep theirs. */
const Row = Schema.Struct({
  name: Schema.Literals(["ams", "fra", "lon"]),
  /** Minutes; null for a server that was never heard. */
  seen: Schema.NullOr(Schema.Literals([0, 1, 2]))
})
type Row = typeof Row.Type

const Rows = Schema.Array(Row).check(Schema.isMaxLength(14))
const Limit = Schema.Literals([1, 2, 3, 5, 200])

interface Placed extends Row {
  readonly id: string
}

const put = Effect.fnUntraced(function* (organizationId: OrganizationId, rows: ReadonlyArray<Row>) {
  const sql = yield* SqlClient.SqlClient
  const placed = rows.map((row): Placed => ({ ...row, id: randomUUID() }))
  yield* sql`
    with given as (
      select (row ->> 'id')::uuid as id, row ->> 'name' as name,
             '2026-01-01T00:00:00Z'::timestamptz + make_interval(mins => (row ->> 'seen')::int) as seen
        from jsonb_array_elements(${JSON.stringify(placed)}::jsonb) as row
    ), server as (
      insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                           public_key, endpoints, capabilities, tags, labels, registered_at)
      select id, ${organizationId}, name, name, 'retired', now(), 'serving', now(),
             sha256(id::text::bytea), '[]', '{}', '{}', '{}', now()
        from given
    )
    insert into server_presence (server_id, liveness_since, last_seen_at) select id, now(), seen from given`
  return placed
})

const remove = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  for (const id of ids) {
    yield* sql`delete from server_transitions where server_id = ${id}`
    yield* sql`delete from server_verifications where server_id = ${id}`
    yield* sql`delete from server_presence where server_id = ${id}`
    yield* sql`delete from servers where id = ${id}`
  }
})

const page = Effect.fnUntraced(function* (organizationId: OrganizationId, query: Partial<ServersQuery>) {
  const servers = yield* Servers
  return yield* servers.list(organizationId, { ...Fixtures.everyServer, ...query })
})

/** All pages one after the other, with something happening between any two. */
const walk = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  query: Pick<ServersQuery, "sort" | "limit">,
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

const keyOf = (sort: ServerSort) => (row: Placed) =>
  sort.endsWith("name") ? row.name : sort.endsWith("lastSeen") ? `${row.seen ?? "!"}` : row.id

/** The order by the rule: the key, then the id, both ways round. */
const sorted = (rows: ReadonlyArray<Placed>, sort: ServerSort) => {
  const key = keyOf(sort)
  const text = (row: Placed) => `${key(row)} ${row.id}`
  const ids = rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)).map(({ id }) => id)
  return sort.startsWith("-") ? ids.reverse() : ids
}

const encoded = (position: unknown) => Base64Url.encode(JSON.stringify(position))
const uuid = "019845e1-682f-7b02-a706-3b2422d13aec"

layer(Fixtures.layer)("Pages of servers", (it) => {
  it.effect.prop(
    "C8 hold every server once, in a total order, whatever the sort and the size",
    [Rows, ServerSort, Limit],
    ([rows, sort, limit]) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const placed = yield* put(organizationId, rows)
        assert.deepStrictEqual(yield* walk(organizationId, { sort, limit }), sorted(placed, sort))
      }),
    { arbitrary: { runs: 60, size: 14, maxShrinks: 40 } }
  )

  it.effect.prop(
    "C8 hold every server that stays once, though others come and go between pages",
    [Rows, Rows, Rows, ServerSort, Limit],
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
    { arbitrary: { runs: 40, size: 10, maxShrinks: 40 } }
  )

  it.effect("the last page says that it is the last, also when it is full", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, [
        { name: "ams", seen: null },
        { name: "fra", seen: 1 }
      ])
      assert.isNull((yield* page(organizationId, { limit: 2 })).nextCursor)
    })
  )

  const cursors: ReadonlyArray<readonly [what: string, cursor: string]> = [
    ["is empty", ""],
    ["is no base64url", "!"],
    ["is no JSON", Base64Url.encode("fra")],
    ["has another shape", encoded(["fra"])],
    ["has no id", encoded(["fra", "1"])],
    ["has a quote for an id", encoded(["fra", "'"])],
    ["holds NUL", encoded(["fra\u0000", uuid])],
    ["holds half a surrogate pair", encoded(["\ud800", uuid])],
    ["is very long", encoded(["a".repeat(5_000), uuid])]
  ]
  it.effect.each(cursors)("a cursor that %s is refused as such", ([, cursor]) =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const refused = yield* Effect.flip(page(organizationId, { cursor }))
      assert.strictEqual(refused.code, "invalid_cursor")
    })
  )

  it.effect.each(["lastSeen", "-lastSeen", "registered", "-registered"] as const)(
    "a cursor of another sort is refused by %s",
    (sort) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        yield* put(organizationId, [
          { name: "ams", seen: 0 },
          { name: "fra", seen: 1 }
        ])
        const { nextCursor } = yield* page(organizationId, { sort: "name", limit: 1 })
        const refused = yield* Effect.flip(page(organizationId, { sort, cursor: nextCursor }))
        assert.strictEqual(refused.code, "invalid_cursor")
      })
  )

  it.effect("A5 a cursor of another organization shows nothing of it", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* Fixtures.organization, yield* Fixtures.organization]
      yield* put(one, [
        { name: "ams", seen: 0 },
        { name: "fra", seen: 1 }
      ])
      const { nextCursor } = yield* page(one, { limit: 1 })
      assert.deepStrictEqual((yield* page(two, { cursor: nextCursor })).items, [])
    })
  )
})
