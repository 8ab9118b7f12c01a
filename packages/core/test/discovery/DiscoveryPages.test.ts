import { Discovery } from "@broker/core/discovery/Discovery"
import { type DiscoveryPage, type DiscoveryQuery, DiscoverySort } from "@broker/domain/Discovery"
import type { OrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { put, type Row, rewrite } from "./fleet.ts"

const here = { latitude: 0, longitude: 0 }

/** A server as far as its place in a list goes; few values, so that ties are common. */
const Standing = Schema.Struct({
  live: Schema.Literals([0, 1, 3]),
  seen: Schema.Literals([0, 1, 2]),
  /** Degrees of longitude from here; null without a location. */
  away: Schema.NullOr(Schema.Literals([0, 10, 20])),
  tagged: Schema.Boolean
})
type Standing = typeof Standing.Type

const Standings = Schema.Array(Standing).check(Schema.isMaxLength(10))
const Limit = Schema.Literals([1, 2, 3, 50])

/** What happens to the servers that change, one after the other. */
const Change = Schema.Union([
  Schema.TaggedStruct("Join", { as: Standing }),
  Schema.TaggedStruct("Become", {
    which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
    as: Standing
  }),
  Schema.TaggedStruct("Rename", { which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })) }),
  Schema.TaggedStruct("Suspend", { which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })) })
])
const Changes = Schema.Array(Change).check(Schema.isMaxLength(12))

let count = 0
/** Names are unique in an organization; these fall anywhere among each other. */
const name = () => {
  count += 1
  return `${(count * 7_919) % 1_000}-${count}`
}

const row = ({ away, live, seen, tagged }: Standing, called = name()): Row => ({
  name: called,
  live,
  limit: 4,
  seen,
  location: away === null ? null : { latitude: 0, longitude: away },
  tags: tagged ? ["eu"] : []
})

const place = Effect.fnUntraced(function* (organizationId: OrganizationId, standings: ReadonlyArray<Standing>) {
  const rows = standings.map((standing) => row(standing))
  const ids = yield* put(organizationId, rows)
  return rows.map((placed, at) => ({ ...placed, id: ids[at] ?? "" }))
})

/** All pages one after the other, with something happening between any two. */
const walk = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  query: DiscoveryQuery,
  between: Effect.Effect<void, unknown, SqlClient.SqlClient> = Effect.void
) {
  const discovery = yield* Discovery
  const ids: Array<ServerId> = []
  let cursor: string | null = null
  do {
    const asked: DiscoveryQuery = cursor === null ? query : { ...query, cursor }
    const { page }: { readonly page: DiscoveryPage } = yield* discovery.list(organizationId, asked)
    ids.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor
    yield* between
  } while (cursor !== null && ids.length < 100)
  return ids
})

type Placed = Effect.Success<ReturnType<typeof place>>[number]

const keyOf = (sort: DiscoverySort) => (server: Placed) =>
  ({
    name: server.name,
    load: `${server.live}`,
    lastSeen: `${server.seen}`,
    nearest: server.location == null ? "none" : `${server.location.longitude}`.padStart(3, "0")
  })[sort.replace("-", "") as "name" | "load" | "lastSeen" | "nearest"]

/** The order by the rule: the key, then the id, both ways round. */
const sorted = (servers: ReadonlyArray<Placed>, sort: DiscoverySort) => {
  const key = keyOf(sort)
  const text = (server: Placed) => `${key(server)} ${server.id}`
  const ids = servers.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)).map(({ id }) => id)
  return sort.startsWith("-") ? ids.reverse() : ids
}

layer(Fixtures.layer)("Pages of discovery", (it) => {
  it.effect.prop(
    "C8 hold every server that stays as it was once, in order, while others join, change, and go between pages",
    [Standings, Standings, Changes, DiscoverySort, Limit, Schema.Boolean],
    ([staying, moving, changes, sort, limit, filtered]) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const stay = yield* place(organizationId, staying)
        const others = yield* place(organizationId, moving)
        const next = [...changes]
        const change = Effect.gen(function* () {
          const step = next.pop()
          if (step === undefined) return
          if (step._tag === "Join") {
            yield* place(organizationId, [step.as])
            return
          }
          const other = others[step.which]
          if (other === undefined) return
          const { id, ...was } = other
          if (step._tag === "Become") yield* rewrite(organizationId, id as ServerId, row(step.as, was.name))
          if (step._tag === "Rename") yield* rewrite(organizationId, id as ServerId, { ...was, name: name() })
          if (step._tag === "Suspend")
            yield* rewrite(organizationId, id as ServerId, { ...was, admission: "suspended" })
        })
        const query = { sort, limit, near: here, ...(filtered ? { tag: ["eu"] } : {}) }
        const ids = yield* walk(organizationId, query, Effect.andThen(change, change))
        const unchanged = stay.filter(({ tags }) => !filtered || tags?.includes("eu"))
        const known = new Set<string>(unchanged.map(({ id }) => id))
        assert.deepStrictEqual<ReadonlyArray<string>>(
          ids.filter((id) => known.has(id)),
          sorted(unchanged, sort)
        )
      }),
    { arbitrary: { runs: 80, size: 12, maxShrinks: 60 } }
  )

  it.effect.prop(
    "C8 hold every server once when nothing changes",
    [Standings, DiscoverySort, Limit],
    ([standings, sort, limit]) =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const servers = yield* place(organizationId, standings)
        assert.deepStrictEqual<ReadonlyArray<string>>(
          yield* walk(organizationId, { sort, limit, near: here }),
          sorted(servers, sort)
        )
      }),
    { arbitrary: { runs: 60, size: 12, maxShrinks: 60 } }
  )
})
