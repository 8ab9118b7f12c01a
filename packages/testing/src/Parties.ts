/** Both ends of connections, as their programs run them: gateways that take grants, and clients that ask for them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeAgent from "@broker/client/NodeAgent"
import * as NodeClient from "@broker/client/NodeClient"
import type { RunningBroker } from "./TestBroker.ts"

const inDirectory = async <A>(
  use: (stateDir: string) => Promise<A>,
  stop: (party: A) => Promise<void>
): Promise<A & AsyncDisposable> => {
  const stateDir = await mkdtemp(join(tmpdir(), "broker-party-"))
  const party = await use(stateDir)
  return {
    ...party,
    [Symbol.asyncDispose]: async () => {
      await stop(party)
      await rm(stateDir, { recursive: true, force: true })
    }
  }
}

/** A gateway that clients may be sent to. */
export const startGateway = async (broker: RunningBroker, name: string) => {
  const key = await broker.registrationKey()
  return inDirectory(
    (stateDir) => NodeAgent.startGateway({ url: broker.url, key, name, stateDir, onEvent: () => {} }),
    ({ stop }) => stop()
  )
}

/** One installation of a client, and so one device. */
export const startClient = (
  broker: Pick<RunningBroker, "url">,
  personalKey: string,
  device: { readonly name: string; readonly platform: string }
) =>
  inDirectory(
    (stateDir) => NodeClient.startClient({ url: broker.url, personalKey, device, stateDir, onEvent: () => {} }),
    ({ stop }) => stop()
  )
