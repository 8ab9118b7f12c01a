/** `broker agent` as a process of its own, for what only a process can go through. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../broker/src/main.ts", import.meta.url))

export interface AgentProcess extends AsyncDisposable {
  /** Ends it without a chance to say good-bye. */
  readonly kill: () => Promise<void>
}

export const startAgentProcess = async (options: {
  readonly url: string
  readonly key: string
  readonly name: string
  /** Whether it plays a gateway that takes grants over HTTP. */
  readonly takesConnections?: boolean
}): Promise<AgentProcess> => {
  const stateDir = await mkdtemp(join(tmpdir(), "broker-agent-"))
  const listen = options.takesConnections ? ["--listen", "127.0.0.1:0"] : []
  const child = spawn(process.execPath, [main, "agent", "--url", options.url, "--name", options.name, ...listen], {
    env: { ...process.env, BROKER_KEY: options.key, BROKER_STATE_DIR: stateDir },
    stdio: "ignore"
  })
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill("SIGKILL")
    await once(child, "exit")
  }
  return {
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill()
      await rm(stateDir, { recursive: true, force: true })
    }
  }
}
