import { Users } from "@broker/core/users/Users"
import { Text } from "@broker/domain/Primitives"
import { ListedUser, UserActivity, UserId, UserPatch, UserRequest, UsersPage, UsersQuery } from "@broker/domain/User"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: UserId }))
const One = Wire.output(ListedUser.json)

export const users = router({
  list: procedure("users:read")
    .input(Wire.input(UsersQuery))
    .output(Wire.output(UsersPage))
    .query(({ ctx, input }) => ctx.run(Users.use((users) => users.list(ctx.admin.organizationId, input)))),

  get: procedure("users:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(Users.use((users) => users.get(ctx.admin.organizationId, input.id)))),

  /** When the user signed in, and what admins did around them, for whoever may read the audit log. */
  activity: procedure("users:read")
    .input(Id)
    .output(Wire.output(Schema.Array(UserActivity)))
    .query(({ ctx, input }) =>
      ctx.run(
        Users.use((users) =>
          users.activity(ctx.admin.organizationId, input.id, { audited: ctx.admin.permissions.has("audit:read") })
        )
      )
    ),

  create: procedure("users:create")
    .input(Wire.input(UserRequest))
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Users.use((users) => users.create(ctx.admin.organizationId, input)))),

  update: procedure("users:update")
    .input(Wire.input(Schema.Struct({ id: UserId, patch: UserPatch })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Users.use((users) => users.update(ctx.admin.organizationId, input.id, input.patch)))
    ),

  suspend: procedure("users:suspend")
    .input(Wire.input(Schema.Struct({ id: UserId, reason: Text(256) })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Users.use((users) => users.suspend(ctx.admin.organizationId, input.id, input.reason)))
    ),

  resume: procedure("users:suspend")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Users.use((users) => users.resume(ctx.admin.organizationId, input.id)))),

  delete: procedure("users:delete")
    .input(Id)
    .mutation(({ ctx, input }) => ctx.run(Users.use((users) => users.delete(ctx.admin.organizationId, input.id))))
})
