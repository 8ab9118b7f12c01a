/** How the broker does, and how the fleet did at any time. */
import {
  BeyondHistory,
  type BrokerState,
  type FleetAt,
  type FleetMoment,
  type HeatCell,
  type JobState
} from "@broker/domain/Monitoring"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerStatus } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as MonitoringSql from "./MonitoringSql.ts"
import { withoutValues } from "./StatementText.ts"

/**
 * How long moments are kept, and what it takes to tell groups and versions of a past instant: 90 days, and some time
 * for whoever asks for the oldest of them by a clock of their own.
 */
const history = Duration.days(91)

/** How many moments a trend has at most. */
const mostMoments = 2_000

/** The broker's state is shared by all who look at it within this time. */
const stateLifetime = Duration.seconds(2)

/**
 * The fleet as it is now is shared for at least that long, and for ten times as long as it took to read: however many
 * look at however large a fleet, a tenth of one connection is at work for them.
 */
const fleetLifetime = Duration.seconds(2)
const fleetRest = 10

/** How many rows of a kind one run deletes. */
const pruneLimit = 20_000

const none = (): Record<ServerStatus, number> => ({
  online: 0,
  degraded: 0,
  offline: 0,
  unknown: 0,
  never_seen: 0,
  pending: 0,
  draining: 0,
  maintenance: 0,
  suspended: 0,
  retired: 0
})

export class Monitoring extends Context.Service<
  Monitoring,
  {
    readonly broker: Effect.Effect<BrokerState>
    readonly jobs: Effect.Effect<ReadonlyArray<JobState>>
    /** The fleet as it is now, or as it was at an instant. */
    fleetAt(organizationId: OrganizationId, at: DateTime.Utc | null): Effect.Effect<FleetAt, BeyondHistory>
    /** One moment a minute, or the last of as many minutes as make 2,000 of them at most. */
    trend(
      organizationId: OrganizationId,
      range: { readonly from: DateTime.Utc; readonly to: DateTime.Utc }
    ): Effect.Effect<ReadonlyArray<FleetMoment>>
    /** Writes down how each organization's fleet does now. Idempotent within a minute; tells how many. */
    readonly note: Effect.Effect<number>
    /** Deletes what is past its time, a bounded number at once; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/monitoring/Monitoring") {
  static readonly layer = Layer.effect(
    Monitoring,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* MonitoringSql.make

      const database = Effect.gen(function* () {
        const { accountSchema, ...facts } = yield* statements.database()
        const slow = yield* statements.slow()
        const heaviest =
          accountSchema === null
            ? null
            : yield* statements.heaviest(accountSchema).pipe(Effect.catch(() => Effect.succeed(null)))
        return {
          ...facts,
          tables: yield* statements.tables(),
          slow: slow.map((one) => ({ ...one, statement: withoutValues(one.statement) })),
          heaviest: heaviest?.map((one) => ({ ...one, statement: withoutValues(one.statement) })) ?? null
        }
      })

      const jobs = yield* Effect.flatMap(DateTime.now, statements.jobs).pipe(
        Effect.orDie,
        Effect.withSpan("Monitoring.jobs"),
        Effect.cachedWithTTL(stateLifetime)
      )

      const broker = yield* Effect.gen(function* () {
        const now = yield* DateTime.now
        const [nodes, runs, state] = yield* Effect.all([statements.nodes(now), jobs, database])
        return { nodes, jobs: runs, database: state } satisfies BrokerState
      }).pipe(Effect.orDie, Effect.withSpan("Monitoring.broker"), Effect.cachedWithTTL(stateLifetime))

      const read = Effect.fn("Monitoring.readFleet")(
        function* (organizationId: OrganizationId, at: DateTime.Utc | null) {
          const now = yield* DateTime.now
          yield* sql`set local work_mem = '32MB'`
          const lines = yield* statements.lines({ organizationId, at })

          const counts = none()
          const cells = new Map<string | null, HeatCell & { readonly counts: Record<ServerStatus, number> }>()
          let liveConnections = 0
          for (const { connections, groupId, isGroup, path, servers, status } of lines) {
            if (!isGroup || status === null) continue
            counts[status] += servers
            liveConnections += connections
            if (status === "retired") continue
            const cell = cells.get(groupId) ?? { groupId, path, total: 0, counts: none(), connections: 0 }
            cell.counts[status] += servers
            cells.set(groupId, {
              ...cell,
              total: cell.total + servers,
              connections: cell.connections + connections
            })
          }
          const total = ServerStatus.literals.reduce((sum, status) => sum + counts[status], 0) - counts.retired
          return {
            at: at ?? now,
            total,
            counts,
            // By name, and those in no group last.
            groups: [...cells.values()].toSorted((one, other) =>
              one.path === null || other.path === null
                ? Number(one.path === null) - Number(other.path === null)
                : one.path.localeCompare(other.path)
            ),
            versions: lines
              .filter(({ isGroup }) => !isGroup)
              .map(({ outdated, servers, version }) => ({ version, servers, outdated }))
              .toSorted((one, other) => other.servers - one.servers),
            liveConnections
          } satisfies FleetAt
        },
        sql.withTransaction,
        Effect.orDie
      )

      const present = yield* Cache.makeWith(
        (organizationId: OrganizationId) =>
          Effect.map(Effect.timed(read(organizationId, null)), ([took, fleet]) => ({ took, fleet })),
        {
          capacity: 1_000,
          timeToLive: (exit) =>
            Exit.isSuccess(exit)
              ? Duration.max(fleetLifetime, Duration.times(exit.value.took, fleetRest))
              : Duration.zero
        }
      )

      const fleetAt = Effect.fn("Monitoring.fleetAt")(function* (
        organizationId: OrganizationId,
        at: DateTime.Utc | null
      ) {
        const now = yield* DateTime.now
        if (at === null || DateTime.isGreaterThanOrEqualTo(at, now)) {
          return (yield* Cache.get(present, organizationId)).fleet
        }
        if (DateTime.isLessThan(at, DateTime.subtractDuration(now, history))) return yield* new BeyondHistory()
        return yield* read(organizationId, at)
      })

      const trend = Effect.fn("Monitoring.trend")(function* (
        organizationId: OrganizationId,
        { from, to }: { readonly from: DateTime.Utc; readonly to: DateTime.Utc }
      ) {
        const minutes = Math.max(1, (to.epochMilliseconds - from.epochMilliseconds) / 60_000)
        // A range that does not begin with a step touches one step more.
        const stepMinutes = Math.min(1_000_000, Math.ceil(minutes / (mostMoments - 1)))
        return yield* statements.moments({ organizationId, from, to, stepMinutes })
      }, Effect.orDie)

      const note = Effect.gen(function* () {
        return (yield* statements.note(yield* DateTime.now)).length
      }).pipe(Effect.orDie, Effect.withSpan("Monitoring.note"))

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, history)
        return yield* statements.prune(DateTime.toDateUtc(before), pruneLimit)
      }).pipe(Effect.orDie, Effect.withSpan("Monitoring.prune"))

      return Monitoring.of({ broker, jobs, fleetAt, trend, note, prune })
    })
  )
}
