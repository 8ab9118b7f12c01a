import { prove } from "@broker/core/admin-sessions/AdminSessions"
import { BulkActs } from "@broker/core/bulk-acts/BulkActs"
import { isDangerous } from "@broker/core/bulk-acts/BulkPlan"
import { BulkAct, BulkActId, BulkPreview, BulkRequest } from "@broker/domain/BulkAct"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: BulkActId }))
const One = Wire.output(BulkAct)

/** What shuts out more servers than one. */
const shutsOutMany = ({ action, selection }: BulkRequest) =>
  isDangerous(action) && !(selection._tag === "Ticked" && selection.ids.length === 1)

/** Each act asks beside this for the permission that it asks for on one server. */
export const bulkActs = router({
  list: procedure("servers:read")
    .output(Wire.output(Schema.Array(BulkAct)))
    .query(({ ctx }) => ctx.run(BulkActs.use((acts) => acts.list(ctx.admin.organizationId)))),

  get: procedure("servers:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(BulkActs.use((acts) => acts.get(ctx.admin.organizationId, input.id)))),

  /** A mutation only because a selection is too long for an address: it changes nothing. */
  preview: procedure("servers:read", { byAction: true })
    .input(Wire.input(BulkRequest))
    .output(Wire.output(BulkPreview))
    .mutation(({ ctx, input }) => ctx.run(BulkActs.use((acts) => acts.preview(ctx.admin, input)))),

  start: procedure("servers:read", { byAction: true })
    .input(Wire.input(BulkRequest))
    .output(One)
    .mutation(async ({ ctx, input }) => {
      // A4: shutting out many is dangerous.
      if (shutsOutMany(input)) await ctx.run(prove(ctx.admin))
      return ctx.run(BulkActs.use((acts) => acts.start(ctx.admin, input)))
    }),

  undo: procedure("servers:read", { byAction: true })
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(BulkActs.use((acts) => acts.undo(ctx.admin, input.id)))),

  stop: procedure("servers:read", { byAction: true })
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(BulkActs.use((acts) => acts.stop(ctx.admin, input.id))))
})
