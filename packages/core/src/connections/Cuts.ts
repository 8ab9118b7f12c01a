/** Orders to end connections at once (C6): given with a revocation, carried by heartbeats, confirmed by live sets. */
import type { Cut, CutPreview, CutSubject } from "@broker/domain/Connection"
import type { OrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { ConnectionsPolicy } from "./ConnectionsPolicy.ts"
import * as CutsSql from "./CutsSql.ts"

/** Whose connections are cut: one's own, or all of a key, a device, a user or a server. */
export interface CutOf {
  readonly kind: CutSubject
  readonly id: string
  /** As it is called now, for the history. */
  readonly name: string
}

export class Cuts extends Context.Service<
  Cuts,
  {
    /**
     * Ends the live connections of a subject, and orders their servers to cut them. Joins the caller's transaction, in
     * which whatever forbids new connections has been written already. Tells how many ended.
     */
    order(organizationId: OrganizationId, subject: CutOf, reason: string): Effect.Effect<number, never, Actor>
    /** A server that is shut out is told so instead of its orders, and to close everything: that confirms them. */
    confirmAll(id: ServerId): Effect.Effect<void>
    /** What an order would end. */
    preview(organizationId: OrganizationId, kind: CutSubject, id: string): Effect.Effect<CutPreview>
    /** The newest acts, of all or of those that touched a subject, and how far each has come. */
    list(
      organizationId: OrganizationId,
      options: { readonly subjectId: string | null; readonly limit: number }
    ): Effect.Effect<ReadonlyArray<Cut>>
  }
>()("@broker/core/connections/Cuts") {
  static readonly layerNoDeps = Layer.effect(
    Cuts,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* CutsSql.make
      const secrets = yield* Secrets
      const policy = yield* ConnectionsPolicy

      const order = Effect.fn("Cuts.order")(
        function* (organizationId: OrganizationId, subject: CutOf, reason: string) {
          const actor = yield* Actor
          const about = { organizationId, kind: subject.kind, id: subject.id }
          // After these locks no server's cursor moves on before this order is written.
          yield* statements.lockServers(about)
          const cut = yield* statements.cut({
            ...about,
            cutId: yield* secrets.id,
            subjectName: subject.name,
            reason,
            endedBy: actor.kind === "admin" || actor.kind === "command" ? "admin" : "broker",
            orderedBy: actor.name,
            now: yield* DateTime.now
          })
          return cut.length
        },
        sql.withTransaction,
        Effect.orDie
      )

      const confirmAll = Effect.fn("Cuts.confirmAll")(function* (id: ServerId) {
        yield* statements.confirmAll({ id, now: yield* DateTime.now })
      }, Effect.orDie)

      const preview = Effect.fn("Cuts.preview")(
        (organizationId: OrganizationId, kind: CutSubject, id: string) =>
          statements.preview({ organizationId, kind, id }),
        Effect.orDie
      )

      const list = Effect.fn("Cuts.list")(function* (
        organizationId: OrganizationId,
        options: { readonly subjectId: string | null; readonly limit: number }
      ) {
        const overdueBefore = DateTime.subtractDuration(yield* DateTime.now, policy.cutPatience)
        return yield* statements.list({ organizationId, ...options, overdueBefore })
      }, Effect.orDie)

      return Cuts.of({ order, confirmAll, preview, list })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
