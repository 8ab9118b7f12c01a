/** One installation of a client. It is registered when it first signs in. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { isVisible, PublicKey, PublicKeyFromBytes } from "./Server.ts"
import { UserId } from "./User.ts"

export const DeviceId = Uuid.pipe(Schema.brand("DeviceId"))
export type DeviceId = typeof DeviceId.Type

/** What tells a user's devices apart, chosen by the client: the same for as long as it is installed. */
export const Fingerprint = Text(256).check(Schema.isMinLength(1), isVisible)

export const DeviceName = Text(128).check(Schema.isMinLength(1), isVisible)

/** Such as `linux`, `macos`, `windows`, `android` or `ios`; compared in lower case. */
export const Platform = Text(64).check(Schema.isMinLength(1), isVisible)

/** One row of `devices`. */
export class Device extends Model.Class<Device>("Device")({
  id: Model.UuidV7Insert(DeviceId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  userId: UserId,
  fingerprint: Fingerprint,
  name: DeviceName,
  platform: Platform,
  /** What its grants are bound to, where it has one. */
  publicKey: Model.Field({
    select: Schema.NullOr(PublicKeyFromBytes),
    insert: Schema.NullOr(PublicKeyFromBytes),
    json: Schema.NullOr(PublicKey)
  }),
  connectionLimit: Count,
  createdAt: Instant,
  lastSeenAt: Instant,
  lastAddress: Schema.NullOr(Schema.String),
  blockedAt: MaybeInstant,
  blockedReason: Model.FieldExcept(["insert"])(Schema.NullOr(Schema.String)),
  /** Intents and active connections. */
  liveConnections: Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])(Count)
}) {}

/** What a client says of the device it runs on. */
export const DeviceStatement = Schema.Struct({
  fingerprint: Fingerprint,
  name: DeviceName,
  platform: Platform,
  publicKey: Schema.optionalKey(PublicKey)
}).annotate({ title: "DeviceStatement" })
export type DeviceStatement = typeof DeviceStatement.Type

export class DeviceNotFound extends Problem<DeviceNotFound>()("DeviceNotFound", {
  code: "device_not_found",
  status: 404,
  title: "Device not found",
  detail: "There is no such device.",
  remedy: "Check the id."
}) {}

export class DeviceBlocked extends Problem<DeviceBlocked>()("DeviceBlocked", {
  code: "device_blocked",
  status: 403,
  title: "Device blocked",
  detail: "An admin has blocked this device.",
  remedy: "Ask an admin to unblock it."
}) {}

export class DeviceLimit extends Problem<DeviceLimit>()("DeviceLimit", {
  code: "device_limit",
  status: 409,
  title: "Too many devices",
  detail: "The user has as many devices as a user may have.",
  remedy: "Have an admin remove a device that is not used any more."
}) {}

/** Grants of a device stay bound to the key that it was registered with: another one is another device's. */
export class DeviceKeyMismatch extends Problem<DeviceKeyMismatch>()("DeviceKeyMismatch", {
  code: "device_key_mismatch",
  status: 409,
  title: "Device key mismatch",
  detail: "The device is known by another public key.",
  remedy:
    "Use the device's own key pair. If it is lost, sign in under a new fingerprint, or have an admin remove the device."
}) {}
