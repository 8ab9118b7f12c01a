import { Verification } from "@broker/core/verification/Verification"
import { Page } from "@broker/domain/Primitives"
import { ServerId } from "@broker/domain/Server"
import { CapabilityStanding, VerificationFigures, VerificationQuery, VerifiedServer } from "@broker/domain/Verification"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: ServerId }))

export const verification = router({
  figures: procedure("verification:read")
    .output(Wire.output(VerificationFigures))
    .query(({ ctx }) => ctx.run(Verification.use((verification) => verification.figures(ctx.admin.organizationId)))),

  list: procedure("verification:read")
    .input(Wire.input(VerificationQuery))
    .output(Wire.output(Page(VerifiedServer)))
    .query(({ ctx, input }) =>
      ctx.run(Verification.use((verification) => verification.list(ctx.admin.organizationId, input)))
    ),

  ofServer: procedure("verification:read")
    .input(Id)
    .output(Wire.output(VerifiedServer))
    .query(({ ctx, input }) =>
      ctx.run(Verification.use((verification) => verification.ofServer(ctx.admin.organizationId, input.id)))
    ),

  /** The server is told with its next heartbeat to change its key pair. */
  requestRotation: procedure("servers:verify")
    .input(Id)
    .output(Wire.output(VerifiedServer))
    .mutation(({ ctx, input }) =>
      ctx.run(Verification.use((verification) => verification.requestRotation(ctx.admin.organizationId, input.id)))
    ),

  capabilities: procedure("servers:read")
    .input(Id)
    .output(Wire.output(Schema.Array(CapabilityStanding)))
    .query(({ ctx, input }) =>
      ctx.run(Verification.use((verification) => verification.capabilities(ctx.admin.organizationId, input.id)))
    )
})
