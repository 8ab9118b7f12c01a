/** Holds judgement while much of a fleet is silent at once (H6). */
import { type FleetGuard, FleetGuardId, FleetGuardNotOpen, type GuardEnd } from "@broker/domain/FleetGuard"
import type { OrganizationId } from "@broker/domain/Organization"
import { Context, DateTime, type Duration, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
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
    /** An admin says that those whom it holds are really gone: the next sweeps give up on them. */
    confirm(organizationId: OrganizationId, id: FleetGuardId): Effect.Effect<FleetGuard, FleetGuardNotOpen, Actor>
    /** Whose fleets are held: until the transaction ends, nobody else ends a guard of theirs. */
    readonly holding: Effect.Effect<ReadonlySet<OrganizationId>>
    /** Opens one if too many fell silent at once; in the transaction that would give up on some of them. */
    consider(organizationId: OrganizationId, moment: Moment): Effect.Effect<void>
    /**
     * Writes down who is held and seen after the sweep has moved servers, and ends the guards that have nothing left to
     * hold, or that have held long enough. Who was held by one that ended is given up on by the sweeps that follow.
     */
    settle(moment: Moment): Effect.Effect<void>
  }
>()("@broker/core/fleet-guard/FleetGuards") {
  static readonly layerNoDeps = Layer.effect(
    FleetGuards,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const secrets = yield* Secrets
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
        function* (organizationId: OrganizationId, id: FleetGuardId) {
          const [open] = yield* statements.lock({ organizationId, id })
          if (open === undefined) return yield* new FleetGuardNotOpen()
          const { name } = yield* Actor
          const now = yield* DateTime.now
          yield* statements.end({ id, kind: "confirmed", by: name, now, held: null, seen: null })
          const guard = yield* statements.get(id)
          yield* audit.record({
            organizationId,
            action: "fleet-guard:confirm",
            subjectKind: "fleet-guard",
            subjectId: id,
            details: { held: guard.held }
          })
          return guard
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const holding = statements.open.pipe(
        Effect.map((open) => new Set(open.map(({ organizationId }) => organizationId))),
        Effect.orDie
      )

      /** Whether the broker itself was away until within two time-outs of those who are silent. */
      const wasAway = ({ listeningSince, now }: Moment, intervalSeconds: number) =>
        DateTime.isGreaterThan(
          DateTime.add(listeningSince, { seconds: 2 * servers.offlineAfterMissed * intervalSeconds }),
          now
        )

      /** What the silent have in common; nothing where it cannot be told in time, which keeps no guard from beginning. */
      const likelyCause = (asked: Moment & { readonly organizationId: OrganizationId }) =>
        sql
          .withTransaction(statements.cause(asked))
          .pipe(
            Effect.catchTag("SqlError", (error) =>
              Effect.as(Effect.logWarning("The cause of a silence cannot be told", error), [])
            )
          )

      const consider = Effect.fn("FleetGuards.consider")(
        function* (organizationId: OrganizationId, moment: Moment) {
          const asked = { organizationId, ...moment }
          const weighed = yield* statements.weigh(asked)
          if (!isMass(weighed)) return
          const [found] = wasAway(moment, weighed.intervalSeconds)
            ? [{ cause: "broker" as const, detail: null }]
            : yield* likelyCause(asked)
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

      const end = Effect.fnUntraced(
        function* (
          guard: { readonly id: FleetGuardId; readonly organizationId: OrganizationId },
          kind: typeof GuardEnd.Type,
          counted: { readonly held: number; readonly seen: number },
          now: DateTime.Utc
        ) {
          yield* statements.end({ id: guard.id, kind, by: null, now, ...counted })
          yield* audit.record({
            organizationId: guard.organizationId,
            action: "fleet-guard:end",
            subjectKind: "fleet-guard",
            subjectId: guard.id,
            details: { end: kind, held: counted.held }
          })
          yield* Effect.logWarning("The fleet guard ended", { end: kind, held: counted.held })
        },
        Effect.provideService(Actor, broker)
      )

      const settle = Effect.fn("FleetGuards.settle")(function* ({ listeningSince, now }: Moment) {
        // Only while the broker listens does time count (H5).
        const passed = (since: DateTime.Utc, time: Duration.Duration) =>
          DateTime.addDuration(DateTime.max(since, listeningSince), time)
        for (const guard of yield* statements.counts({ now, listeningSince })) {
          const { beganAt, expected, held, silent } = guard
          const counted = { held, seen: Math.max(0, expected - held - silent) }
          // Who is silent and not held yet may be so many more of the same: nothing is steady until they are held too.
          const tolerance = Math.max(1, Math.floor(expected * policy.steadyWithin))
          const isSteady = Math.abs(held - guard.steadyHeld) <= tolerance && silent <= tolerance
          const { steadyHeld, steadySince } = isSteady ? guard : { steadyHeld: held, steadySince: now }
          const steadyAt = passed(steadySince, policy.steadyFor)
          const endsAt = DateTime.min(steadyAt, passed(beganAt, policy.longest))
          if (held === 0 && !isMass({ live: expected, silent })) yield* end(guard, "recovered", counted, now)
          else if (DateTime.isLessThanOrEqualTo(steadyAt, now)) yield* end(guard, "steady", counted, now)
          else if (DateTime.isLessThanOrEqualTo(endsAt, now)) yield* end(guard, "expired", counted, now)
          else yield* statements.tally({ id: guard.id, ...counted, steadyHeld, steadySince, endsAt })
        }
      }, Effect.orDie)

      return FleetGuards.of({ current, list, confirm, holding, consider, settle })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
