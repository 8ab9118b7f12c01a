/** What the broker found suspicious: for people who guard the organization, and for the systems they collect it in. */
import { Schema } from "effect"
import { PageLimit, Text } from "./Primitives.ts"
import { ServerId } from "./Server.ts"

/**
 * - `public_key_reused`: a server wanted to register with a key that another one has
 * - `challenge_failed`: a server answered a question with a wrong signature
 * - `server_forked`: two machines speak as one server
 * - `token_reused`: a server used a token that it had replaced
 * - `device_key_mismatch`: a device came with another key than it was registered with
 * - `sign_in_slowed`: somebody tried so many passwords or codes that they have to wait
 * - `passkey_cloned`: a passkey counted backwards, as a copy of it does
 * - `fleet_silent`: much of the fleet fell silent at once
 */
export const SecurityEventKind = Schema.Literals([
  "public_key_reused",
  "challenge_failed",
  "server_forked",
  "token_reused",
  "device_key_mismatch",
  "sign_in_slowed",
  "passkey_cloned",
  "fleet_silent"
])
export type SecurityEventKind = typeof SecurityEventKind.Type

export const Severity = Schema.Literals(["low", "medium", "high", "critical"])
export type Severity = typeof Severity.Type

/** A whole number as text, which grows from one to the next. With 18 digits at most the database can hold it. */
export const SecurityEventId = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,17}$/, { message: "must be the id of a security event, such as 42" })
).pipe(Schema.brand("SecurityEventId"))
export type SecurityEventId = typeof SecurityEventId.Type

export const SecurityEvent = Schema.Struct({
  id: SecurityEventId,
  at: Schema.DateTimeUtcFromString,
  kind: SecurityEventKind,
  severity: Severity,
  /** Whom it is about, where that is a server. */
  server: Schema.NullOr(Schema.Struct({ id: ServerId, name: Schema.String }).annotate({ title: "Named" })),
  /** Where it came from. */
  address: Schema.NullOr(Schema.String),
  details: Schema.Record(Schema.String, Schema.Unknown)
}).annotate({ title: "SecurityEvent" })
export type SecurityEvent = typeof SecurityEvent.Type

/** All that is asked for has to hold. */
export const SecurityEventsQuery = Schema.Struct({
  /** Any of them; of all where there are none. */
  kinds: Schema.Array(SecurityEventKind),
  severities: Schema.Array(Severity),
  serverId: Schema.NullOr(ServerId),
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type SecurityEventsQuery = typeof SecurityEventsQuery.Type
