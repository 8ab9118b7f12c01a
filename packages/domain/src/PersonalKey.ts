/** A user's secret, shown once: it signs a client in. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { Secret, SecretDigestFromBytes } from "./Credential.ts"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { UserId } from "./User.ts"

export const PersonalKeyId = Uuid.pipe(Schema.brand("PersonalKeyId"))
export type PersonalKeyId = typeof PersonalKeyId.Type

/** Computed from the row and the clock. A replaced key is active until its overlap is over. */
export const PersonalKeyState = Schema.Literals(["active", "expired", "revoked"])
export type PersonalKeyState = typeof PersonalKeyState.Type

/** How many connections may be open at once by one key, or on one device (C2). */
export const ConnectionLimit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

/** What a key is for, to know it again. */
export const PersonalKeyName = Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1))

/** An instant that may never come. */
const Expiry = Model.Field({
  select: Schema.NullOr(Schema.DateTimeUtcFromDate),
  insert: Schema.NullOr(Schema.DateTimeUtcFromDate),
  json: Schema.NullOr(Schema.DateTimeUtcFromString)
})

/** Written by the broker after the key was made. */
const later = Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])

/** One row of `personal_keys`. */
export class PersonalKey extends Model.Class<PersonalKey>("PersonalKey")({
  id: Model.UuidV7Insert(PersonalKeyId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  userId: UserId,
  name: PersonalKeyName,
  digest: Model.Sensitive(SecretDigestFromBytes),
  /** The start of the secret that may be shown again. */
  hint: Schema.String,
  connectionLimit: ConnectionLimit,
  createdBy: Text(128),
  createdAt: Instant,
  /** Null for a key that does not expire. */
  expiresAt: Expiry,
  lastUsedAt: MaybeInstant,
  lastAddress: later(Schema.NullOr(Schema.String)),
  /** The key that took its place; it goes on until its overlap is over. */
  replacedBy: later(Schema.NullOr(PersonalKeyId)),
  revokedAt: MaybeInstant,
  revokedReason: later(Schema.NullOr(Schema.String)),
  state: later(PersonalKeyState),
  /** Intents and active connections that it opened. */
  liveConnections: later(Count)
}) {}

const expiresInSeconds = Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 3_660 * 86_400 })))

/** What an admin chooses when creating a key. */
export const PersonalKeyRequest = Schema.Struct({
  userId: UserId,
  name: PersonalKeyName,
  /** At most ten years; null for a key that does not expire. */
  expiresInSeconds,
  /** Null for what is usual here. */
  connectionLimit: Schema.NullOr(ConnectionLimit)
})
export type PersonalKeyRequest = typeof PersonalKeyRequest.Type

/** The successor has name, limit and lifetime of the key it replaces, which goes on for the overlap. */
export const PersonalKeyRotation = Schema.Struct({
  id: PersonalKeyId,
  /** 0 to 30 days; 0 ends the old key at once. */
  overlapSeconds: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 * 86_400 }))
})
export type PersonalKeyRotation = typeof PersonalKeyRotation.Type

/** The key as shown to the admin, once. */
export const CreatedPersonalKey = Schema.Struct({ ...PersonalKey.json.fields, key: Secret })
export type CreatedPersonalKey = typeof CreatedPersonalKey.Type

/** Unknown, expired and revoked keys, and those of suspended users, are refused alike. */
export class PersonalKeyRefused extends Problem<PersonalKeyRefused>()("PersonalKeyRefused", {
  code: "personal_key_refused",
  status: 401,
  title: "Personal key refused",
  detail: "The personal key is not valid.",
  remedy: "Ask an admin for a new key. The reason stands on the user's page."
}) {}

export class PersonalKeyNotFound extends Problem<PersonalKeyNotFound>()("PersonalKeyNotFound", {
  code: "personal_key_not_found",
  status: 404,
  title: "Personal key not found",
  detail: "There is no such personal key.",
  remedy: "Check the id."
}) {}

/** Only a key that is in use can be rotated, and only once. */
export class PersonalKeyOver extends Problem<PersonalKeyOver>()("PersonalKeyOver", {
  code: "personal_key_over",
  status: 409,
  title: "Personal key is over",
  detail: "The key is revoked, expired or replaced already.",
  remedy: "Create a new key for the user, or rotate the newest one."
}) {}
