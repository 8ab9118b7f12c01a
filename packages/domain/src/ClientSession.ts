/** How a client signs in: a personal key and a device become a short-lived token. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { Connection } from "./Connection.ts"
import { Device, DeviceId, DeviceStatement } from "./Device.ts"
import { OrganizationId } from "./Organization.ts"
import { PersonalKeyId } from "./PersonalKey.ts"
import { Count, Instant, MaybeInstant, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { User, UserId } from "./User.ts"

export const ClientSessionId = Uuid.pipe(Schema.brand("ClientSessionId"))
export type ClientSessionId = typeof ClientSessionId.Type

/** `brk_ses_` and a compact JWS. Signed, so that no node has to look up who it is; the session can end before it does. */
export const SessionToken = Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(2_048)), {
  label: "session token"
})
export type SessionToken = typeof SessionToken.Type

export const SessionEndReason = Schema.Literals(["signed_out", "key_revoked", "device_blocked", "user_suspended"])
export type SessionEndReason = typeof SessionEndReason.Type

/** One row of `client_sessions`. */
export class ClientSession extends Model.Class<ClientSession>("ClientSession")({
  id: Model.UuidV7Insert(ClientSessionId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  userId: UserId,
  deviceId: DeviceId,
  personalKeyId: PersonalKeyId,
  address: Schema.NullOr(Schema.String),
  createdAt: Instant,
  expiresAt: Instant,
  endedAt: MaybeInstant,
  endReason: Model.FieldExcept(["insert"])(Schema.NullOr(SessionEndReason))
}) {}

/** A client at work. */
export interface SignedInClient {
  readonly sessionId: ClientSessionId
  readonly organizationId: OrganizationId
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly personalKeyId: PersonalKeyId
}

/** What a client sends to sign in. The personal key comes as the bearer. */
export const ClientSignIn = Schema.Struct({ device: DeviceStatement }).annotate({ title: "ClientSignIn" })
export type ClientSignIn = typeof ClientSignIn.Type

const user = User.json.fields
/** The user, as their own client sees them. */
export const OwnUser = Schema.Struct({ id: user.id, name: user.name, email: user.email }).annotate({ title: "OwnUser" })

const device = Device.json.fields
/** The device, as its own client sees it. */
export const OwnDevice = Schema.Struct({
  id: device.id,
  fingerprint: device.fingerprint,
  name: device.name,
  platform: device.platform,
  publicKey: device.publicKey,
  createdAt: device.createdAt
}).annotate({ title: "OwnDevice" })

export const ClientSignedIn = Schema.Struct({
  token: SessionToken,
  expiresAt: Schema.DateTimeUtcFromString,
  user: OwnUser,
  device: OwnDevice
}).annotate({ title: "ClientSignedIn" })
export type ClientSignedIn = typeof ClientSignedIn.Type

/** How many connections may be open at once, and devices known (C2). */
export const ClientLimits = Schema.Struct({
  connectionsPerKey: Count,
  connectionsPerDevice: Count,
  devicesPerUser: Count
}).annotate({ title: "ClientLimits" })

export const Me = Schema.Struct({
  user: OwnUser,
  device: OwnDevice,
  limits: ClientLimits,
  /** Intents and active connections of this device. */
  connections: Schema.Array(Connection.json)
}).annotate({ title: "Me" })
export type Me = typeof Me.Type

/** After failures the next try has to wait: longer each time, per key and per address, never for good. */
export class TooManyAttempts extends Problem<TooManyAttempts>()(
  "TooManyAttempts",
  {
    code: "too_many_attempts",
    status: 429,
    title: "Too many attempts",
    detail: "Too many sign-ins failed. The next one counts after the time in Retry-After.",
    remedy: "Wait as long as Retry-After says, and check the personal key."
  },
  { retryAfterSeconds: Schema.Finite }
) {}
