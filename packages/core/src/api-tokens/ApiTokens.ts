/** Credentials of machines for the public API. */
import type { AdminId } from "@broker/domain/Admin"
import type {
  ApiToken,
  ApiTokenId,
  ApiTokenNotFound,
  ApiTokenRequest,
  CreatedApiToken,
  InvalidNetwork
} from "@broker/domain/ApiToken"
import type { Credential, UnknownCredential } from "@broker/domain/Credential"
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld, Permission } from "@broker/domain/Permission"
import { Context, type Effect, Layer } from "effect"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import type { Authority } from "../admins/Authority.ts"
import type { Actor } from "../audit/Actor.ts"

/** A machine at work. Its permissions are its scopes, cut to what its owner may do right now (A5). */
export interface AuthenticatedToken extends Authority {
  readonly id: AdminId
  readonly tokenId: ApiTokenId
  readonly name: string
}

export class ApiTokens extends Context.Service<
  ApiTokens,
  {
    /** The only time that the secret is readable (B9). */
    create(
      owner: SignedInAdmin,
      request: ApiTokenRequest
    ): Effect.Effect<CreatedApiToken, MoreThanHeld | InvalidNetwork, Actor>
    /** All of the organization, or of one owner; the newest first. */
    list(organizationId: OrganizationId, ownerId: AdminId | null): Effect.Effect<ReadonlyArray<ApiToken>>
    /** One's own need no permission. Doing it again changes nothing. */
    revoke(
      organizationId: OrganizationId,
      id: ApiTokenId,
      ownerId: AdminId | null
    ): Effect.Effect<ApiToken, ApiTokenNotFound, Actor>
    /** Kept per node until a signal says that something changed; refused from other networks, as if unknown. */
    authenticate(
      credential: Credential<"apiToken">,
      address: string | null
    ): Effect.Effect<AuthenticatedToken, UnknownCredential>
    /** How many scopes of it a permission set would cut or give back, for previews of a change of role. */
    concernedBy(adminId: AdminId, permissions: ReadonlySet<Permission>): Effect.Effect<number>
  }
>()("@broker/core/api-tokens/ApiTokens") {
  static readonly layer = Layer.mock(ApiTokens)({})
}
