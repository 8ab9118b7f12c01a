/** One gateway of the demo: a real agent over HTTP, with connections whose traffic is made up. */

import { join } from "node:path"
import type { Report } from "@broker/client/Agent"
import type { AgentEvent } from "@broker/client/AgentEvent"
import { AgentStore } from "@broker/client/AgentStore"
import * as NodeAgent from "@broker/client/NodeAgent"
import type { Secret } from "@broker/domain/Credential"
import { Clock, Effect, Fiber, Option, Random } from "effect"
import * as DemoGateway from "./DemoGateway.ts"
import type { Gateway } from "./gateways.ts"

export interface Options {
  readonly url: string
  /** Of the demo; each gateway has a directory of its own in it. */
  readonly directory: string
  readonly key: Secret | undefined
  readonly onEvent: (gateway: Gateway, event: AgentEvent) => Effect.Effect<void>
}

const stateDir = (directory: string, { name }: Gateway) => join(directory, "agents", name)

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value))

/** Wanders about its load, so that charts have something to show. */
const traffic = ({ load }: Gateway, live: Effect.Effect<number>): Effect.Effect<Report> => {
  let cpu = 0.05 + load / 120
  let sentBytes = 0
  let since: number | undefined
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const seconds = since === undefined ? 0 : (now - since) / 1000
    since = now
    const connections = yield* live
    cpu = clamp(cpu + (yield* Random.nextBetween(-0.05, 0.05)), 0.01, 0.97)
    sentBytes += Math.round(connections * seconds * (yield* Random.nextBetween(150_000, 400_000)))
    return {
      activeConnections: connections,
      metrics: {
        cpu: Math.round(cpu * 1000) / 1000,
        memoryUsedBytes: 180_000_000 + connections * 2_400_000,
        rxBytes: Math.round(sentBytes * 0.3),
        txBytes: sentBytes,
        rttMs: Math.round(yield* Random.nextBetween(8, 60))
      }
    }
  })
}

const host = ({ location }: Gateway) =>
  `203.0.113.${Math.round(Math.abs(location.latitude) + Math.abs(location.longitude))}`

/** Whether it has been a server of this demo before. */
export const isMember = (directory: string, gateway: Gateway) =>
  AgentStore.use(({ membership }) => membership).pipe(
    Effect.map(Option.isSome),
    Effect.provide(AgentStore.layer(stateDir(directory, gateway)))
  )

/** The demo may come back on another port; its gateways follow it. */
const follow = (options: Options, gateway: Gateway) =>
  AgentStore.use(({ membership, save }) =>
    Effect.flatMap(
      membership,
      Option.match({
        onNone: () => Effect.void,
        onSome: (kept) => (kept.url === options.url ? Effect.void : save({ ...kept, url: options.url }))
      })
    )
  ).pipe(Effect.provide(AgentStore.layer(stateDir(options.directory, gateway))))

const present = (options: Options, gateway: Gateway, report: Effect.Effect<Report>, played: DemoGateway.DemoGateway) =>
  NodeAgent.run({
    url: options.url,
    key: options.key,
    stateDir: stateDir(options.directory, gateway),
    name: gateway.name,
    version: gateway.version,
    tags: gateway.tags,
    labels: { city: gateway.city },
    capabilities: Object.fromEntries(gateway.capabilities.map((name) => [name, {}])),
    endpoints: [{ protocol: "webrtc", host: host(gateway), port: 51_820 }, played.endpoint],
    location: gateway.location,
    connections: played.connections,
    report,
    onEvent: (event) => options.onEvent(gateway, event)
  })

/** Ends only when the broker does not want the gateway any more. While the agent is away, its connections go on. */
export const live = Effect.fnUntraced(function* (options: Options, gateway: Gateway) {
  yield* follow(options, gateway)
  const played = yield* DemoGateway.listen({ host: "127.0.0.1", port: 0, onEvent: () => Effect.void })
  const report = traffic(
    gateway,
    Effect.sync(() => played.connections.ids().length)
  )
  const { temper } = gateway
  const here = present(options, gateway, report, played)
  const running = yield* Effect.forkScoped(
    temper === "steady"
      ? here
      : here.pipe(Effect.timeoutOption(temper.present), Effect.andThen(Effect.sleep(temper.away)), Effect.forever)
  )
  return yield* Effect.onInterrupt(Fiber.join(running), () => played.connections.leave("500 millis"))
}, Effect.scoped)
