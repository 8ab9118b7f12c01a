/** Vitest's `globalSetup`: one PostgreSQL for the whole run, which the workers find by an environment variable. */
import { mkdtemp, rm, statfs } from "node:fs/promises"
import { freemem } from "node:os"
import { Effect, Exit, Redacted, Scope } from "effect"
import * as TestServer from "./TestServer.ts"

/** A file system in memory, where the machine has one. */
const memory = "/dev/shm"

/** So much has to be free, in bytes: a run needs a quarter of it. */
const roomy = 4 * 2 ** 30

const hasRoom = async () => {
  const { bavail, bsize } = await statfs(memory)
  return bavail * bsize > roomy && freemem() > roomy
}

/**
 * Has everything temporary written to memory, if there is plenty: a database is a thousand files, and to make those on a
 * disk takes twenty times as long.
 */
const writeToMemory = async () => {
  if (!(await hasRoom().catch(() => false))) return undefined
  const directory = await mkdtemp(`${memory}/broker-tests-`).catch(() => undefined)
  if (directory === undefined) return undefined
  process.env["TMPDIR"] = directory
  // Brokers that are started as processes of their own need not compile what others compiled.
  process.env["NODE_COMPILE_CACHE"] = `${directory}/compiled`
  return directory
}

export default async function setup() {
  if (process.env[TestServer.variable] !== undefined) return
  const directory = await writeToMemory()
  const scope = Scope.makeUnsafe()
  const server = await Effect.runPromise(TestServer.acquire.pipe(Effect.tap(TestServer.template), Scope.provide(scope)))
  process.env[TestServer.variable] = Redacted.value(server)
  return async function teardown() {
    delete process.env[TestServer.variable]
    await Effect.runPromise(Scope.close(scope, Exit.void))
    if (directory !== undefined) await rm(directory, { recursive: true, force: true })
  }
}
