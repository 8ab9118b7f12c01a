import { SignInDefence } from "@broker/core/sign-in-defence/SignInDefence"
import { SignInFailure } from "@broker/domain/SignInFailure"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const signInFailures = router({
  /** Those who have to wait first. */
  list: procedure("sign-in-failures:read")
    .output(Wire.output(Schema.Array(SignInFailure)))
    .query(({ ctx }) => ctx.run(SignInDefence.use((defence) => defence.list(ctx.admin.organizationId)))),

  lift: procedure("sign-in-failures:lift")
    .input(Wire.input(Schema.Struct({ id: SignInFailure.fields.id })))
    .mutation(({ ctx, input }) =>
      ctx.run(SignInDefence.use((defence) => defence.lift(ctx.admin.organizationId, input.id)))
    )
})
