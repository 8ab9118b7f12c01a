import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import {
  CreatedPersonalKey,
  PersonalKey,
  PersonalKeyId,
  PersonalKeyRequest,
  PersonalKeyRotation
} from "@broker/domain/PersonalKey"
import { Text } from "@broker/domain/Primitives"
import { UserId } from "@broker/domain/User"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const personalKeys = router({
  /** Of one user. */
  list: procedure("users:read")
    .input(Wire.input(Schema.Struct({ userId: UserId })))
    .output(Wire.output(Schema.Array(PersonalKey.json)))
    .query(({ ctx, input }) => ctx.run(PersonalKeys.use((keys) => keys.list(ctx.admin.organizationId, input.userId)))),

  create: procedure("personal-keys:create")
    .input(Wire.input(PersonalKeyRequest))
    .output(Wire.output(CreatedPersonalKey))
    .mutation(({ ctx, input }) => ctx.run(PersonalKeys.use((keys) => keys.create(ctx.admin.organizationId, input)))),

  rotate: procedure("personal-keys:create")
    .input(Wire.input(PersonalKeyRotation))
    .output(Wire.output(CreatedPersonalKey))
    .mutation(({ ctx, input }) => ctx.run(PersonalKeys.use((keys) => keys.rotate(ctx.admin.organizationId, input)))),

  revoke: procedure("personal-keys:revoke")
    .input(Wire.input(Schema.Struct({ id: PersonalKeyId, reason: Text(256) })))
    .output(Wire.output(PersonalKey.json))
    .mutation(({ ctx, input }) =>
      ctx.run(PersonalKeys.use((keys) => keys.revoke(ctx.admin.organizationId, input.id, input.reason)))
    )
})
