import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Ref, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"

const script = fileURLToPath(new URL("./embedded.ts", import.meta.url))
const Answer = Schema.fromJsonString(Schema.Struct({ started: Schema.Boolean, port: Schema.Int }))

/** A data directory that is empty, and leaves neither files nor processes behind. */
const emptyDirectory = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-embedded-"))),
  (dataDir) => Effect.ignore(EmbeddedPostgres.discard(dataDir))
)

const acquire = (dataDir: string, role: "serve" | "command" = "serve") =>
  EmbeddedPostgres.acquire({ dataDir, role, onProgress: () => Effect.void })

/** Where a server was prepared, started and stopped once: to prepare one takes longer than most that is done with it. */
const prepare = async () => {
  const dataDir = await Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-prepared-"))
  await Effect.runPromise(Effect.scoped(acquire(dataDir)))
  await Fs.rm(Path.join(dataDir, "port"))
  return dataDir
}
let prepared: Promise<string> | undefined

/** A data directory as a broker leaves it that ran before; at a port that is still to be chosen. */
const directory = Effect.tap(emptyDirectory, (dataDir) =>
  // As it is, whoever owns what.
  Effect.promise(async () => {
    prepared ??= prepare()
    return promisify(execFile)("cp", ["-a", `${await prepared}/.`, dataDir])
  })
)

const isLinuxRoot = process.platform === "linux" && process.getuid?.() === 0

/** A data directory below one that only root may enter, as /root is. */
const belowRoot = Effect.gen(function* () {
  const home = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-root-"))),
    (home) => Effect.promise(() => Fs.rm(home, { recursive: true, force: true }))
  )
  yield* Effect.promise(() => Fs.chmod(home, 0o700))
  return yield* Effect.acquireRelease(Effect.succeed(Path.join(home, "clone", "data")), (dataDir) =>
    Effect.ignore(EmbeddedPostgres.discard(dataDir))
  )
})

/** Another process that uses the server; kept when it answered. */
const start = Effect.fnUntraced(function* (
  dataDir: string,
  role: "serve" | "command" = "serve",
  within: ReadonlyArray<string> = []
) {
  const [program = "", ...args] = [...within, process.execPath, script, dataDir, role]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const [line] = yield* Effect.promise(() => once(child.stdout, "data"))
  return { child, ...(yield* Schema.decodeUnknownEffect(Answer)(`${line}`)) }
})

const end = (child: ChildProcess, signal: NodeJS.Signals) =>
  Effect.promise(async () => {
    const ended = once(child, "exit")
    child.kill(signal)
    await ended
  })

const postmaster = (dataDir: string) =>
  Effect.promise(async () => {
    const text = await Fs.readFile(Path.join(dataDir, "cluster", "postmaster.pid"), "utf8").catch(() => "")
    return text === "" ? Option.none<number>() : Option.some(Number(text.split("\n")[0]))
  })

const isRunning = (dataDir: string) =>
  Effect.map(
    postmaster(dataDir),
    Option.exists((pid) => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    })
  )

const query = ({ url }: EmbeddedPostgres.Running, statement: string) =>
  SqlClient.SqlClient.use((sql) => sql.unsafe(statement)).pipe(Effect.provide(PgClient.layer({ url })))

