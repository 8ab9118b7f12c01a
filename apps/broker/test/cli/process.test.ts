/** The program as it is started: a broker with its own PostgreSQL, commands beside it, signals. */

import { type ChildProcess, spawn } from "node:child_process"
import { chmod, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

/** Only what a program needs: the settings under test are those of the test. */
const environment = { PATH: process.env["PATH"], HOME: process.env["HOME"] }

const directory = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await mkdtemp(join(tmpdir(), "broker-process-"))
    // Run as root, PostgreSQL has an account of its own, which must get in.
    await chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  /** Everything printed so far, on both. */
  readonly said: () => string
}

const start = (
  cwd: string,
  args: ReadonlyArray<string>,
  input = "",
  variables: Record<string, string> = {}
): Running => {
  const child = spawn(process.execPath, [main, ...args], { cwd, env: { ...environment, ...variables } })
  let stdout = ""
  let stderr = ""
  child.stdout.on("data", (chunk) => (stdout += chunk))
  child.stderr.on("data", (chunk) => (stderr += chunk))
  child.stdin.end(input)
  const ended = new Promise<Outcome>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
  return { child, ended, said: () => stdout + stderr }
}

const broker = (cwd: string, args: ReadonlyArray<string>, input?: string) =>
  Effect.promise(() => start(cwd, args, input).ended)

/** Killed with the test, if it did not end before. */
const started = (cwd: string, args: ReadonlyArray<string>, variables?: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() => start(cwd, args, "", variables)),
    ({ child, ended }) =>
      Effect.promise(async () => {
        if (child.exitCode === null) child.kill("SIGTERM")
        await ended
      })
  )

const until = ({ child, said }: Running, pattern: RegExp) =>
  Effect.suspend(() => {
    const found = pattern.exec(said())
    if (found !== null) return Effect.succeed(found)
    return child.exitCode === null ? Effect.fail("not yet") : Effect.die(new Error(`It ended: ${said()}`))
  }).pipe(
    Effect.retry({ schedule: Schedule.spaced("100 millis"), while: (reason) => reason === "not yet" }),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`Not seen: ${pattern} in ${said()}`))
    })
  )

const stop = ({ child, ended }: Running, signal: NodeJS.Signals) =>
  Effect.promise(async () => {
    const before = performance.now()
    child.kill(signal)
    const { code } = await ended
    return { code, seconds: (performance.now() - before) / 1000 }
  })

/** A port that somebody else listens on. */
const occupied = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => void server.close())
).pipe(
  Effect.map((server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : assert.fail("It has no port")
  })
)

const password = "correct horse battery"

describe("broker", { timeout: 120_000 }, () => {
  it.live("serves with its own PostgreSQL, has commands beside it, and stops in order", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const serving = yield* started(home, ["serve", "--port", "0"], { LOG_FORMAT: "json" })
      const [, origin] = yield* until(serving, /(http:\/\/localhost:\d+)\/setup#\S+/)
      const response = yield* Effect.promise(() => fetch(`${origin}/.well-known/broker`))
      assert.strictEqual(response.status, 200)

      const created = yield* broker(home, ["admin", "create", "ada", "--json"], `${password}\n`)
      assert.strictEqual(created.code, ExitCode.ok, created.stderr)
      assert.deepInclude(JSON.parse(created.stdout), { name: "ada", role: "owner" })
      const again = yield* broker(home, ["admin", "create", "--name", "Ada"], password)
      assert.strictEqual(again.code, ExitCode.refused)
      assert.include(again.stderr, "admin_name_taken")
      assert.strictEqual((yield* broker(home, ["admin", "create", "bob"], "short")).code, ExitCode.usage)
      assert.strictEqual((yield* broker(home, ["admin", "create"], password)).code, ExitCode.usage)
      assert.deepStrictEqual(JSON.parse((yield* broker(home, ["server", "list", "--json"])).stdout).items, [])

      const { code, seconds } = yield* stop(serving, "SIGTERM")
      assert.strictEqual(code, ExitCode.ok)
      assert.isBelow(seconds, 10)

      // Without a broker the same commands start the database for themselves, and say nothing of it.
      const key = yield* broker(home, ["registration-key", "create", "--json"])
      assert.strictEqual(key.code, ExitCode.ok, key.stderr)
      assert.match(JSON.parse(key.stdout).key, /^brk_reg_/)
      assert.strictEqual(key.stderr, "")

      // J6: what is sealed stays under its key, and no other is made up.
      const keyFile = join(home, "data", "encryption-key")
      assert.strictEqual((yield* Effect.promise(() => stat(keyFile))).mode & 0o777, 0o600)
      yield* Effect.promise(() => rename(keyFile, join(home, "kept")))
      const refused = yield* broker(home, ["serve", "--port", "0"])
      assert.strictEqual(refused.code, ExitCode.usage)
      assert.match(refused.stderr, /^Secrets in this database are sealed under the encryption key [0-9a-f]{16}\./)
      assert.include(refused.stderr, "Set ENCRYPTION_KEY to the key")
      assert.notInclude(yield* Effect.promise(() => readdir(join(home, "data"))), "encryption-key")
    }).pipe(Effect.scoped)
  )

  it.live("creates the first admin of the settings, and prints no link", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const variables = { ADMIN_NAME: "ada", ADMIN_PASSWORD: password, LOG_FORMAT: "json" }
      const serving = yield* started(home, ["serve", "--port", "0"], variables)
      yield* until(serving, /Created the first admin/)
      assert.notInclude(serving.said(), "/setup#")
      assert.notInclude(serving.said(), password)
      yield* stop(serving, "SIGINT")
    }).pipe(Effect.scoped)
  )

  it.live("shows a fleet in the demo, and comes back with the same sign-in", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const first = yield* started(home, ["demo", "--port", "0"])
      const [, password] = yield* until(first, /Password +(\S{12,})/)
      const { stdout } = yield* broker(home, ["server", "list", "--data-dir", "data/demo", "--json"])
      const { items } = JSON.parse(stdout)
      assert.strictEqual(items.length, 12)
      const statuses = new Set(items.map(({ status }: { readonly status: string }) => status))
      for (const status of ["online", "pending", "suspended", "maintenance"]) assert.include([...statuses], status)
      const file = yield* Effect.promise(() => stat(join(home, "data/demo/admin-password")))
      assert.strictEqual(file.mode & 0o777, 0o600)
      const { code, seconds } = yield* stop(first, "SIGINT")
      assert.strictEqual(code, ExitCode.ok)
      assert.isBelow(seconds, 10)

      const taken = yield* occupied
      const second = yield* started(home, ["demo", "--port", String(taken)])
      assert.strictEqual((yield* until(second, /Password +(\S{12,})/))[1], password)
      assert.match(second.said(), new RegExp(`Port ${taken} is taken: using \\d+\\.`))
      assert.include(second.said(), "fra-1 is back")
      yield* stop(second, "SIGINT")
    }).pipe(Effect.scoped)
  )
})
