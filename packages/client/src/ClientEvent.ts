/** What a client goes through, for programs to follow and for people to read. */
import { ConnectionId, ConnectionParty, ConnectionStatus } from "@broker/domain/Connection"
import { DeviceId } from "@broker/domain/Device"
import { ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { Match, Schema } from "effect"

export const ClientEvent = Schema.Union([
  Schema.TaggedStruct("SignedIn", {
    userId: UserId,
    userName: Schema.String,
    deviceId: DeviceId,
    expiresAt: Schema.DateTimeUtcFromString
  }),
  Schema.TaggedStruct("SignedOut", {}),
  /** The broker gave a grant for a server. */
  Schema.TaggedStruct("Granted", { connectionId: ConnectionId, serverId: ServerId, serverName: Schema.String }),
  /** The broker took a report. */
  Schema.TaggedStruct("Reported", { connectionId: ConnectionId, status: ConnectionStatus }),
  /** A connection is over, whoever ended it. */
  Schema.TaggedStruct("ConnectionOver", {
    connectionId: ConnectionId,
    /** Null where the broker could not be asked any more. */
    by: Schema.NullOr(ConnectionParty),
    reason: Schema.String
  }),
  /** Something failed, and will be tried again. `reason` is a code of the broker's, or of the way there. */
  Schema.TaggedStruct("Waiting", { reason: Schema.String, detail: Schema.String, retryInSeconds: Schema.Finite }),
  /** The broker does not let this client in. */
  Schema.TaggedStruct("SignInRefused", { reason: Schema.String, detail: Schema.String })
])
export type ClientEvent = typeof ClientEvent.Type

const span = (seconds: number) => (seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`)

const parties = {
  client: "by this client",
  server: "by the server",
  broker: "by the broker",
  admin: "by an admin"
} as const

/** One line for people. */
export const describe: (event: ClientEvent) => string = Match.type<ClientEvent>().pipe(
  Match.tagsExhaustive({
    SignedIn: ({ deviceId, userName }) => `Signed in as ${userName}, device ${deviceId}`,
    SignedOut: () => "Signed out",
    Granted: ({ connectionId, serverName }) => `Connection ${connectionId} granted, to server ${serverName}`,
    Reported: ({ connectionId, status }) => `Connection ${connectionId}: ${status}`,
    ConnectionOver: ({ by, connectionId, reason }) =>
      `Connection ${connectionId} is over${by === null ? "" : `, ended ${parties[by]}`}: ${reason}`,
    Waiting: ({ detail, reason, retryInSeconds }) =>
      `${detail.replace(/\.$/, "")} (${reason}); trying again in ${span(retryInSeconds)}`,
    SignInRefused: ({ detail, reason }) => `Sign-in refused: ${detail.replace(/\.$/, "")} (${reason})`
  })
)

/** Whether it is bad news. */
export const isWarning = ({ _tag }: ClientEvent) => _tag === "Waiting" || _tag === "SignInRefused"
