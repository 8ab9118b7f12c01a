/** One client of the demo: a real one over HTTP, with traffic that is made up. */

import { join } from "node:path"
import type { Client, ClientConnection, ClientError } from "@broker/client/Client"
import * as NodeClient from "@broker/client/NodeClient"
import type { ConnectionMetrics } from "@broker/domain/Connection"
import type { Secret } from "@broker/domain/Credential"
import { Duration, Effect, Random } from "effect"
import type { Device } from "./clients.ts"
import * as Tunnel from "./Tunnel.ts"

export interface Options {
  readonly url: string
  /** Of the demo; each device has a directory of its own in it. */
  readonly directory: string
  readonly personalKey: Secret
  /** Told of each connection that opens. */
  readonly onOpen: Effect.Effect<void>
}

/** How often it sends and receives, and how often it tells the broker. */
const beat = Duration.seconds(5)
const every = Duration.seconds(10)

const between = (least: number, most: number) => Effect.map(Random.nextBetween(least, most), Duration.seconds)

const account = ({ manner }: Device, { rxBytes, txBytes }: Tunnel.Tunnel["counted"]): ConnectionMetrics => ({
  txBytes,
  rxBytes: manner === "boastful" ? Math.round(rxBytes * 1.4) : rxBytes
})

/** From the grant to the end, whoever ends it. */
const useOnce = Effect.fnUntraced(function* (options: Options, device: Device, client: Client) {
  // One that vanishes goes without a word: only the server will tell the end.
  const isMute = device.manner === "vanishing"
  let counted: Tunnel.Tunnel["counted"] = { rxBytes: 0, txBytes: 0 }
  const rttMs = Math.round(yield* Random.nextBetween(8, 140))
  const lossRatio = Math.round(yield* Random.nextBetween(0, 12)) / 1_000
  const metrics = Effect.sync(() => ({ ...account(device, counted), rttMs, lossRatio }))

  const connection: ClientConnection = yield* client.connect(
    { select: { near: device.near, capability: ["vpn"] } },
    { metrics, every, keep: isMute }
  )
  const gateway = Tunnel.gatewayOf(connection.server)
  if (gateway._tag !== "Here") return yield* Effect.asVoid(connection.end("no_gateway"))
  const tunnel = yield* Tunnel.open(gateway.origin, connection)
  counted = tunnel.counted
  yield* options.onOpen
  yield* Effect.ignore(Effect.flatMap(metrics, connection.report))

  const carry = Effect.forever(
    Effect.andThen(Effect.sleep(beat), Effect.flatMap(Tunnel.somebody(Duration.toSeconds(beat)), tunnel.exchange))
  )
  const leave = Effect.andThen(Effect.ignore(connection.end("done")), tunnel.hangUp)
  yield* carry.pipe(
    Effect.ignore,
    Effect.raceFirst(connection.over),
    Effect.timeoutOption(yield* isMute ? between(15, 60) : between(20, 240)),
    Effect.onInterrupt(() => (isMute ? Effect.void : leave))
  )
  if (!isMute) yield* leave
})

/** Comes and goes. What is refused is tried again later: an admin may have had a reason, and another one since. */
export const live = Effect.fnUntraced(function* (options: Options, device: Device) {
  const { personalKey, url } = options
  const client = yield* NodeClient.make({
    url,
    personalKey,
    device: { name: device.name, platform: device.platform },
    stateDir: join(options.directory, "clients", device.name.replaceAll(/[^\w.-]+/g, "-").toLowerCase()),
    onEvent: () => Effect.void
  })
  const away = (error: ClientError | Tunnel.TunnelClosed) =>
    Effect.flatMap(error._tag === "Refused" ? between(20, 60) : between(3, 10), Effect.sleep)
  yield* Effect.flatMap(between(0, 6), Effect.sleep)
  return yield* Effect.scoped(useOnce(options, device, client)).pipe(
    Effect.andThen(Effect.flatMap(between(5, 60), Effect.sleep)),
    Effect.catch(away),
    Effect.forever
  )
}, Effect.scoped)
