/** What an agent goes through, for programs to follow and for people to read. */
import { ConnectionId } from "@broker/domain/Connection"
import { DeviceId } from "@broker/domain/Device"
import { Admission, Liveness, ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { Match, Schema } from "effect"
import { GrantFault } from "./GrantCheck.ts"

export const AgentEvent = Schema.Union([
  /** It is the server that it was before the restart. */
  Schema.TaggedStruct("Resumed", { serverId: ServerId, name: Schema.String }),
  Schema.TaggedStruct("Registered", {
    serverId: ServerId,
    name: Schema.String,
    admission: Admission,
    /** The broker knew the key pair from a registration whose answer was lost (B2). */
    again: Schema.Boolean
  }),
  /** A challenge was answered. */
  Schema.TaggedStruct("Verified", { verifiedAt: Schema.DateTimeUtcFromString }),
  /** The server has a new key pair (V4). */
  Schema.TaggedStruct("KeyChanged", { publicKey: Schema.String }),
  /** The broker took a heartbeat. */
  Schema.TaggedStruct("Heartbeat", {
    seq: Schema.Int,
    liveness: Liveness,
    admission: Admission,
    nextInSeconds: Schema.Finite
  }),
  /** Something that the broker's operators want this server's operator to read. */
  Schema.TaggedStruct("Notice", { text: Schema.String }),
  /** How far the broker's clock is ahead of this machine's. */
  Schema.TaggedStruct("ClockSkew", { seconds: Schema.Finite }),
  /** A grant was good, and its connection is open. */
  Schema.TaggedStruct("ConnectionOpened", { connectionId: ConnectionId, userId: UserId, deviceId: DeviceId }),
  /** Somebody came with a grant that is none for them, or for now. */
  Schema.TaggedStruct("ConnectionRefused", { reason: GrantFault, detail: Schema.String }),
  Schema.TaggedStruct("ConnectionClosed", {
    connectionId: ConnectionId,
    /** Whether the gateway closed it, or the broker had it closed. */
    by: Schema.Literals(["server", "broker"]),
    reason: Schema.String
  }),
  /** The broker gave orders to end connections at once (C6), and those that were open are closed. */
  Schema.TaggedStruct("Cut", { cursor: Schema.String, connections: Schema.Int }),
  /** Something failed, and will be tried again. `reason` is a code of the broker's, or of the way there. */
  Schema.TaggedStruct("Waiting", { reason: Schema.String, detail: Schema.String, retryInSeconds: Schema.Finite }),
  /** The last event: the broker does not want this server. */
  Schema.TaggedStruct("Stopped", { reason: Schema.String, detail: Schema.String })
])
export type AgentEvent = typeof AgentEvent.Type

const span = (seconds: number) => (seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`)

const admissions = {
  pending: "waiting for an admin's approval",
  approved: "approved",
  suspended: "suspended",
  retired: "retired"
} as const

/** One line for people. */
export const describe: (event: AgentEvent) => string = Match.type<AgentEvent>().pipe(
  Match.tagsExhaustive({
    Resumed: ({ name, serverId }) => `Server ${name} (${serverId})`,
    Registered: ({ admission, again, name, serverId }) =>
      `Registered${again ? " again" : ""} as ${name} (${serverId}), ${admissions[admission]}`,
    Verified: () => "Verified: the broker knows that this server holds its private key",
    KeyChanged: ({ publicKey }) => `Changed the key pair: the public key is ${publicKey} now`,
    Heartbeat: ({ admission, liveness, nextInSeconds, seq }) =>
      `Heartbeat ${seq}: ${liveness}, ${admissions[admission]}; next in ${span(nextInSeconds)}`,
    Notice: ({ text }) => `The broker says: ${text}`,
    ClockSkew: ({ seconds }) =>
      `This machine's clock is ${span(Math.abs(seconds))} ${seconds > 0 ? "behind" : "ahead of"} the broker's: set it`,
    ConnectionOpened: ({ connectionId, deviceId }) => `Connection ${connectionId} opened, by device ${deviceId}`,
    ConnectionRefused: ({ detail, reason }) => `A connection was refused: ${detail.replace(/\.$/, "")} (${reason})`,
    ConnectionClosed: ({ by, connectionId, reason }) =>
      `Connection ${connectionId} closed${by === "broker" ? " at the broker's word" : ""}: ${reason}`,
    Cut: ({ connections }) => `The broker cut ${connections} connection${connections === 1 ? "" : "s"}`,
    Waiting: ({ detail, reason, retryInSeconds }) =>
      `${detail.replace(/\.$/, "")} (${reason}); trying again in ${span(retryInSeconds)}`,
    Stopped: ({ detail, reason }) => `Stopped: ${detail.replace(/\.$/, "")} (${reason})`
  })
)

/** Whether it is bad news. */
export const isWarning = ({ _tag }: AgentEvent) => _tag === "ClockSkew" || _tag === "Waiting" || _tag === "Stopped"
