/** The secret that lets new servers join, and what they get on joining. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { Secret, SecretDigestFromBytes } from "./Credential.ts"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { GroupId, ServerId, Tags } from "./Server.ts"

export const RegistrationKeyId = Uuid.pipe(Schema.brand("RegistrationKeyId"))
export type RegistrationKeyId = typeof RegistrationKeyId.Type

/** How many servers a key lets in: 1 unless asked otherwise. */
export const UseLimit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))

/** Computed from the row and the clock; nothing moves it back (B8). */
export const RegistrationKeyState = Schema.Literals(["active", "exhausted", "expired", "revoked"])
export type RegistrationKeyState = typeof RegistrationKeyState.Type

/** One row of `registration_keys`. */
export class RegistrationKey extends Model.Class<RegistrationKey>("RegistrationKey")({
  id: Model.UuidV7Insert(RegistrationKeyId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  name: Text(64),
  digest: Model.Sensitive(SecretDigestFromBytes),
  /** The start of the secret that may be shown again. */
  hint: Schema.String,
  useLimit: UseLimit,
  uses: Model.FieldExcept(["insert", "jsonCreate", "jsonUpdate"])(Count),
  tags: Tags,
  /** Whether servers wait for an admin's approval (B11). */
  approval: Schema.Boolean,
  /** The server whose key pair this key may replace (B6); null for a key that lets new servers in. */
  replacesServerId: Schema.NullOr(ServerId),
  /** The group that servers join; null for none. */
  groupId: Schema.NullOr(GroupId),
  createdBy: Text(128),
  createdAt: Instant,
  expiresAt: Instant,
  revokedAt: MaybeInstant,
  state: Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])(RegistrationKeyState)
}) {}

/** What an admin chooses when creating a key. */
export const RegistrationKeyRequest = Schema.Struct({
  name: Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1)),
  useLimit: UseLimit,
  /** At most 400 days. */
  expiresInSeconds: Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 400 * 86_400 })),
  tags: Tags,
  approval: Schema.Boolean,
  replacesServerId: Schema.NullOr(ServerId),
  groupId: Schema.optionalKey(Schema.NullOr(GroupId))
})
export type RegistrationKeyRequest = typeof RegistrationKeyRequest.Type

/** The key as shown to the admin, once. */
export const CreatedRegistrationKey = Schema.Struct({
  ...RegistrationKey.json.fields,
  key: Secret
})
export type CreatedRegistrationKey = typeof CreatedRegistrationKey.Type

/** B7: unknown, expired, exhausted and revoked keys are refused alike; the audit log knows which it was. */
export class RegistrationKeyRefused extends Problem<RegistrationKeyRefused>()("RegistrationKeyRefused", {
  code: "registration_key_refused",
  status: 403,
  title: "Registration key refused",
  detail: "The registration key is not valid.",
  remedy: "Ask an admin for a new key. The reason stands in the audit log."
}) {}

/** B6: it is for a server that is in a group already, or in none. */
export class ReplacementKeyGivesNothing extends Problem<ReplacementKeyGivesNothing>()("ReplacementKeyGivesNothing", {
  code: "replacement_key_gives_nothing",
  status: 400,
  title: "Not by a replacement key",
  detail:
    "A replacement key lets one server change its key pair. It puts the server into no group and gives it no tags.",
  remedy: "Leave out the group and the tags, and assign them to the server itself."
}) {}

export class RegistrationKeyNotFound extends Problem<RegistrationKeyNotFound>()("RegistrationKeyNotFound", {
  code: "registration_key_not_found",
  status: 404,
  title: "Registration key not found",
  detail: "There is no such registration key.",
  remedy: "Check the id."
}) {}
