/** A machine's credential for the public API: with scopes, an owner, an end, and the networks it may be used from. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { AdminId } from "./Admin.ts"
import { Secret, SecretDigestFromBytes } from "./Credential.ts"
import { OrganizationId } from "./Organization.ts"
import { Permission } from "./Permission.ts"
import { Instant, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const ApiTokenId = Uuid.pipe(Schema.brand("ApiTokenId"))
export type ApiTokenId = typeof ApiTokenId.Type

export const ApiTokenState = Schema.Literals(["active", "expired", "revoked"])
export type ApiTokenState = typeof ApiTokenState.Type

export const ApiTokenName = Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1))

/** A network in CIDR notation, such as 203.0.113.0/24 or 2001:db8::/48; a single address is one too. */
export const Network = Text(64).check(
  Schema.isPattern(/^[0-9a-fA-F:.]+(\/[0-9]{1,3})?$/, { message: "must be a network such as 203.0.113.0/24" })
)

const later = Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])

/** One row of `api_tokens`. */
export class ApiToken extends Model.Class<ApiToken>("ApiToken")({
  id: Model.UuidV7Insert(ApiTokenId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  ownerId: AdminId,
  ownerName: later(Schema.String),
  name: ApiTokenName,
  digest: Model.Sensitive(SecretDigestFromBytes),
  /** The start of the secret that may be shown again. */
  hint: Schema.String,
  /** What was asked for. At use they are cut to what the owner may do then (A5). */
  scopes: Schema.Array(Permission),
  /** Empty for everywhere. */
  networks: Schema.Array(Schema.String),
  createdAt: Instant,
  expiresAt: Instant,
  lastUsedAt: MaybeInstant,
  lastAddress: later(Schema.NullOr(Schema.String)),
  revokedAt: MaybeInstant,
  state: later(ApiTokenState),
  /** Scopes that the owner has no permission for any more: they do nothing. */
  idle: later(Schema.Array(Permission))
}) {}

/**
 * What routes of the public API ask for, and what reports and events are shown for: offered to whoever makes a token, as
 * others would do nothing yet.
 */
export const servedScopes: ReadonlyArray<Permission> = [
  "servers:read",
  "servers:approve",
  "servers:suspend",
  "servers:drain",
  "servers:verify",
  "servers:retire",
  "servers:limit",
  "servers:update",
  "groups:read",
  "groups:create",
  "groups:update",
  "groups:delete",
  "metrics:read",
  "verification:read",
  "maintenance:read",
  "fleet-guard:read",
  "events:read",
  "security-events:read",
  "webhooks:read",
  "webhooks:create",
  "webhooks:update",
  "webhooks:delete",
  "reports:read",
  "reports:create",
  "reports:update",
  "reports:delete",
  "registration-keys:read",
  "registration-keys:create",
  "registration-keys:revoke",
  "users:read",
  "users:create",
  "users:update",
  "users:suspend",
  "users:delete",
  "personal-keys:create",
  "personal-keys:revoke",
  "devices:block",
  "connections:read",
  "connections:disconnect",
  "analytics:read",
  "admins:read",
  "roles:read",
  "api-tokens:read",
  "audit:read"
]

/** At most a year; there is no token without an end. */
export const ApiTokenRequest = Schema.Struct({
  name: ApiTokenName,
  scopes: Schema.Array(Permission).check(
    Schema.isMinLength(1, { message: "must hold at least one scope" }),
    Schema.isUnique()
  ),
  networks: Schema.Array(Network).check(Schema.isMaxLength(32)),
  expiresInSeconds: Schema.Int.check(Schema.isBetween({ minimum: 3_600, maximum: 366 * 86_400 }))
})
export type ApiTokenRequest = typeof ApiTokenRequest.Type

/** The token as shown to its owner, once. */
export const CreatedApiToken = Schema.Struct({ ...ApiToken.json.fields, token: Secret })
export type CreatedApiToken = typeof CreatedApiToken.Type

export class ApiTokenNotFound extends Problem<ApiTokenNotFound>()("ApiTokenNotFound", {
  code: "api_token_not_found",
  status: 404,
  title: "API token not found",
  detail: "There is no such API token.",
  remedy: "Check the id."
}) {}

/** A network is no network, such as 10.0.0.1/8. */
export class InvalidNetwork extends Problem<InvalidNetwork>()("InvalidNetwork", {
  code: "invalid_network",
  status: 422,
  title: "Invalid network",
  detail: "One of the networks is not an address or a network in CIDR notation.",
  remedy: "Write networks as 203.0.113.0/24 or 2001:db8::/48, with all bits after the prefix zero."
}) {}
