import { SavedViews } from "@broker/core/saved-views/SavedViews"
import { PermissionMissing } from "@broker/domain/Permission"
import { ListedView, SavedViewId, SavedViewRequest, ViewedPage } from "@broker/domain/SavedView"
import { Schema } from "effect"
import { toTRPCError } from "./errors.ts"
import { router, signedIn } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const savedViews = router({
  list: signedIn
    .input(Wire.input(Schema.Struct({ page: ViewedPage })))
    .output(Wire.output(Schema.Array(ListedView.json)))
    .query(({ ctx, input }) => ctx.run(SavedViews.use((views) => views.list(ctx.admin, input.page)))),

  save: signedIn
    .input(Wire.input(SavedViewRequest))
    .output(Wire.output(ListedView.json))
    .mutation(({ ctx, input }) => {
      if (input.shared && !ctx.admin.permissions.has("saved-views:share")) {
        throw toTRPCError(new PermissionMissing({ permission: "saved-views:share" }))
      }
      return ctx.run(SavedViews.use((views) => views.save(ctx.admin, input)))
    }),

  delete: signedIn
    .input(Wire.input(Schema.Struct({ id: SavedViewId })))
    .mutation(({ ctx, input }) => ctx.run(SavedViews.use((views) => views.delete(ctx.admin, input.id))))
})
