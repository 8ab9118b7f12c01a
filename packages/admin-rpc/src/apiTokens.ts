import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { ApiToken, ApiTokenId } from "@broker/domain/ApiToken"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

/** Everybody's; one's own are under `account`. */
export const apiTokens = router({
  list: procedure("api-tokens:read")
    .output(Wire.output(Schema.Array(ApiToken.json)))
    .query(({ ctx }) => ctx.run(ApiTokens.use((tokens) => tokens.list(ctx.admin.organizationId, null)))),

  revoke: procedure("api-tokens:revoke")
    .input(Wire.input(Schema.Struct({ id: ApiTokenId })))
    .output(Wire.output(ApiToken.json))
    .mutation(({ ctx, input }) =>
      ctx.run(ApiTokens.use((tokens) => tokens.revoke(ctx.admin.organizationId, input.id, null)))
    )
})
