/** Lists that somebody wants to see again. */
import {
  type ListedView,
  maxSavedViews,
  SavedView,
  SavedViewId,
  SavedViewNotFound,
  type SavedViewRequest,
  TooManySavedViews,
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
    save(admin: SignedInAdmin, request: SavedViewRequest): Effect.Effect<ListedView, TooManySavedViews, Actor>
    /** One's own; whoever may share views also deletes those that others share. */
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
          const key = nameKey(request.name)
          yield* statements.hold(adminId)
          const { views } = yield* statements.countOthers({ organizationId, adminId, page: request.page, nameKey: key })
          if (views >= maxSavedViews) return yield* new TooManySavedViews()
          const { id } = yield* statements.save(
            SavedView.insert.make({
              ...request,
              id: SavedViewId.make(yield* secrets.id),
              organizationId,
              adminId,
              nameKey: key,
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
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("SavedViews.delete")(
        function* ({ id: adminId, organizationId, permissions }: SignedInAdmin, id: SavedViewId) {
          const alsoShared = permissions.has("saved-views:share")
          const { name, page, shared } = yield* statements.remove({ organizationId, adminId, id, alsoShared })
          yield* audit.record({
            organizationId,
            action: "saved-views:delete",
            subjectKind: "saved-view",
            subjectId: id,
            details: { name, page, shared }
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
