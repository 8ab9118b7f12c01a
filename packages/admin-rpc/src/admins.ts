import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { Admins } from "@broker/core/admins/Admins"
import { AdminId, ListedAdmin } from "@broker/domain/Admin"
import { AdminLinkId, CreatedLink, Invitation, InvitationRequest } from "@broker/domain/AdminLink"
import { RoleEffect, RoleId } from "@broker/domain/Role"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: AdminId }))
const WithRole = Wire.input(Schema.Struct({ id: AdminId, role: RoleId }))
const One = Wire.output(ListedAdmin)

export const admins = router({
  list: procedure("admins:read")
    .output(Wire.output(Schema.Array(ListedAdmin)))
    .query(({ ctx }) => ctx.run(Admins.use((admins) => admins.list(ctx.admin.organizationId)))),

  get: procedure("admins:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(Admins.use((admins) => admins.get(ctx.admin.organizationId, input.id)))),

  /** Those that are still open. */
  invitations: procedure("admins:read")
    .output(Wire.output(Schema.Array(Invitation)))
    .query(({ ctx }) => ctx.run(AdminLinks.use((links) => links.list(ctx.admin.organizationId)))),

  invite: procedure("admins:invite", { provenly: true })
    .input(Wire.input(InvitationRequest))
    .output(Wire.output(CreatedLink))
    .mutation(({ ctx, input }) => ctx.run(AdminLinks.use((links) => links.invite(ctx.admin, input)))),

  withdraw: procedure("admins:invite")
    .input(Wire.input(Schema.Struct({ id: AdminLinkId })))
    .mutation(({ ctx, input }) => ctx.run(AdminLinks.use((links) => links.withdraw(ctx.admin, input.id)))),

  /** What a change of role would come to, before it is made. */
  previewRole: procedure("admins:update")
    .input(WithRole)
    .output(Wire.output(RoleEffect))
    .query(({ ctx, input }) =>
      ctx.run(Admins.use((admins) => admins.previewRole(ctx.admin.organizationId, input.id, input.role)))
    ),

  changeRole: procedure("admins:update", { provenly: true })
    .input(WithRole)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Admins.use((admins) => admins.changeRole(ctx.admin, input.id, input.role)))),

  disable: procedure("admins:disable", { provenly: true })
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Admins.use((admins) => admins.disable(ctx.admin, input.id)))),

  enable: procedure("admins:disable", { provenly: true })
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Admins.use((admins) => admins.enable(ctx.admin, input.id)))),

  resetFactors: procedure("admins:reset", { provenly: true })
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Admins.use((admins) => admins.resetFactors(ctx.admin, input.id)))),

  /** A link by which they set a new password. */
  resetPassword: procedure("admins:reset", { provenly: true })
    .input(Id)
    .output(Wire.output(CreatedLink))
    .mutation(({ ctx, input }) => ctx.run(AdminLinks.use((links) => links.reset(ctx.admin, input.id))))
})
