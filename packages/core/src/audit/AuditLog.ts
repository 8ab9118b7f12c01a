/** The audit log as it is read: searched, verified, exported, checkpointed, and cut at its far end (A6). */
import type { AuditEntry, AuditExportFormat, AuditFilter, AuditQuery, AuditVerdict } from "@broker/domain/AuditEntry"
import type { OrganizationId } from "@broker/domain/Organization"
import type { InvalidCursor } from "@broker/domain/Primitives"
import { Context, type Effect, Layer, type Stream } from "effect"
import type { Actor } from "./Actor.ts"

export class AuditLog extends Context.Service<
  AuditLog,
  {
    /** The newest first. Reading is recorded too, once for each search and not for its further pages. */
    list(
      organizationId: OrganizationId,
      query: AuditQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<AuditEntry>; readonly nextCursor: string | null },
      InvalidCursor,
      Actor
    >
    /** The actions that occur, for filters. */
    actions(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<string>>
    /** Walks the whole chain: finds any entry that was changed, that is missing, or that changed its place. */
    verify(organizationId: OrganizationId): Effect.Effect<AuditVerdict, never, Actor>
    /** Lines of text, the oldest first, with what it takes to check the chain without the broker. Recorded. */
    export(
      organizationId: OrganizationId,
      filter: AuditFilter,
      format: AuditExportFormat
    ): Stream.Stream<string, never, Actor>
    /** Signs the end of each chain that has grown; tells how many. */
    readonly checkpoint: Effect.Effect<number>
    /** Deletes what is past its organization's retention, without breaking the chain; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/audit/AuditLog") {
  static readonly layer = Layer.mock(AuditLog)({})
}
