/** Holds judgement while much of a fleet is silent at once (H6). */
import { type FleetGuard, FleetGuardId, FleetGuardNotOpen, type GuardEnd } from "@broker/domain/FleetGuard"
import type { OrganizationId } from "@broker/domain/Organization"
import { Context, DateTime, Duration, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { FleetGuardPolicy } from "./FleetGuardPolicy.ts"
import * as FleetGuardsSql from "./FleetGuardsSql.ts"

/** How many past ones are shown. */
const listLimit = 100

/** When the sweep looks, and since when the broker listens without a gap (H5). */
export interface Moment {
  readonly now: DateTime.Utc
  readonly listeningSince: DateTime.Utc
}

export class FleetGuards extends Context.Service<
  FleetGuards,
  {
    /** The one that holds now; null while none does. */
    current(organizationId: OrganizationId): Effect.Effect<FleetGuard | null>
    /** The newest first. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<FleetGuard>>
    /** An admin says that those who are silent are really gone: they are offline now. */
    confirm(organizationId: OrganizationId): Effect.Effect<FleetGuard, FleetGuardNotOpen, Actor>
    /** Ends those that have nothing left to hold, or that have held long enough; in the sweep's transaction. */
    settle(moment: Moment): Effect.Effect<void>
    /** Opens one if too many fell silent at once; in the transaction that would give up on some of them. */
    consider(organizationId: OrganizationId, moment: Moment): Effect.Effect<void>
    /** Writes down who is held and seen, after the sweep has moved servers. */
    tally(moment: Moment): Effect.Effect<void>
  }
>()("@broker/core/fleet-guard/FleetGuards") {
  static readonly layerNoDeps = Layer.effect(
    FleetGuards,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const secrets = yield* Secrets
      const signals = yield* Signals
      const servers = yield* ServersPolicy
      const policy = yield* FleetGuardPolicy
      const statements = yield* FleetGuardsSql.make

      const isMass = ({ live, silent }: { readonly live: number; readonly silent: number }) =>
        silent >= policy.least && silent > policy.share * live

      const current = Effect.fn("FleetGuards.current")(function* (organizationId: OrganizationId) {
        const [guard] = yield* statements.find(organizationId)
        return guard ?? null
      }, Effect.orDie)

      const list = Effect.fn("FleetGuards.list")(
        (organizationId: OrganizationId) => statements.list({ organizationId, limit: listLimit }),
        Effect.orDie
      )

      const confirm = Effect.fn("FleetGuards.confirm")(
        function* (organizationId: OrganizationId) {
          const now = yield* DateTime.now
          const [open] = yield* statements.lockOpen(organizationId)
          if (open === undefined) return yield* new FleetGuardNotOpen()
          const { name } = yield* Actor
          yield* statements.end({ id: open.id, kind: "confirmed", by: name, now, held: null, silent: null })
          const gone = yield* statements.letGo({ organizationId, now })
          yield* audit.record({
            organizationId,
            action: "fleet-guard:confirm",
            subjectKind: "fleet-guard",
            subjectId: open.id,
            details: { gone: gone.length }
          })
          if (gone[0] !== undefined) yield* signals.notify(discoveryTopic, gone[0].serverId)
          return yield* statements.get(open.id)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const end = Effect.fnUntraced(
        function* (
          guard: { readonly id: FleetGuardId; readonly organizationId: OrganizationId },
          kind: typeof GuardEnd.Type,
          { held, silent }: { readonly held: number; readonly silent: number },
          now: DateTime.Utc
        ) {
          yield* statements.end({ id: guard.id, kind, by: null, now, held, silent })
          yield* audit.record({
            organizationId: guard.organizationId,
            action: "fleet-guard:end",
            subjectKind: "fleet-guard",
            subjectId: guard.id,
            details: { end: kind, gone: held }
          })
          yield* Effect.logWarning("The fleet guard ended", { end: kind, gone: held })
        },
        Effect.provideService(Actor, broker)
      )

      const settle = Effect.fn("FleetGuards.settle")(function* ({ listeningSince, now }: Moment) {
        for (const guard of yield* statements.open) {
          const { organizationId } = guard
          const counts = yield* statements.count({ organizationId, now, listeningSince })
          const { held, silent } = counts
          // An outage that was not tallied yet starts the time again too.
          const listened = DateTime.isLessThanOrEqualTo(DateTime.addDuration(listeningSince, policy.steadyFor), now)
          if (held === 0 && !isMass({ live: guard.expected, silent })) yield* end(guard, "recovered", counts, now)
          else if (listened && DateTime.isLessThanOrEqualTo(guard.endsAt, now)) yield* end(guard, "steady", counts, now)
        }
      }, Effect.orDie)

      /** Whether the broker itself was away until so lately that the silence is likely its own. */
      const wasAway = ({ listeningSince, now }: Moment) =>
        DateTime.isGreaterThan(
          DateTime.addDuration(
            listeningSince,
            Duration.times(servers.heartbeatInterval, 2 * servers.offlineAfterMissed)
          ),
          now
        )

      const consider = Effect.fn("FleetGuards.consider")(
        function* (organizationId: OrganizationId, moment: Moment) {
          const asked = { organizationId, ...moment }
          const weighed = yield* statements.weigh(asked)
          if (!isMass(weighed)) return
          if ((yield* current(organizationId)) !== null) return
          const [found] = wasAway(moment)
            ? [{ cause: "broker" as const, detail: null }]
            : yield* statements.cause(asked)
          const { cause, detail } = found ?? { cause: "unclear" as const, detail: null }
          const id = FleetGuardId.make(yield* secrets.id)
          const [begun] = yield* statements.begin({
            id,
            organizationId,
            now: moment.now,
            expected: weighed.live,
            seen: weighed.live - weighed.silent,
            cause,
            causeDetail: detail
          })
          if (begun === undefined) return
          const details = { expected: weighed.live, silent: weighed.silent, cause, causeDetail: detail }
          yield* audit.record({
            organizationId,
            action: "fleet-guard:begin",
            subjectKind: "fleet-guard",
            subjectId: id,
            details
          })
          yield* audit.alarm({ organizationId, kind: "fleet_silent", severity: "critical", serverId: null, details })
        },
        Effect.provideService(Actor, broker),
        Effect.orDie
      )

      const tally = Effect.fn("FleetGuards.tally")(function* ({ listeningSince, now }: Moment) {
        for (const { expected, id, organizationId } of yield* statements.open) {
          const { held, silent } = yield* statements.count({ organizationId, now, listeningSince })
          yield* statements.tally({ id, now, listeningSince, held, seen: Math.max(0, expected - held - silent) })
        }
      }, Effect.orDie)

      return FleetGuards.of({ current, list, confirm, settle, consider, tally })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
