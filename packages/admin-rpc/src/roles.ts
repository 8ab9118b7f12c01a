import { Roles } from "@broker/core/roles/Roles"
import { CustomRoleId, Role, RoleId, RoleRequest } from "@broker/domain/Role"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const One = Wire.output(Role)

export const roles = router({
  list: procedure("roles:read")
    .output(Wire.output(Schema.Array(Role)))
    .query(({ ctx }) => ctx.run(Roles.use((roles) => roles.list(ctx.admin.organizationId)))),

  get: procedure("roles:read")
    .input(Wire.input(Schema.Struct({ id: RoleId })))
    .output(One)
    .query(({ ctx, input }) => ctx.run(Roles.use((roles) => roles.get(ctx.admin.organizationId, input.id)))),

  create: procedure("roles:create", { provenly: true })
    .input(Wire.input(RoleRequest))
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Roles.use((roles) => roles.create(ctx.admin, input)))),

  update: procedure("roles:update", { provenly: true })
    .input(Wire.input(Schema.Struct({ id: CustomRoleId, role: RoleRequest })))
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Roles.use((roles) => roles.update(ctx.admin, input.id, input.role)))),

  delete: procedure("roles:delete", { provenly: true })
    .input(Wire.input(Schema.Struct({ id: CustomRoleId })))
    .mutation(({ ctx, input }) => ctx.run(Roles.use((roles) => roles.delete(ctx.admin, input.id))))
})
