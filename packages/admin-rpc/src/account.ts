import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Passkeys } from "@broker/core/second-factors/Passkeys"
import { SecondFactors } from "@broker/core/second-factors/SecondFactors"
import { AdminSession, AdminSessionId } from "@broker/domain/AdminSession"
import { ApiToken, ApiTokenId, ApiTokenRequest, CreatedApiToken } from "@broker/domain/ApiToken"
import { Passkey, PasskeyId, PasskeyName, TotpEnrolment } from "@broker/domain/SecondFactor"
import { Schema } from "effect"
import { procedure, provenly, router, signedIn } from "./trpc.ts"
import * as Wire from "./wire.ts"

/**
 * What admins see and change of their own. Needs no permission but the session itself; what changes how they sign in
 * asks again who they are. What moves the session to a new id is plain HTTP, because it sets a cookie.
 */
export const account = router({
  sessions: signedIn
    .output(Wire.output(Schema.Array(AdminSession)))
    .query(({ ctx }) => ctx.run(AdminSessions.use((sessions) => sessions.list(ctx.admin)))),

  revokeSession: signedIn
    .input(Wire.input(Schema.Struct({ id: AdminSessionId })))
    .mutation(({ ctx, input }) => ctx.run(AdminSessions.use((sessions) => sessions.revoke(ctx.admin, input.id)))),

  /** Answers how many ended. */
  revokeOtherSessions: signedIn
    .output(Wire.output(Schema.Int))
    .mutation(({ ctx }) => ctx.run(AdminSessions.use((sessions) => sessions.revokeOthers(ctx.admin)))),

  beginTotp: provenly
    .output(Wire.output(TotpEnrolment))
    .mutation(({ ctx }) => ctx.run(SecondFactors.use((factors) => factors.beginTotp(ctx.admin)))),

  passkeys: signedIn
    .output(Wire.output(Schema.Array(Passkey.json)))
    .query(({ ctx }) => ctx.run(Passkeys.use((passkeys) => passkeys.list(ctx.admin.id)))),

  renamePasskey: signedIn
    .input(Wire.input(Schema.Struct({ id: PasskeyId, name: PasskeyName })))
    .output(Wire.output(Passkey.json))
    .mutation(({ ctx, input }) =>
      ctx.run(Passkeys.use((passkeys) => passkeys.rename(ctx.admin, input.id, input.name)))
    ),

  apiTokens: signedIn
    .output(Wire.output(Schema.Array(ApiToken.json)))
    .query(({ ctx }) => ctx.run(ApiTokens.use((tokens) => tokens.list(ctx.admin.organizationId, ctx.admin.id)))),

  createApiToken: procedure("api-tokens:create", { provenly: true })
    .input(Wire.input(ApiTokenRequest))
    .output(Wire.output(CreatedApiToken))
    .mutation(({ ctx, input }) => ctx.run(ApiTokens.use((tokens) => tokens.create(ctx.admin, input)))),

  revokeApiToken: signedIn
    .input(Wire.input(Schema.Struct({ id: ApiTokenId })))
    .output(Wire.output(ApiToken.json))
    .mutation(({ ctx, input }) =>
      ctx.run(ApiTokens.use((tokens) => tokens.revoke(ctx.admin.organizationId, input.id, ctx.admin.id)))
    )
})
