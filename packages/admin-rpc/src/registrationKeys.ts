import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Page, PageLimit, Text } from "@broker/domain/Primitives"
import {
  CreatedRegistrationKey,
  RegistrationKey,
  RegistrationKeyId,
  RegistrationKeyRequest,
  RegistrationKeyState
} from "@broker/domain/RegistrationKey"
import { FleetServer } from "@broker/domain/Server"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: RegistrationKeyId }))

export const registrationKeys = router({
  list: procedure("registration-keys:read")
    .input(
      Wire.input(
        Schema.Struct({
          states: Schema.Array(RegistrationKeyState),
          limit: PageLimit,
          cursor: Schema.NullOr(Text(512))
        })
      )
    )
    .output(Wire.output(Page(RegistrationKey.json)))
    .query(({ ctx, input }) => ctx.run(RegistrationKeys.use((keys) => keys.list(ctx.admin.organizationId, input)))),

  /** The servers that joined with a key, for whoever may see servers. */
  members: procedure("registration-keys:read")
    .input(Id)
    .output(Wire.output(Schema.Array(FleetServer.json)))
    .query(async ({ ctx, input }) => {
      const members = await ctx.run(RegistrationKeys.use((keys) => keys.members(ctx.admin.organizationId, input.id)))
      return ctx.admin.permissions.has("servers:read") ? members : []
    }),

  create: procedure("registration-keys:create")
    .input(Wire.input(RegistrationKeyRequest))
    .output(Wire.output(CreatedRegistrationKey))
    .mutation(({ ctx, input }) =>
      ctx.run(RegistrationKeys.use((keys) => keys.create(ctx.admin.organizationId, input)))
    ),

  revoke: procedure("registration-keys:revoke")
    .input(Id)
    .output(Wire.output(RegistrationKey.json))
    .mutation(({ ctx, input }) =>
      ctx.run(RegistrationKeys.use((keys) => keys.revoke(ctx.admin.organizationId, input.id)))
    )
})
