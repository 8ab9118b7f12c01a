/** The fleet as a whole: counts, what needs a person, and the live picture of it. */

import type { ConnectionCounts, LedgerConnection } from "@broker/domain/Connection"
import type { LiveEvent, Overview, Watch } from "@broker/domain/Fleet"
import type { OrganizationId } from "@broker/domain/Organization"
import { FleetServer, ServerStatus } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Equal, Exit, Layer, Schema, Stream } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Connections } from "../connections/Connections.ts"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import * as ConnectionsSql from "../connections/ConnectionsSql.ts"
import { FleetGuards } from "../fleet-guard/FleetGuards.ts"
import * as RegistrationKeysSql from "../registration-keys/RegistrationKeysSql.ts"
import * as ServersSql from "../servers/ServersSql.ts"

/** How often the live picture looks again. The look is the truth; nothing can be missed between two of them. */
const lookEvery = Duration.seconds(1)

/** An overview is shared by all who look at it within this time. */
const overviewLifetime = Duration.millis(900)

const attentionLimit = 8
const transitionsLimit = 20

/** What somebody who watches was told last. */
interface Told {
  overview: Overview | undefined
  total: number | undefined
  readonly servers: Map<string, FleetServer>
  readonly connections: Map<string, LedgerConnection>
  connecting: { readonly counts: ConnectionCounts; readonly newest: string | undefined } | undefined
}

const nothing = (): Told => ({
  overview: undefined,
  total: undefined,
  servers: new Map(),
  connections: new Map(),
  connecting: undefined
})

export class Fleet extends Context.Service<
  Fleet,
  {
    overview(organizationId: OrganizationId): Effect.Effect<Overview>
    /** What is watched as it is now, and then whatever of it changes, until the stream is left. */
    live(organizationId: OrganizationId, watch: Watch): Stream.Stream<LiveEvent>
  }
>()("@broker/core/fleet/Fleet") {
  static readonly layer = Layer.effect(
    Fleet,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const servers = yield* ServersSql.make
      const keys = yield* RegistrationKeysSql.make
      const connections = yield* Connections
      const guards = yield* FleetGuards
      const ledger = yield* ConnectionsSql.make(yield* ConnectionsPolicy)

      const newest = SqlSchema.findAll({
        Request: Schema.String,
        Result: Schema.Struct({ total: Schema.Int, id: Schema.NullOr(FleetServer.fields.id) }),
        execute: (organizationId) => sql`
          select (select count(*) from servers where organization_id = ${organizationId})::int as total,
                 (select id from servers where organization_id = ${organizationId} order by id desc limit 1) as id`
      })

      /** The first of those who need a person, and how many do. */
      const attention = Effect.fnUntraced(function* (organizationId: OrganizationId, now: DateTime.Utc) {
        const needing = yield* servers.attention({ organizationId, now, limit: attentionLimit })
        const ids = needing.map(({ id }) => id)
        const found = ids.length === 0 ? [] : yield* servers.findMany({ organizationId, ids })
        const byId = new Map(found.map((server) => [server.id, server]))
        return {
          attention: ids.flatMap((id) => byId.get(id) ?? []),
          attentionTotal: needing[0]?.total ?? 0
        }
      })

      const read = Effect.fn("Fleet.overview")(function* (organizationId: OrganizationId) {
        const now = yield* DateTime.now
        const { active, counts, guard, live, needing, transitions } = yield* Effect.all(
          {
            counts: servers.counts(organizationId),
            needing: attention(organizationId, now),
            transitions: servers.transitions({ organizationId, serverId: null, limit: transitionsLimit }),
            active: keys.countActive({ organizationId, now }),
            guard: guards.current(organizationId),
            live: connections.counts(organizationId)
          },
          { concurrency: "unbounded" }
        )
        const sum = (of: (row: (typeof counts)[number]) => number) => counts.reduce((total, row) => total + of(row), 0)
        const by = new Map(counts.map((row) => [row.status, row.servers]))
        return {
          total: sum((row) => row.servers),
          counts: Object.fromEntries(
            ServerStatus.literals.map((status) => [status, by.get(status) ?? 0])
          ) as Overview["counts"],
          available: sum((row) => row.available),
          activeConnections: sum((row) => row.activeConnections),
          liveConnections: live.active,
          activeKeys: active.keys,
          guard,
          ...needing,
          transitions
        } satisfies Overview
      }, Effect.orDie)

      const overviews = yield* Cache.makeWith(read, {
        capacity: 1_000,
        // A failure is nobody's overview.
        timeToLive: (exit) => (Exit.isSuccess(exit) ? overviewLifetime : Duration.zero)
      })
      const overview = (organizationId: OrganizationId) => Cache.get(overviews, organizationId)

      const live = (organizationId: OrganizationId, watch: Watch) =>
        Stream.suspend(() => {
          let last = nothing()

          const look = Effect.gen(function* () {
            const events: Array<LiveEvent> = []
            if (watch.overview) {
              const now = yield* overview(organizationId)
              if (!Equal.equals(now, last.overview)) events.push({ _tag: "Overview", overview: now })
              last.overview = now
            }
            if (watch.servers.length > 0) {
              const now = yield* servers.findMany({ organizationId, ids: watch.servers })
              const changed = now.filter((server) => !Equal.equals(server, last.servers.get(server.id)))
              for (const server of changed) last.servers.set(server.id, server)
              if (changed.length > 0) events.push({ _tag: "Servers", servers: changed })
            }
            if (watch.joining) {
              const [now] = yield* newest(organizationId)
              if (now !== undefined && now.total !== last.total) {
                last.total = now.total
                const joined = now.id === null ? [] : yield* servers.findMany({ organizationId, ids: [now.id] })
                events.push({ _tag: "Joined", total: now.total, newest: joined[0] ?? null })
              }
            }
            if (watch.connections.length > 0) {
              const now = yield* ledger.findMany({ organizationId, ids: watch.connections })
              const changed = now.filter((connection) => !Equal.equals(connection, last.connections.get(connection.id)))
              for (const connection of changed) last.connections.set(connection.id, connection)
              if (changed.length > 0) events.push({ _tag: "Connections", connections: changed })
            }
            if (watch.connecting) {
              const counts = yield* connections.counts(organizationId)
              const newest = (yield* ledger.newest(organizationId))[0]?.id
              if (newest !== last.connecting?.newest || !Equal.equals(counts, last.connecting?.counts)) {
                events.push({ _tag: "Connecting", counts, newest: newest ?? null })
              }
              last.connecting = { counts, newest }
            }
            return events
          }).pipe(
            // A look that fails is made up for by the next one: watchers see a picture that stands still meanwhile. What it
            // had found was told to nobody, so that the next one tells all.
            Effect.catchCause((cause) =>
              Effect.suspend(() => {
                last = nothing()
                return Effect.as(Effect.logWarning("A live look failed", cause), [])
              })
            ),
            Effect.withSpan("Fleet.look")
          )

          return Stream.tick(lookEvery).pipe(
            Stream.mapEffect(() => look),
            Stream.flattenIterable
          )
        })

      return Fleet.of({ overview, live })
    })
  )
}
