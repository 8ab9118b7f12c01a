/** A real Redis on a port of its own, where there is one to be started. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import { install } from "@broker/testing/DebianPackage"

/** Valkey speaks the same. */
const find = () => ["redis-server", "valkey-server"].find((name) => spawnSync(name, ["--version"]).status === 0)

const program = find() ?? (install("redis-server") ? find() : undefined)

export const isPresent = program !== undefined

export const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"))
    socket.on("data", (data) => {
      socket.destroy()
      resolve(data.toString().startsWith("+PONG"))
    })
    socket.on("error", () => resolve(false))
  })

const starting = async (port: number, child: ChildProcess) => {
  for (let tries = 0; tries < 500; tries++) {
    if (child.exitCode !== null) throw new Error(`Redis ended with ${child.exitCode}`)
    if (await answers(port)) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error("Redis does not answer")
}

export const start = async (port: number): Promise<AsyncDisposable> => {
  const child = spawn(program ?? "redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], {
    stdio: "ignore"
  })
  await starting(port, child)
  return {
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      await gone
    }
  }
}
