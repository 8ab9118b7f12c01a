/** The agent on Node: the real network, clock, randomness and files; and a face for programs that do not use Effect. */

import type { ConnectionId, ConnectionMetrics } from "@broker/domain/Connection"
import type { GrantClaims } from "@broker/domain/Grant"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import { Cause, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Agent from "./Agent.ts"
import * as AgentConnections from "./AgentConnections.ts"
import type { AgentEvent } from "./AgentEvent.ts"
import { AgentStore, type FileError } from "./AgentStore.ts"
import { HostMetrics } from "./HostMetrics.ts"
import type { InvalidOptions } from "./Options.ts"

const layer = (stateDir: string) =>
  Layer.mergeAll(
    AgentStore.layer(stateDir),
    HostMetrics.layer,
    SecureRandom.layerWebCrypto,
    NodeHttpClient.layerUndici
  ).pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))

export type AgentError = InvalidOptions | Agent.UnusableState | Agent.Refused | FileError

export interface Options extends Agent.Options {
  /** A directory of this server's own, for its key pair and its token. Made when missing. */
  readonly stateDir: string
}

/** Never ends by itself. Interrupt it to stop. */
export const run = (options: Options): Effect.Effect<never, AgentError> =>
  Effect.provide(Agent.run(options), layer(options.stateDir))

export interface PlainOptions
  extends Omit<Options, "key" | "report" | "onEvent" | "pause" | "timeout" | "connections"> {
  readonly key?: string
  readonly onEvent?: (event: AgentEvent) => void
}

export interface RunningAgent {
  /** Rejects with an `AgentError` once the broker no longer wants the server; resolves once it was stopped. */
  readonly ended: Promise<void>
  readonly stop: () => Promise<void>
}

/** Starts an agent; `first` resolves with the first heartbeat that the broker took. */
const start = ({ key, onEvent, ...options }: PlainOptions, connections?: AgentConnections.AgentConnections) => {
  const { promise: first, reject, resolve } = Promise.withResolvers<void>()
  const fiber = Effect.runFork(
    run({
      ...options,
      connections,
      key: key === undefined ? undefined : Redacted.make(key),
      onEvent: (event) =>
        Effect.sync(() => {
          onEvent?.(event)
          if (event._tag === "Heartbeat") resolve()
        })
    })
  )
  const ended = new Promise<void>((stopped, failed) =>
    fiber.addObserver((exit) =>
      Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? stopped() : failed(Cause.squash(exit.cause))
    )
  )
  ended.catch(reject)
  return { first, ended, stop: () => Effect.runPromise(Fiber.interrupt(fiber)) }
}

/** Resolves with the first heartbeat that the broker took; rejects if it does not want the server. */
export const startAgent = async (options: PlainOptions): Promise<RunningAgent> => {
  const { ended, first, stop } = start(options)
  await first
  return { ended, stop }
}

export interface GatewayOptions extends PlainOptions {
  /** Told when a connection is closed at the broker's word: the tunnel has to go. */
  readonly onClosed?: (connection: AgentConnections.OpenConnection, reason: string) => void | Promise<void>
}

/** An agent that takes connections. */
export interface RunningGateway extends RunningAgent {
  /**
   * Checks a grant without asking the broker, and opens its connection; rejects with a `GrantRefused`. `admit` may
   * decline a good one by a reason.
   */
  readonly accept: (
    grant: string,
    admit?: (claims: GrantClaims) => string | undefined
  ) => Promise<AgentConnections.OpenConnection>
  readonly refuse: (grant: string, reason: string) => Promise<void>
  /** Totals since the connection opened, as this gateway counts them. */
  readonly progress: (id: ConnectionId, metrics: ConnectionMetrics) => void
  readonly close: (id: ConnectionId, reason: string, metrics?: ConnectionMetrics) => Promise<void>
  readonly connections: () => ReadonlyArray<AgentConnections.OpenConnection>
  /** Closes all connections, tells the broker if it listens, and stops. */
  readonly stop: () => Promise<void>
}

/** How long a gateway that stops waits for the broker to hear of it. */
const farewell = "1 second"

/** The same for a gateway: from the first heartbeat on it takes connections. */
export const startGateway = async ({ onClosed, ...options }: GatewayOptions): Promise<RunningGateway> => {
  const connections = await Effect.runPromise(
    AgentConnections.make({
      onClosed: (connection, reason) => Effect.promise(async () => onClosed?.(connection, reason)),
      onEvent: (event) => Effect.sync(() => options.onEvent?.(event))
    })
  )
  const { ended, first, stop } = start(options, connections)
  await first
  return {
    ended,
    accept: (grant, admit) =>
      Effect.runPromise(
        connections.accept(grant, admit === undefined ? undefined : (claims) => Effect.sync(() => admit(claims)))
      ),
    refuse: (grant, reason) => Effect.runPromise(connections.refuse(grant, reason)),
    progress: (id, metrics) => Effect.runSync(connections.progress(id, metrics)),
    close: (id, reason, metrics) => Effect.runPromise(connections.close(id, reason, metrics)),
    connections: () => Effect.runSync(connections.list),
    stop: async () => {
      await Effect.runPromise(connections.leave(farewell))
      await stop()
    }
  }
}
