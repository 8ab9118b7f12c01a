import type { ClientConnection, ClientError } from "@broker/client/Client"
import { ClientEvent, describe, isWarning } from "@broker/client/ClientEvent"
import * as NodeClient from "@broker/client/NodeClient"
import { ConnectionRequest } from "@broker/domain/Connection"
import type { Place } from "@broker/domain/Discovery"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Console, DateTime, Duration, Effect, FileSystem, Option, Redacted, Schema } from "effect"
import * as Tunnel from "../../demo/Tunnel.ts"
import * as Kind from "../../settings/Kind.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"

interface Flags {
  readonly url: string
  readonly key: Option.Option<Redacted.Redacted<string>>
  readonly keyFile: Option.Option<string>
  readonly server: Option.Option<string>
  readonly near: Option.Option<Place>
  readonly tags: ReadonlyArray<string>
  readonly capabilities: ReadonlyArray<string>
  readonly stateDir: string
  readonly lasting: Option.Option<string>
  readonly json: boolean
}

/** How often it sends and receives, and how often it tells the broker. */
const beat = Duration.seconds(1)
const every = "5 seconds"

const usage = (what: string, remedy = "See `broker connect --help`.") =>
  new CommandFailed({ code: ExitCode.usage, what, remedy })

const explain = (error: ClientError | NodeClient.ClientSetupError) => {
  switch (error._tag) {
    case "Refused":
      return new CommandFailed({
        code: ExitCode.refused,
        what: `${error.detail} (${error.code})`,
        remedy: error.remedy
      })
    case "Unavailable":
      return new CommandFailed({
        code: ExitCode.unreachable,
        what: error.message,
        remedy: "Check the address after --url, and that the broker runs."
      })
    case "InvalidOptions":
      return usage(error.message)
    default:
      return usage(error.message, "--state-dir names another directory.")
  }
}

const readKey = Effect.fnUntraced(function* ({ key, keyFile }: Flags) {
  if (Option.isNone(keyFile)) {
    if (Option.isSome(key)) return key.value
    return yield* usage("A personal key is needed: in BROKER_PERSONAL_KEY, or in a file after --key-file.")
  }
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.catchTag(fs.readFileString(keyFile.value), "PlatformError", ({ message }) =>
    Effect.fail(usage(`The personal key cannot be read: ${message}`, "Check the path after --key-file."))
  )
  return Redacted.make(text.trim())
})

const readTime = (text: string) =>
  Effect.mapError(Schema.decodeEffect(Kind.DurationText)(text.trim()), () =>
    usage(`--for ${text} is no time, such as 30s or 5m.`)
  )

const decodeRequest = Schema.decodeUnknownEffect(ConnectionRequest)

const requestOf = ({ capabilities, near, server, tags }: Flags) => {
  const select = {
    ...(Option.isSome(near) ? { near: near.value } : {}),
    ...(tags.length > 0 ? { tag: tags } : {}),
    ...(capabilities.length > 0 ? { capability: capabilities } : {})
  }
  if (Option.isSome(server) && Object.keys(select).length > 0) {
    return Effect.fail(usage("--server names the server: it does not go with --near, --tag and --capability."))
  }
  return Effect.mapError(
    decodeRequest(Option.isSome(server) ? { serverId: server.value } : { select }),
    ({ message }) => usage(message)
  )
}

/** What this client tells beside what every client does. */
const Told = Schema.Union([
  ClientEvent,
  /** The gateway took the grant. */
  Schema.TaggedStruct("Opened", { connectionId: Schema.String, gateway: Schema.String }),
  /** The server has no gateway for demonstrations: nobody takes the grant. */
  Schema.TaggedStruct("NoGateway", {
    connectionId: Schema.String,
    serverName: Schema.String,
    /** The one that it names on another machine. */
    elsewhere: Schema.optionalKey(Schema.String)
  }),
  Schema.TaggedStruct("Traffic", { rxBytes: Schema.Finite, txBytes: Schema.Finite })
])
type Told = typeof Told.Type

const encode = Schema.encodeEffect(Told)

const printJson = Effect.fnUntraced(function* (told: Told) {
  const { _tag, ...details } = yield* Effect.orDie(encode(told))
  yield* Console.log(JSON.stringify({ at: DateTime.formatIso(yield* DateTime.now), event: _tag, ...details }))
})

