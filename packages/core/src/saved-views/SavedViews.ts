/** Lists that somebody wants to see again. */
import {
  type ListedView,
  SavedView,
  SavedViewId,
  SavedViewNotFound,
  type SavedViewRequest,
  type ViewedPage
} from "@broker/domain/SavedView"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as SavedViewsSql from "./SavedViewsSql.ts"

export class SavedViews extends Context.Service<
  SavedViews,
  {
    /** One's own, and what others share. */
    list(admin: SignedInAdmin, page: ViewedPage): Effect.Effect<ReadonlyArray<ListedView>>
    /** Under a name that one has already, it takes the place of the old one. */
    save(admin: SignedInAdmin, request: SavedViewRequest): Effect.Effect<ListedView, never, Actor>
    delete(admin: SignedInAdmin, id: SavedViewId): Effect.Effect<void, SavedViewNotFound, Actor>
  }
>()("@broker/core/saved-views/SavedViews") {
  static readonly layerNoDeps = Layer.effect(
    SavedViews,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* SavedViewsSql.make
      const secrets = yield* Secrets
      const audit = yield* Audit

      const list = Effect.fn("SavedViews.list")(
        ({ id, organizationId }: SignedInAdmin, page: ViewedPage) =>
          statements.list({ organizationId, adminId: id, page }),
        Effect.orDie
      )

      const save = Effect.fn("SavedViews.save")(
        function* ({ id: adminId, organizationId }: SignedInAdmin, request: SavedViewRequest) {
          const { id } = yield* statements.save(
            SavedView.insert.make({
              ...request,
              id: SavedViewId.make(yield* secrets.id),
              organizationId,
              adminId,
              nameKey: nameKey(request.name),
              createdAt: yield* DateTime.now
            })
          )
          yield* audit.record({
            organizationId,
            action: "saved-views:save",
            subjectKind: "saved-view",
            subjectId: id,
            details: { name: request.name, page: request.page, shared: request.shared }
          })
          return yield* statements.get({ organizationId, adminId, id })
        },
        sql.withTransaction,
        Effect.orDie
      )

      const remove = Effect.fn("SavedViews.delete")(
        function* ({ id: adminId, organizationId }: SignedInAdmin, id: SavedViewId) {
          const { name, page } = yield* statements.remove({ organizationId, adminId, id })
          yield* audit.record({
            organizationId,
            action: "saved-views:delete",
            subjectKind: "saved-view",
            subjectId: id,
            details: { name, page }
          })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new SavedViewNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return SavedViews.of({ list, save, delete: remove })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Audit.layer, Secrets.layer]))
}
