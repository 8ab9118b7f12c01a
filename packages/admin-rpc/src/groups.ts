import { Groups } from "@broker/core/groups/Groups"
import { Group, GroupInTree, GroupPreview, GroupRequest } from "@broker/domain/Group"
import { GroupId } from "@broker/domain/Server"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Change = Wire.input(Schema.Struct({ id: GroupId, request: GroupRequest }))

export const groups = router({
  tree: procedure("groups:read")
    .output(Wire.output(Schema.Array(GroupInTree.json)))
    .query(({ ctx }) => ctx.run(Groups.use((groups) => groups.tree(ctx.admin.organizationId)))),

  create: procedure("groups:create")
    .input(Wire.input(GroupRequest))
    .output(Wire.output(Group.json))
    .mutation(({ ctx, input }) => ctx.run(Groups.use((groups) => groups.create(ctx.admin.organizationId, input)))),

  preview: procedure("groups:read")
    .input(Change)
    .output(Wire.output(GroupPreview))
    .query(({ ctx, input }) =>
      ctx.run(Groups.use((groups) => groups.preview(ctx.admin.organizationId, input.id, input.request)))
    ),

  update: procedure("groups:update")
    .input(Change)
    .output(Wire.output(Group.json))
    .mutation(({ ctx, input }) =>
      ctx.run(Groups.use((groups) => groups.update(ctx.admin.organizationId, input.id, input.request)))
    ),

  delete: procedure("groups:delete")
    .input(Wire.input(Schema.Struct({ id: GroupId })))
    .mutation(({ ctx, input }) => ctx.run(Groups.use((groups) => groups.delete(ctx.admin.organizationId, input.id))))
})
