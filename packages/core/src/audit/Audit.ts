/**
 * Who did what to what. Entries are written in the transaction of the change, or of nothing when the attempt was
 * refused. Details never hold secrets: they are typed to hold plain values, and nobody passes a `Redacted`.
 */
import type { SubjectKind } from "@broker/domain/AuditEntry"
import type { OrganizationId } from "@broker/domain/Organization"
import type { SecurityEventKind, Severity } from "@broker/domain/SecurityEvent"
import { Context, DateTime, Effect, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "./Actor.ts"
import { Refusals, RefusalsPolicy, type Tally } from "./Refusals.ts"

export interface AuditEntry {
  /** Null where a stranger's attempt belongs to nobody. */
  readonly organizationId: OrganizationId | null
  /** `noun:verb`. */
  readonly action: `${string}:${string}`
  readonly subjectKind: SubjectKind
  readonly subjectId: string | null
  readonly outcome?: "done" | "refused"
  readonly details?: Readonly<Record<string, string | number | boolean | null | ReadonlyArray<string>>>
}

export interface SecurityEvent {
  readonly organizationId: OrganizationId
  readonly kind: SecurityEventKind
  readonly severity: Severity
  readonly serverId: string | null
  readonly details?: AuditEntry["details"]
}

export class Audit extends Context.Service<
  Audit,
  {
    /** Joins the caller's transaction. Of many refusals in a short time, most are counted instead. */
    record(entry: AuditEntry): Effect.Effect<void, never, Actor>
    /** Many at once, all of them done; in one statement, so a few hundred at most. */
    recordAll(entries: ReadonlyArray<AuditEntry>): Effect.Effect<void, never, Actor>
    /** Something suspicious. Joins the caller's transaction too. */
    alarm(event: SecurityEvent): Effect.Effect<void, never, Actor>
  }
>()("@broker/core/audit/Audit") {
  static readonly layer = Layer.effect(
    Audit,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const policy = yield* RefusalsPolicy
      const refusals = new Refusals(policy)

      const rowOf = (actor: typeof Actor.Service, entry: AuditEntry, at: DateTime.Utc) => ({
        organizationId: entry.organizationId,
        at: DateTime.toDateUtc(at),
        actorKind: actor.kind,
        actorId: actor.id,
        actorName: actor.name,
        address: actor.address,
        requestId: actor.requestId,
        action: entry.action,
        subjectKind: entry.subjectKind,
        subjectId: entry.subjectId,
        outcome: entry.outcome ?? "done",
        details: JSON.stringify(entry.details ?? {})
      })

      const insert = Effect.fnUntraced(function* (actor: typeof Actor.Service, entry: AuditEntry, at: DateTime.Utc) {
        yield* sql`insert into audit_entries ${sql.insert(rowOf(actor, entry, at))}`
      })

      /** One entry for all refusals of a window that have none of their own. */
      const tell = Effect.fnUntraced(function* ({ actions, actor, entry, since, untold }: Tally, at: DateTime.Utc) {
        const details = {
          refusals: untold,
          since: DateTime.formatIso(DateTime.makeUnsafe(since)),
          actions: [...actions]
        }
        yield* insert({ ...actor, requestId: null }, { ...entry, subjectId: null, details }, at)
      })

      const record = Effect.fn("Audit.record")(function* (entry: AuditEntry) {
        const actor = yield* Actor
        const now = yield* DateTime.now
        if (entry.outcome !== "refused") return yield* insert(actor, entry, now)
        const { over, own } = refusals.take(actor, entry, now.epochMilliseconds)
        if (over !== undefined) yield* tell(over, now)
        if (own) yield* insert(actor, entry, now)
      }, Effect.orDie)

      const recordAll = Effect.fn("Audit.recordAll")(function* ([first, ...rest]: ReadonlyArray<AuditEntry>) {
        if (first === undefined) return
        const actor = yield* Actor
        const now = yield* DateTime.now
        const rows = [rowOf(actor, first, now), ...rest.map((entry) => rowOf(actor, entry, now))] as const
        yield* sql`insert into audit_entries ${sql.insert(rows)}`
      }, Effect.orDie)

      const tellOver = Effect.gen(function* () {
        const now = yield* DateTime.now
        yield* Effect.forEach(
          refusals.over(now.epochMilliseconds),
          ([key, tally]) =>
            Effect.catchCause(tell(tally, now), (cause) => {
              refusals.restore(key, tally)
              return Effect.logWarning("Refusals could not be told to the audit log", cause)
            }),
          { discard: true }
        )
      })
      yield* tellOver.pipe(Effect.repeat(Schedule.spaced(policy.tellEvery)), Effect.forkScoped)

      const alarm = Effect.fn("Audit.alarm")(function* (event: SecurityEvent) {
        const actor = yield* Actor
        yield* sql`insert into security_events ${sql.insert({
          organizationId: event.organizationId,
          at: DateTime.toDateUtc(yield* DateTime.now),
          kind: event.kind,
          severity: event.severity,
          serverId: event.serverId,
          address: actor.address,
          details: JSON.stringify(event.details ?? {})
        })}`
        yield* Effect.logWarning("Security event", {
          kind: event.kind,
          severity: event.severity,
          server: event.serverId
        })
      }, Effect.orDie)

      return Audit.of({ record, recordAll, alarm })
    })
  )
}
