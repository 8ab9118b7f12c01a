/** Which servers a client may connect to, found by what it needs (C8). */
import { createHash } from "node:crypto"
import type { Criteria, DiscoveredServer, DiscoveryPage, DiscoveryQuery, DiscoverySort } from "@broker/domain/Discovery"
import { pathKey } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor, Timestamp } from "@broker/domain/Primitives"
import { type Location, nameKey, type ServerId, ServerNotFound } from "@broker/domain/Server"
import { Cache, Context, Duration, Effect, Exit, Layer, Schema, Stream } from "effect"
import * as Cursor from "../Cursor.ts"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import { Signals } from "../database/Signals.ts"
import * as DiscoverySql from "./DiscoverySql.ts"
import { discoveryTopic } from "./DiscoveryTopic.ts"

/** Answers that a node remembers; the least recently given are forgotten first. */
const capacity = 2_000

const defaultLimit = 50

/** Entity tags see loads in steps of this size: less is no reason to read a list again. */
const loadStep = 0.05

export class Discovery extends Context.Service<
  Discovery,
  {
    /** A page of available servers, and a weak entity tag (RFC 9110) that changes when more than last-seen does. */
    list(
      organizationId: OrganizationId,
      query: DiscoveryQuery
    ): Effect.Effect<{ readonly page: DiscoveryPage; readonly etag: string }, InvalidCursor>
    /** One server, if it is available. */
    get(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<{ readonly server: DiscoveredServer; readonly etag: string }, ServerNotFound>
    /** The best servers for a connection, best first, with room for one more; never from a cache. */
    candidates(
      organizationId: OrganizationId,
      criteria: Criteria,
      limit: number
    ): Effect.Effect<ReadonlyArray<DiscoveredServer>>
  }
>()("@broker/core/discovery/Discovery") {
  static readonly layer = Layer.effect(
    Discovery,
    Effect.gen(function* () {
      const signals = yield* Signals
      const policy = yield* ConnectionsPolicy
      const statements = yield* DiscoverySql.make

      /** The servers of a list from a position on; by distance, those without one come last (G2). */
      const search = Effect.fn("Discovery.search")(function* (question: Question, count: number, withRoom: boolean) {
        const { after, criteria, organizationId, place, sort } = question
        const common = { organizationId, criteria, place, count, withRoom, descending: sort.startsWith("-") }
        if (sort !== "nearest") return yield* statements.page({ ...common, order: orderOf(sort), after })
        const isBehind = after !== null && after[0] === nowhere
        const placed = isBehind ? [] : yield* statements.page({ ...common, order: "distance", after })
        if (placed.length === count) return placed
        const placeless = yield* statements.page({
          ...common,
          order: "placeless",
          after: isBehind ? after : null,
          count: count - placed.length
        })
        return [...placed, ...placeless]
      })

      const read = Effect.fn("Discovery.list")(
        function* (question: Question) {
          const { limit, place, sort } = question
          const rows = yield* search(question, limit + 1, false)
          const { items, nextCursor } = Cursor.page(rows, limit, ({ server, sortKey }) => [
            `${listName(sort, place)} ${sortKey}`,
            server.id
          ])
          const page = { items: items.map(({ server }) => server), nextCursor }
          return { page, etag: entityTag({ ...question, nextCursor }, page.items) }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const answers = yield* Cache.makeWith(read, {
        capacity,
        // A failure is nobody's answer.
        timeToLive: (exit) => (Exit.isSuccess(exit) ? policy.discoveryFreshness : Duration.zero)
      })

      // Whatever server changed may have been in any answer, or be missing in it.
      yield* Stream.merge(signals.subscribe("server"), signals.subscribe(discoveryTopic)).pipe(
        Stream.runForEach(() => Cache.invalidateAll(answers)),
        Effect.forkScoped
      )

      const list = Effect.fnUntraced(function* (organizationId: OrganizationId, query: DiscoveryQuery) {
        const { cursor = null, limit = defaultLimit, ...criteria } = query
        const question = ask(organizationId, criteria, limit, criteria.near === undefined ? "name" : "nearest")
        const position = yield* Cursor.decode(cursor)
        return yield* Cache.get(answers, { ...question, after: yield* placeIn(question, position) })
      })

      const get = Effect.fn("Discovery.get")(
        function* (organizationId: OrganizationId, id: ServerId) {
          const server = yield* statements.find({ organizationId, id })
          return { server, etag: entityTag({ organizationId, id }, [server]) }
        },
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const candidates = Effect.fn("Discovery.candidates")(
        function* (organizationId: OrganizationId, criteria: Criteria, limit: number) {
          const rows = yield* search(ask(organizationId, criteria, limit, "nearest"), limit, true)
          return rows.map(({ server }) => server)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Discovery.of({ list, get, candidates })
    })
  )
}

/** What was asked, with all that was left open decided, in one spelling: what answers are remembered by. */
interface Question {
  readonly organizationId: OrganizationId
  readonly criteria: Omit<Criteria, "near" | "sort">
  readonly sort: DiscoverySort
  readonly place: typeof Location.Type | null
  readonly limit: number
  readonly after: Cursor.Position | null
}

const sorted = (words: ReadonlyArray<string>) => [...new Set(words)].sort()

const ask = (
  organizationId: OrganizationId,
  { capability, group, label, minVersion, near, q, sort: wanted, status, tag }: Criteria,
  limit: number,
  otherwise: DiscoverySort
): Question => {
  // Nothing tells yet where a request came from.
  const place = near === undefined || near === "me" ? null : near
  const sort = wanted ?? otherwise
  return {
    organizationId,
    criteria: {
      ...(status === undefined ? {} : { status: [...new Set(status)].sort() }),
      ...(group === undefined ? {} : { group: pathKey(group) }),
      ...(tag === undefined ? {} : { tag: sorted(tag) }),
      ...(label === undefined ? {} : { label: sorted(label) }),
      ...(capability === undefined ? {} : { capability: sorted(capability) }),
      ...(q === undefined ? {} : { q: nameKey(q) }),
      ...(minVersion === undefined ? {} : { minVersion })
    },
    sort: sort === "nearest" && place === null ? "load" : sort,
    place,
    limit,
    after: null
  }
}

const orderOf = (sort: Exclude<DiscoverySort, "nearest">) => sort.replace("-", "") as "name" | "load" | "lastSeen"

/** Stands in a cursor for the distance of a server that has none. */
const nowhere = "Infinity"

const Amount = Schema.String.check(Schema.isPattern(/^\d{1,9}(\.\d{1,20})?(e-\d{1,2})?$/u))

/** What the servers of a list stand by, as text: a cursor comes from outside. */
const sortKeys = {
  name: Schema.String,
  load: Amount,
  lastSeen: Timestamp.check(
    // A 30th of February passes for a day of March here, and for an error in PostgreSQL.
    Schema.makeFilter((text) => /^2\d{3}/.test(text) && new Date(text).toISOString().slice(0, 19) === text.slice(0, 19))
  ),
  nearest: Schema.Union([Schema.Literal(nowhere), Amount])
}

/** Says in a cursor which list it is of: a position in one is none in another. */
const listName = (sort: DiscoverySort, place: typeof Location.Type | null) =>
  sort === "nearest" && place !== null ? `${sort}@${place.latitude},${place.longitude}` : sort

/** Where a cursor stands in the list that is asked for. */
const placeIn = ({ place, sort }: Question, position: Cursor.Position | null) => {
  if (position === null) return Effect.succeed(null)
  const [text, id] = position
  const name = `${listName(sort, place)} `
  const key = text.slice(name.length)
  return text.startsWith(name) && Schema.is(sortKeys[sort.replace("-", "") as keyof typeof sortKeys])(key)
    ? Effect.succeed([key, id] as const)
    : Effect.fail(new InvalidCursor())
}

/** Of what was asked and what it came to, but for what changes all the time and matters to nobody. */
const entityTag = (question: object, servers: ReadonlyArray<DiscoveredServer>) => {
  const weighty = servers.map(({ lastSeenAt: _, load, ...server }) => ({
    ...server,
    load: Math.round(load / loadStep)
  }))
  const digest = createHash("sha256")
    .update(JSON.stringify([question, weighty]))
    .digest("base64url")
  return `W/"${digest.slice(0, 27)}"`
}
