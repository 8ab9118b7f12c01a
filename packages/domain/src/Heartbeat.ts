/** A server's sign of life, and what the broker says back. */
import { Schema } from "effect"
import { PendingChallenge } from "./Challenge.ts"
import { CutOrder } from "./Connection.ts"
import { Count, Text, Timestamp, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { Admission, Liveness } from "./Server.ts"

const metricName = /^[A-Za-z][A-Za-z0-9_.]{0,63}$/

/** Numbers by name (H9): `cpu` (0 to 1), `memory*` (bytes), `rxBytes`, `txBytes` and `rttMs` are understood. */
export const Metrics = Schema.Record(Schema.String, Schema.Finite).check(
  Schema.makeFilter((metrics) => {
    const names = Object.keys(metrics)
    if (names.length > 64) return "must not have more than 64 metrics"
    const wrong = names.find((name) => !metricName.test(name))
    return wrong === undefined || { path: [wrong], issue: "must be named by a letter, then letters, digits, _ and ." }
  })
)
export type Metrics = typeof Metrics.Type

/** `(bootId, seq)` orders heartbeats (H3): `seq` counts up within one boot of the server. */
export const Heartbeat = Schema.Struct({
  bootId: Uuid,
  seq: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  /** The server's clock: a claim (H4). */
  sentAt: Timestamp,
  activeConnections: Count,
  metrics: Metrics,
  /** Every connection that is open on the server (C4). Left out, the broker does not compare. */
  connections: Schema.optionalKey(Schema.Array(Uuid).check(Schema.isMaxLength(1_500))),
  /** As the last answer gave it: the server has heard of all orders up to it. */
  cutCursor: Schema.optionalKey(Text(64))
}).annotate({ title: "Heartbeat" })
export type Heartbeat = typeof Heartbeat.Type

/** A notice that an agent obeys: an admin wants the server to change its key pair (V4). Others are for people. */
export const rotateKeyNotice = "rotate-key"

export const HeartbeatReply = Schema.Struct({
  liveness: Liveness,
  admission: Admission,
  /** When to send the next one (H1). */
  nextHeartbeatSeconds: Schema.Finite,
  /** The broker's clock. */
  time: Schema.DateTimeUtcFromString,
  challenge: Schema.NullOr(PendingChallenge),
  /** Connections to end at once (C6), and what to send as `cutCursor` once they are. */
  cuts: Schema.Struct({ cursor: Schema.String, connections: Schema.Array(CutOrder) }),
  /** `rotate-key` asks for a new key pair; whatever else stands here is for people. */
  notices: Schema.Array(Schema.String)
}).annotate({ title: "HeartbeatReply" })
export type HeartbeatReply = typeof HeartbeatReply.Type

/** The buffer is full (H7): the database is away or too slow, and the broker sheds load rather than queue it. */
export class Overloaded extends Problem<Overloaded>()("Overloaded", {
  code: "overloaded",
  status: 503,
  title: "Overloaded",
  detail: "The broker cannot take this heartbeat now.",
  remedy: "Try again after the time in Retry-After."
}) {}