const lineOf = (told: Told) => {
  switch (told._tag) {
    case "Opened":
      return `Open: the gateway at ${told.gateway} took the grant`
    case "NoGateway":
      return told.elsewhere === undefined
        ? `Server ${told.serverName} has no demonstration gateway: nobody takes the grant, and the connection expires`
        : `Server ${told.serverName} names a demonstration gateway at ${told.elsewhere}, which is not on this machine: ` +
            "the grant is not sent there, and the connection expires"
    case "Traffic":
      return `Received ${(told.rxBytes / 1e6).toFixed(1)} MB, sent ${(told.txBytes / 1e6).toFixed(1)} MB`
    default:
      return describe(told)
  }
}

/** For people: of reports only those that bring news. */
const printLines = () => {
  let standing = ""
  return Effect.fnUntraced(function* (told: Told) {
    if (told._tag === "Reported") {
      if (told.status === standing) return
      standing = told.status
    }
    const line = `${DateTime.formatIso(yield* DateTime.now)} ${lineOf(told)}`
    yield* told._tag === "NoGateway" || isTrouble(told) ? Console.error(line) : Console.log(line)
  })
}

const isTrouble = (told: Told) =>
  told._tag !== "Opened" && told._tag !== "NoGateway" && told._tag !== "Traffic" && isWarning(told)

/** Sends and receives until the gateway hangs up. */
const carry = (tunnel: Tunnel.Tunnel) =>
  Effect.forever(
    Effect.andThen(Effect.sleep(beat), Effect.flatMap(Tunnel.somebody(Duration.toSeconds(beat)), tunnel.exchange))
  )

/** Done when the connection is over. Whatever stops it before ends it. */
const use = Effect.fnUntraced(function* (
  connection: ClientConnection,
  tunnel: { current: Tunnel.Tunnel | undefined },
  tell: (told: Told) => Effect.Effect<void>
) {
  const found = Tunnel.gatewayOf(connection.server)
  const { id: connectionId } = connection
  if (found._tag !== "Here") {
    const elsewhere = found._tag === "Elsewhere" ? { elsewhere: found.origin } : {}
    yield* tell({ _tag: "NoGateway", connectionId, serverName: connection.server.name, ...elsewhere })
    return yield* connection.over
  }
  const { origin: gateway } = found
  const refused = ({ detail, reason }: Tunnel.TunnelClosed) =>
    new CommandFailed({
      code: ExitCode.refused,
      what: `The gateway at ${gateway} refuses: ${detail} (${reason})`,
      remedy: "`broker agent --listen` is a gateway for demonstrations; it must know the same broker."
    })
  const opened = yield* Effect.mapError(Tunnel.open(gateway, connection), refused)
  tunnel.current = opened
  yield* tell({ _tag: "Opened", connectionId, gateway })
  return yield* carry(opened).pipe(
    // The gateway may know first: the broker tells why.
    Effect.catch(() => Effect.andThen(Effect.ignore(connection.read), connection.over)),
    Effect.raceFirst(connection.over)
  )
})

export const connect = Effect.fnUntraced(
  function* (flags: Flags) {
    const { json, stateDir, url } = flags
    const tell = json ? printJson : printLines()
    const lasting = Option.isSome(flags.lasting) ? yield* readTime(flags.lasting.value) : undefined
    const request = yield* requestOf(flags)
    const personalKey = yield* readKey(flags)
    const client = yield* Effect.mapError(NodeClient.make({ url, personalKey, stateDir, onEvent: tell }), explain)

    const tunnel: { current: Tunnel.Tunnel | undefined } = { current: undefined }
    const counted = Effect.sync(() => tunnel.current?.counted ?? {})
    const connection = yield* Effect.mapError(client.connect(request, { metrics: counted, every }), explain)
    // Both sides count alike at the end: the broker hears of it from here first, then from the gateway.
    const leave = Effect.gen(function* () {
      const { current } = tunnel
      yield* Effect.ignore(Effect.timeout(connection.end("done", current?.counted), "2 seconds"))
      if (current === undefined) return
      yield* current.hangUp
      yield* tell({ _tag: "Traffic", ...current.counted })
    })
    const used = use(connection, tunnel, tell).pipe(Effect.onInterrupt(() => leave))
    if (lasting === undefined) return yield* ended(yield* used)
    const over = yield* Effect.timeoutOption(used, lasting)
    return Option.isSome(over) ? yield* ended(over.value) : undefined
  },
  Effect.scoped,
  Effect.provide(NodeHttpClient.layerUndici)
)

/** Somebody else ended it, and `ConnectionOver` has told who. */
const ended = ({ reason }: { readonly reason: string }) =>
  Effect.fail(
    new CommandFailed({
      code: ExitCode.refused,
      what: `The connection is over: ${reason}`,
      remedy: "Connect again, if that is still allowed."
    })
  )
