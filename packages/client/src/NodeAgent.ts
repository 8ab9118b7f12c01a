/** The agent on Node: the real network, clock, randomness and files; and a face for programs that do not use Effect. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import { Cause, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Agent from "./Agent.ts"
import type { AgentEvent } from "./AgentEvent.ts"
import { AgentStore, type FileError } from "./AgentStore.ts"
import { HostMetrics } from "./HostMetrics.ts"

const layer = (stateDir: string) =>
  Layer.mergeAll(
    AgentStore.layer(stateDir),
    HostMetrics.layer,
    SecureRandom.layerWebCrypto,
    NodeHttpClient.layerUndici
  ).pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))

export type AgentError = Agent.InvalidOptions | Agent.UnusableState | Agent.Refused | FileError

export interface Options extends Agent.Options {
  /** A directory of this server's own, for its key pair and its token. Made when missing. */
  readonly stateDir: string
}

/** Never ends by itself. Interrupt it to stop. */
export const run = (options: Options): Effect.Effect<never, AgentError> =>
  Effect.provide(Agent.run(options), layer(options.stateDir))

export interface PlainOptions extends Omit<Options, "key" | "report" | "onEvent" | "pause" | "timeout"> {
  readonly key?: string
  readonly onEvent?: (event: AgentEvent) => void
}

export interface RunningAgent {
  /** Rejects with an `AgentError` once the broker no longer wants the server; resolves once it was stopped. */
  readonly ended: Promise<void>
  readonly stop: () => Promise<void>
}

/** Resolves with the first heartbeat that the broker took; rejects if it does not want the server. */
export const startAgent = ({ key, onEvent, ...options }: PlainOptions) =>
  new Promise<RunningAgent>((resolve, reject) => {
    const fiber = Effect.runFork(
      run({
        ...options,
        key: key === undefined ? undefined : Redacted.make(key),
        onEvent: (event) =>
          Effect.sync(() => {
            onEvent?.(event)
            if (event._tag === "Heartbeat") resolve({ ended, stop })
          })
      })
    )
    const ended = new Promise<void>((stopped, failed) =>
      fiber.addObserver((exit) =>
        Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? stopped() : failed(Cause.squash(exit.cause))
      )
    )
    const stop = () => Effect.runPromise(Fiber.interrupt(fiber))
    ended.catch(reject)
  })