describe("EmbeddedPostgres", () => {
  afterAll(async () => {
    if (prepared !== undefined) await Effect.runPromise(EmbeddedPostgres.discard(await prepared))
  })

  it.live("prepares itself once and then starts within a second, where it was", () =>
    Effect.gen(function* () {
      const dataDir = yield* emptyDirectory
      const lines = yield* Ref.make<ReadonlyArray<string>>([])
      const onProgress = (line: string) => Ref.update(lines, (lines) => [...lines, line])
      const first = yield* Effect.scoped(
        Effect.tap(EmbeddedPostgres.acquire({ dataDir, onProgress }), (running) =>
          query(running, "create table kept (id int)")
        )
      )
      assert.isTrue(first.started)
      assert.match((yield* Ref.get(lines)).join(), /Preparing PostgreSQL 18/)
      assert.isFalse(yield* isRunning(dataDir))

      yield* Ref.set(lines, [])
      const [took, second] = yield* Effect.timed(EmbeddedPostgres.acquire({ dataDir, onProgress }))
      assert.isTrue(second.started)
      assert.strictEqual(second.port, first.port)
      assert.deepStrictEqual(yield* query(second, "select count(*)::int as rows from kept"), [{ rows: 0 }])
      assert.deepStrictEqual(yield* Ref.get(lines), [])
      assert.isBelow(Duration.toMillis(took), 1_000)
    })
  )

  it.live("is durable, listens on this machine only and keeps its password to itself", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const running = yield* acquire(dataDir)
      const [row] = yield* query(
        running,
        `
        select current_setting('fsync')              as fsync,
               current_setting('synchronous_commit') as commit,
               current_setting('full_page_writes')   as pages,
               current_setting('listen_addresses')   as addresses,
               current_setting('server_encoding')    as encoding,
               version() like 'PostgreSQL 18%'       as is_18`
      )
      assert.deepStrictEqual(row, {
        fsync: "on",
        commit: "on",
        pages: "on",
        addresses: "127.0.0.1",
        encoding: "UTF8",
        is_18: true
      })
      const stat = yield* Effect.promise(() => Fs.stat(Path.join(dataDir, "password")))
      assert.strictEqual(stat.mode & 0o777, 0o600)
      assert.notInclude(
        JSON.stringify(running),
        (yield* Effect.promise(() => Fs.readFile(Path.join(dataDir, "password"), "utf8"))).trim()
      )
    })
  )

  it.live("finds letters of any script", () =>
    Effect.gen(function* () {
      const running = yield* acquire(yield* directory)
      yield* query(running, "create extension pg_trgm")
      const [row] = yield* query(
        running,
        "select lower('ÑANDÚ'), 'ñandú' ~ '^\\w+$' as word, array_length(show_trgm('ñandú'), 1) as trigrams"
      )
      assert.deepStrictEqual(row, { lower: "ñandú", word: true, trigrams: 6 })
    })
  )

  it.live("is shared: another process connects and leaves it running", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const first = yield* acquire(dataDir)
      const other = yield* start(dataDir, "command")
      assert.deepStrictEqual([other.started, other.port], [false, first.port])
      yield* end(other.child, "SIGTERM")
      assert.deepStrictEqual(yield* query(first, "select 1 as one"), [{ one: 1 }])
    })
  )

  it.live("is started by one of several that come at once", () =>
    Effect.gen(function* () {
      const dataDir = yield* emptyDirectory
      const all = yield* Effect.forEach([1, 2, 3], () => start(dataDir), { concurrency: "unbounded" })
      assert.lengthOf(
        all.filter(({ started }) => started),
        1
      )
      assert.lengthOf(new Set(all.map(({ port }) => port)), 1)
    })
  )

  it.live("is started by a command when no broker runs, and stopped after it", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const command = yield* start(dataDir, "command")
      assert.isTrue(command.started)
      yield* end(command.child, "SIGTERM")
      assert.isFalse(yield* isRunning(dataDir))
    })
  )

  it.live("outlives the command that started it while others use it", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const first = yield* start(dataDir, "command")
      const second = yield* start(dataDir, "command")
      yield* end(first.child, "SIGTERM")
      assert.isTrue(yield* isRunning(dataDir))
      yield* end(second.child, "SIGTERM")
      assert.isFalse(yield* isRunning(dataDir))
    })
  )

  it.live("passes from a command to the broker that came after it", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const command = yield* start(dataDir, "command")
      const broker = yield* start(dataDir)
      assert.isFalse(broker.started)
      yield* end(command.child, "SIGTERM")
      assert.isTrue(yield* isRunning(dataDir))
      yield* end(broker.child, "SIGTERM")
      assert.isFalse(yield* isRunning(dataDir))
    })
  )

  it.live("J2 goes on when its broker is killed, until the next one takes it and stops it", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const killed = yield* start(dataDir)
      yield* end(killed.child, "SIGKILL")
      const command = yield* start(dataDir, "command")
      assert.isFalse(command.started)
      yield* end(command.child, "SIGTERM")
      assert.isTrue(yield* isRunning(dataDir))

      const next = yield* start(dataDir)
      assert.deepStrictEqual([next.started, next.port], [false, killed.port])
      yield* end(next.child, "SIGTERM")
      assert.isFalse(yield* isRunning(dataDir))
    })
  )

  it.live("F4 is started again on its port when it is killed", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const running = yield* acquire(dataDir)
      yield* query(running, "create table kept as select 1 as id")
      process.kill(Option.getOrThrow(yield* postmaster(dataDir)), "SIGKILL")
      const rows = yield* query(running, "select id from kept").pipe(
        Effect.retry({ schedule: Schedule.spaced("50 millis") }),
        Effect.timeout("10 seconds")
      )
      assert.deepStrictEqual(rows, [{ id: 1 }])
    })
  )

  it.live("starts after both were killed, though another process has the old id now", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const killed = yield* start(dataDir)
      const pid = Option.getOrThrow(yield* postmaster(dataDir))
      yield* end(killed.child, "SIGKILL")
      process.kill(pid, "SIGKILL")
      const file = Path.join(dataDir, "cluster", "postmaster.pid")
      const left = yield* Effect.promise(() => Fs.readFile(file, "utf8"))
      assert.match(left, new RegExp(`^${pid}\n`))
      const stranger = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("sleep", ["60"])),
        (child) => Effect.sync(() => child.kill())
      )
      yield* Effect.promise(() => Fs.writeFile(file, left.replace(`${pid}`, `${stranger.pid}`)))
      const next = yield* acquire(dataDir)
      assert.isTrue(next.started)
      assert.deepStrictEqual(yield* query(next, "select 1 as one"), [{ one: 1 }])
    })
  )

  it.live("does not wait for a starter that was killed, and cleans up after it", () =>
    Effect.gen(function* () {
      const dataDir = yield* emptyDirectory
      const dead = yield* Effect.sync(() => spawn("true"))
      yield* Effect.promise(() => once(dead, "exit"))
      yield* Effect.promise(async () => {
        await Fs.writeFile(Path.join(dataDir, "start.lock"), `${dead.pid} 1`)
        await Fs.mkdir(Path.join(dataDir, "cluster.new"))
        await Fs.writeFile(Path.join(dataDir, "cluster.new", "PG_VERSION"), "18\n")
      })
      assert.isTrue((yield* Effect.timeout(acquire(dataDir), "10 seconds")).started)
    })
  )

  it.live("moves to another port when somebody took its own", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const { port } = yield* Effect.scoped(acquire(dataDir))
      yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer().listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      assert.notStrictEqual((yield* acquire(dataDir)).port, port)
    })
  )

  it.live("J5 stays until the broker has written its last, when Ctrl-C reaches them all", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const { child } = yield* start(dataDir)
      const ended = once(child, "exit")
      // The child leads a process group, as a job of a terminal does.
      process.kill(-(child.pid ?? 0), "SIGINT")
      yield* Effect.promise(() => ended)
      assert.isFalse(yield* isRunning(dataDir))
      assert.deepStrictEqual(yield* query(yield* acquire(dataDir), "select said from farewell"), [{ said: "goodbye" }])
    })
  )

  it.live.runIf(isLinuxRoot)("keeps its data where only root may enter, though it does not run as root", () =>
    Effect.gen(function* () {
      const dataDir = yield* belowRoot
      const { port } = yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* acquire(dataDir)
          assert.isTrue(running.started)
          yield* query(running, "create extension pg_trgm")
          yield* query(running, "create table kept as select 1 as id")
          const other = yield* start(dataDir, "command")
          assert.deepStrictEqual([other.started, other.port], [false, running.port])
          yield* end(other.child, "SIGTERM")

          const pid = Option.getOrThrow(yield* postmaster(dataDir))
          assert.notStrictEqual((yield* Effect.promise(() => Fs.stat(`/proc/${pid}`))).uid, 0)
          process.kill(pid, "SIGKILL")
          const rows = yield* query(running, "select id from kept").pipe(
            Effect.retry({ schedule: Schedule.spaced("50 millis") }),
            Effect.timeout("10 seconds")
          )
          assert.deepStrictEqual(rows, [{ id: 1 }])
          return running
        })
      )
      assert.isFalse(yield* isRunning(dataDir))

      const killed = yield* start(dataDir)
      assert.deepStrictEqual([killed.started, killed.port], [true, port])
      process.kill(Option.getOrThrow(yield* postmaster(dataDir)), "SIGKILL")
      yield* end(killed.child, "SIGKILL")
      const kept = yield* Effect.scoped(
        Effect.flatMap(acquire(dataDir), (running) =>
          query(running, "select id, array_length(show_trgm('ñandú'), 1) as trigrams from kept")
        )
      )
      assert.deepStrictEqual(kept, [{ id: 1, trigrams: 6 }])
      const stat = yield* Effect.promise(() => Fs.stat(Path.join(dataDir, "password")))
      assert.strictEqual(stat.mode & 0o777, 0o600)

      yield* EmbeddedPostgres.discard(dataDir)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(Path.dirname(dataDir))), [])
    })
  )

  it.live.runIf(isLinuxRoot)("is found by a root that may not look at the processes of others, as in a container", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const contained = ["setpriv", "--bounding-set=-sys_ptrace"]
      const first = yield* start(dataDir, "command", contained)
      const second = yield* start(dataDir, "serve", contained)
      assert.deepStrictEqual([first.started, second.started, second.port], [true, false, first.port])
      yield* end(second.child, "SIGTERM")
      yield* end(first.child, "SIGTERM")
      assert.isFalse(yield* isRunning(dataDir))
    })
  )

  it.live("refuses data of another version with a reason", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      yield* Effect.scoped(acquire(dataDir))
      yield* Effect.promise(() => Fs.writeFile(Path.join(dataDir, "cluster", "PG_VERSION"), "17\n"))
      const refused = yield* Effect.flip(acquire(dataDir))
      assert.match(refused.message, /was written by PostgreSQL 17 and this is 18/)
    })
  )
})
