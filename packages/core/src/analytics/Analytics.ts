/** What connections came to, over time and by whom, from their roll-up (C7). */
import type { AnalyticsQuery, Figures, Analytics as Report } from "@broker/domain/Analytics"
import type { OrganizationId } from "@broker/domain/Organization"
import { Array, Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import * as AnalyticsSql from "./AnalyticsSql.ts"

/** How many of a report's groups, and of its reasons, are told. */
const mostGroups = 50

/** How much one run takes on, and how much of it one statement. */
const spansPerRun = 10_000
const quartersPerRun = 150
const quartersPerStatement = 25

/** How many rows one run deletes. */
const pruneLimit = 20_000

/** Quarters are left alone a while before their connections may be deleted. */
const freezeAhead = { hours: 1 }

const quarterMillis = 900_000

/** The whole quarters that a range lies in. */
const widened = ({ from, to }: AnalyticsQuery) => ({
  from: DateTime.makeUnsafe(Math.floor(from.epochMilliseconds / quarterMillis) * quarterMillis),
  to: DateTime.makeUnsafe(Math.ceil(to.epochMilliseconds / quarterMillis) * quarterMillis)
})

const nothing: Figures = { connections: 0, users: 0, devices: 0, seconds: 0, rxBytes: 0, txBytes: 0 }

const figuresOf = ({ connections, devices, rxBytes, seconds, txBytes, users }: Figures): Figures => ({
  connections,
  users,
  devices,
  seconds,
  rxBytes,
  txBytes
})

const noVerdicts: Report["verdicts"] = { confirmed: 0, client_only: 0, server_only: 0, byte_mismatch: 0 }

export class Analytics extends Context.Service<
  Analytics,
  {
    report(organizationId: OrganizationId, query: AnalyticsQuery): Effect.Effect<Report>
    /** Writes the quarters anew that changed since, a bounded number at once; tells how many. Idempotent. */
    readonly rollUp: Effect.Effect<number>
    /** Deletes usage past its time, a bounded number of rows at once; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/analytics/Analytics") {
  static readonly layer = Layer.effect(
    Analytics,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* ConnectionsPolicy
      const statements = yield* AnalyticsSql.make

      const report = Effect.fn("Analytics.report")(
        function* (organizationId: OrganizationId, query: AnalyticsQuery) {
          const asked = { organizationId, query, path: null, ...widened(query) }
          yield* statements.prepareReport
          const all = yield* statements.steps(asked)
          const groups = yield* statements.groups({ ...asked, limit: mostGroups })
          const verdicts = yield* statements.verdicts(asked)
          const { at: completeUntil } = yield* statements.completeUntil(undefined)
          return {
            totals: figuresOf(all.find(({ at }) => at === null) ?? nothing),
            steps: all.flatMap(({ at, ...figures }) => (at === null ? [] : [{ at, ...figures }])),
            groups: groups.map(({ groups: _, ...group }) => group),
            moreGroups: (groups[0]?.groups ?? 0) - groups.length,
            verdicts: { ...noVerdicts, ...Object.fromEntries(verdicts.map((row) => [row.verdict, row.connections])) },
            reasons: yield* statements.reasons({ ...asked, limit: mostGroups }),
            outcomes: yield* statements.outcomes(asked),
            completeUntil
          }
        },
        sql.withTransaction,
        Effect.orDie
      )

      /** One transaction: what is taken is either written or due again. */
      const rollUp = Effect.gen(function* () {
        const now = yield* DateTime.now
        const horizon = DateTime.subtractDuration(now, policy.history)
        yield* statements.begin(DateTime.add(horizon, freezeAhead))
        const quarters = yield* statements.take({ now, spans: spansPerRun, limit: quartersPerRun })
        yield* Effect.forEach(
          Array.chunksOf(quarters, quartersPerStatement),
          (quarters) => statements.write({ now, quarters }),
          { discard: true }
        )
        return quarters.length
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Analytics.rollUp"))

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.usageHistory)
        return yield* statements.prune(DateTime.toDateUtc(before), pruneLimit)
      }).pipe(Effect.orDie, Effect.withSpan("Analytics.prune"))

      return Analytics.of({ report, rollUp, prune })
    })
  )
}
