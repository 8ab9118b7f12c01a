/** The client on Node: the real network, clock, randomness and files; and a face for programs that do not use Effect. */
import { hostname, platform } from "node:os"
import { type ConnectionId, type ConnectionMetrics, ConnectionRequest } from "@broker/domain/Connection"
import { Criteria, DiscoveryQuery } from "@broker/domain/Discovery"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import { Duration, Effect, Exit, Layer, Redacted, Schema, Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Client from "./Client.ts"
import type { ClientEvent } from "./ClientEvent.ts"
import { ClientStore, type FileError } from "./ClientStore.ts"
import { type InvalidOptions, invalid } from "./Options.ts"

const layer = (stateDir: string) =>
  Layer.mergeAll(
    Layer.provide(ClientStore.layer(stateDir), SecureRandom.layerWebCrypto),
    SecureRandom.layerWebCrypto,
    NodeHttpClient.layerUndici
  ).pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))

/** What kept a client from being made. Nothing was sent. */
export type ClientSetupError = InvalidOptions | FileError

/** As the broker's dashboard knows it. */
const platforms: Record<string, string> = { darwin: "macos", win32: "windows" }

/** This machine. */
export const thisDevice = () => ({ name: hostname(), platform: platforms[platform()] ?? platform() })

export interface Options extends Omit<Client.Options, "device"> {
  /** A directory of this client's own, for its device's fingerprint and key pair. Made when missing. */
  readonly stateDir: string
  /** This machine, unless given. */
  readonly device?: Client.Options["device"] | undefined
}

/** Sends nothing before it is used. Sockets close with the scope. */
export const make = (options: Options): Effect.Effect<Client.Client, ClientSetupError, Scope.Scope> =>
  Effect.flatMap(Layer.build(layer(options.stateDir)), (context) =>
    Effect.provide(Client.make({ ...options, device: options.device ?? thisDevice() }), context)
  )

export interface PlainOptions extends Omit<Options, "personalKey" | "onEvent" | "patience" | "timeout"> {
  readonly personalKey: string
  readonly onEvent?: (event: ClientEvent) => void
}

export interface PlainConnectOptions {
  readonly idempotencyKey?: string
  /** Asked for each report. */
  readonly metrics?: () => ConnectionMetrics
  readonly everySeconds?: number
}

export interface PlainConnection {
  readonly id: ConnectionId
  /** Whoever holds it may use the connection: it is for the server alone. */
  readonly grant: string
  readonly server: Client.ClientServer
  readonly read: () => Promise<Client.ClientConnectionState>
  readonly report: (metrics: ConnectionMetrics) => Promise<Client.ClientConnectionState>
  readonly end: (reason?: string, metrics?: ConnectionMetrics) => Promise<Client.Over>
  /** Resolves when it is over, whoever ends it. */
  readonly over: Promise<Client.Over>
}

/** Calls reject with an `InvalidOptions`, a `Refused` or an `Unavailable`. */
export interface RunningClient extends AsyncDisposable {
  readonly me: () => Promise<Effect.Success<Client.Client["me"]>>
  readonly discover: (query?: typeof DiscoveryQuery.Encoded) => Promise<Client.ClientServers>
  readonly servers: (criteria?: typeof Criteria.Encoded) => AsyncIterable<Client.ClientServer>
  readonly connect: (
    request: typeof ConnectionRequest.Encoded,
    options?: PlainConnectOptions
  ) => Promise<PlainConnection>
  readonly signOut: () => Promise<void>
  /** Ends what is open. */
  readonly stop: () => Promise<void>
}

const decodeQuery = Schema.decodeEffect(DiscoveryQuery)
const decodeCriteria = Schema.decodeEffect(Criteria)
const decodeRequest = Schema.decodeEffect(ConnectionRequest)

/** Rejects when the options make no sense or the directory cannot be used. The broker is asked by the first call. */
export const startClient = async ({ onEvent, personalKey, ...options }: PlainOptions): Promise<RunningClient> => {
  const scope = Scope.makeUnsafe("parallel")
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  const client = await Effect.runPromise(
    make({
      ...options,
      personalKey: Redacted.make(personalKey),
      onEvent: (event) => Effect.sync(() => onEvent?.(event))
    }).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
  )

  const connect: RunningClient["connect"] = async (given, { everySeconds, idempotencyKey, metrics } = {}) => {
    const life = Scope.forkUnsafe(scope)
    const { end, grant, id, over, read, report, server } = await decodeRequest(given).pipe(
      Effect.mapError(invalid),
      Effect.flatMap((request) =>
        client.connect(request, {
          idempotencyKey,
          every: everySeconds === undefined ? undefined : Duration.seconds(everySeconds),
          metrics: metrics === undefined ? undefined : Effect.sync(metrics)
        })
      ),
      Scope.provide(life),
      Effect.runPromise
    )
    return {
      id,
      server,
      grant: Redacted.value(grant),
      read: () => Effect.runPromise(read),
      report: (metrics) => Effect.runPromise(report(metrics)),
      end: (reason, metrics) => Effect.runPromise(end(reason, metrics)),
      over: Effect.runPromise(Effect.tap(over, () => Scope.close(life, Exit.void)))
    }
  }

  return {
    me: () => Effect.runPromise(client.me),
    discover: (query = {}) =>
      Effect.runPromise(Effect.flatMap(Effect.mapError(decodeQuery(query), invalid), client.discover)),
    servers: (criteria = {}) =>
      Stream.toAsyncIterable(
        Stream.unwrap(Effect.map(Effect.mapError(decodeCriteria(criteria), invalid), client.servers))
      ),
    connect,
    signOut: () => Effect.runPromise(client.signOut),
    stop,
    [Symbol.asyncDispose]: stop
  }
}
