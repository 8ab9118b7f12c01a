/**
 * One PostgreSQL data directory: made once, started, found running, stopped.
 *
 * The server gets a session of its own, so that a Ctrl-C in the terminal
 * reaches the broker only, which stops it after its own last write. It listens
 * on 127.0.0.1 and nowhere else, and knows one user with a random password.
 *
 * The account that stands in for root need not reach the data directory, which
 * may be below /root (0700). Root starts the programs inside of the directory
 * and names it `/proc/self/cwd`: a working directory, unlike a path, is entered
 * without passing its parents. PostgreSQL never leaves it, and its children
 * inherit it. Only the programs have to be somewhere else then.
 */

import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Option, Redacted, Schedule } from "effect"
import * as Binaries from "./Binaries.ts"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as Users from "./Users.ts"

const user = "broker"
const database = "broker"
const major = 18

/** Where the account finds copies of the programs when it cannot reach the data directory. */
const sharedPrograms = "/var/cache/broker"

/** Modest in memory, strict about durability: an acknowledged write survives a power cut. */
const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  shared_buffers: "64MB",
  max_wal_size: "512MB",
  fsync: "on",
  synchronous_commit: "on",
  wal_compression: "on",
  // /dev/shm is 64 MB in a container by default, and no query here needs a parallel plan.
  max_parallel_workers_per_gather: "0",
  jit: "off",
  timezone: "UTC",
  log_timezone: "UTC",
  log_checkpoints: "off",
  // What a statement did wrong is reported by the broker, once.
  log_min_messages: "log"
}

/** What the running server says of itself in `postmaster.pid`. */
interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly isReady: boolean
}

export interface Cluster {
  readonly dataDir: string
  /** Whether the account that runs the server can reach `dataDir` by its path. */
  readonly isReachable: boolean
  readonly binaries: Binaries.Binaries
  readonly password: Redacted.Redacted
  readonly settings: Readonly<Record<string, string>>
}

const attempt = <A>(problem: string, body: () => Promise<A>) =>
  Effect.tryPromise({ try: body, catch: (cause) => new EmbeddedPostgresError({ problem, cause }) })

const exists = (path: string) =>
  Effect.promise(() =>
    Fs.stat(path).then(
      () => true,
      () => false
    )
  )

const pgdata = (cluster: Cluster) => Path.join(cluster.dataDir, "cluster")

/** What a program that is started in the directory knows it by. */
const nameInside = (cluster: Cluster, directory: string) => (cluster.isReachable ? directory : "/proc/self/cwd")

/** The password of this data directory, made at first use. */
const passwordOf = Effect.fnUntraced(function* (dataDir: string, account: Option.Option<Binaries.Account>) {
  const file = Path.join(dataDir, "password")
  return yield* attempt(`${file} could not be written`, async () => {
    await Fs.writeFile(file, `${randomBytes(24).toString("hex")}\n`, { mode: 0o600, flag: "wx" }).catch(
      (cause: NodeJS.ErrnoException) => {
        if (cause.code !== "EEXIST") throw cause
      }
    )
    // initdb reads it too, as the account the server runs as.
    if (Option.isSome(account)) await Fs.chown(file, account.value.uid, account.value.gid)
    return Redacted.make((await Fs.readFile(file, "utf8")).trim())
  })
})

export const open = Effect.fn("Cluster.open")(function* (dataDir: string, overrides: Readonly<Record<string, string>>) {
  const made = yield* attempt(`${dataDir} could not be made`, () => Fs.mkdir(dataDir, { recursive: true }))
  const account = yield* Binaries.account
  yield* attempt(`${dataDir} could not be protected`, async () => {
    const { mode } = await Fs.stat(dataDir)
    const kept = made === undefined ? mode & 0o777 : 0o700
    // The account passes through without seeing what else is there.
    await Fs.chmod(dataDir, Option.isSome(account) ? kept | 0o011 : kept)
  })
  const isReachable = yield* Binaries.reaches(account, dataDir)
  if (!isReachable && process.platform !== "linux") {
    return yield* new EmbeddedPostgresError({
      problem:
        `it does not run as root, and the account postgres cannot reach ${dataDir}; ` +
        "choose a data directory elsewhere, such as /var/lib/broker"
    })
  }
  return {
    dataDir,
    isReachable,
    binaries: yield* Binaries.find(account, isReachable ? Path.join(dataDir, "programs") : sharedPrograms),
    password: yield* passwordOf(dataDir, account),
    settings: { ...settings, ...overrides }
  } satisfies Cluster
})

export const url = (cluster: Cluster, port: number) =>
  Redacted.make(`postgres://${user}:${Redacted.value(cluster.password)}@127.0.0.1:${port}/${database}`)

/** A container's root may not look at a process of another account; the account itself may. */
const workingDirectory = ({ binaries: { account } }: Cluster, pid: number) => {
  const link = `/proc/${pid}/cwd`
  return Effect.tryPromise(() => Fs.readlink(link)).pipe(
    Effect.catch(() =>
      Option.isSome(account) && Users.isAlive(pid)
        ? Binaries.run("readlink", ["-n", link], { account, cwd: "/" })
        : Effect.succeed("")
    ),
    Effect.orElseSucceed(() => "")
  )
}

/** Whether a process is the server of this cluster, rather than one that was given its id later. */
const isServer = Effect.fnUntraced(function* (cluster: Cluster, pid: number) {
  if (!Users.isAlive(pid)) return false
  if (process.platform === "win32") return true
  if (process.platform === "linux") {
    // The server works in its data directory. A zombie works nowhere, and what we may not see is not ours.
    const cwd = yield* workingDirectory(cluster, pid)
    return cwd !== "" && cwd === (yield* Effect.promise(() => Fs.realpath(pgdata(cluster))))
  }
  const command = yield* Binaries.run("ps", ["-p", String(pid), "-o", "command="]).pipe(Effect.orElseSucceed(() => ""))
  return command.includes(pgdata(cluster))
})

const pidFile = (cluster: Cluster) => Path.join(pgdata(cluster), "postmaster.pid")

/** The server that runs on this cluster, ready or still starting. */
export const running = Effect.fn("Cluster.running")(function* (cluster: Cluster) {
  const lines = (yield* Effect.promise(() => Fs.readFile(pidFile(cluster), "utf8").catch(() => ""))).split("\n")
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0 || !(yield* isServer(cluster, pid))) return Option.none()
  return Option.some<Postmaster>({ pid, port: Number(lines[3]), isReady: lines[7]?.trim() === "ready" })
})

/** Fails unless the server answers to our password. */
const probe = Effect.fnUntraced(function* (cluster: Cluster, port: number) {
  yield* Effect.scoped(PgConnection.make({ url: url(cluster, port), connectTimeout: "2 seconds" })).pipe(
    Effect.mapError(
      (cause) =>
        new EmbeddedPostgresError({ problem: `the server on port ${port} does not answer`, cause: cause.reason.cause })
    )
  )
})

const log = (cluster: Cluster) => Path.join(cluster.dataDir, "postgres.log")

/** The end of what the server printed, for error messages. */
const lastWords = (cluster: Cluster) =>
  Effect.promise(() =>
    Fs.readFile(log(cluster), "utf8").then(
      (text) => text.slice(-1_500).trim(),
      () => ""
    )
  )

/** Waits until a server that is starting, or recovering from a crash, takes connections. Answers its port. */
export const ready = Effect.fn("Cluster.ready")(
  function* (cluster: Cluster, isEnded: Effect.Effect<boolean>) {
    while (true) {
      const postmaster = yield* running(cluster)
      if (Option.isSome(postmaster) && postmaster.value.isReady) {
        yield* probe(cluster, postmaster.value.port)
        return postmaster.value.port
      }
      if (yield* isEnded) {
        return yield* new EmbeddedPostgresError({
          problem: `the server ended while starting:\n${yield* lastWords(cluster)}`
        })
      }
      yield* Effect.sleep(10)
    }
  },
  (effect, cluster) =>
    Effect.timeoutOrElse(effect, {
      duration: "2 minutes",
      orElse: () =>
        new EmbeddedPostgresError({ problem: `the server is not ready after two minutes, see ${log(cluster)}` })
    })
)

export const isInitialised = (cluster: Cluster) => exists(Path.join(pgdata(cluster), "PG_VERSION"))

/**
 * By the built-in locale PostgreSQL sorts and folds case the same everywhere,
 * but pg_trgm asks the operating system what a letter is: without a UTF-8
 * locale, search by text would see ASCII only.
 */
const letters = Binaries.run("locale", ["-a"]).pipe(
  Effect.map((known) => {
    const installed = new Set(known.split("\n").map((name) => name.trim()))
    return ["C.UTF-8", "C.utf8", "en_US.UTF-8", "en_US.utf8"].find((name) => installed.has(name)) ?? "C"
  }),
  Effect.orElseSucceed(() => "C")
)

/**
 * Makes the data directory with the database in it. It gets its name when it
 * is complete: an interrupted first start leaves nothing that looks usable.
 */
export const initialise = Effect.fn("Cluster.initialise")(function* (cluster: Cluster) {
  const { account, initdb, postgres } = cluster.binaries
  const partial = Path.join(cluster.dataDir, "cluster.new")
  yield* attempt(`${partial} could not be made`, async () => {
    await Fs.rm(partial, { recursive: true, force: true })
    await Fs.mkdir(partial, { mode: 0o700 })
    if (Option.isSome(account)) await Fs.chown(partial, account.value.uid, account.value.gid)
  })
  yield* Binaries.run(
    initdb,
    [
      `--pgdata=${nameInside(cluster, partial)}`,
      `--username=${user}`,
      `--pwfile=${Path.join("..", "password")}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale-provider=builtin",
      "--locale=C.UTF-8",
      "--lc-collate=C",
      `--lc-ctype=${yield* letters}`,
      ...(cluster.settings["fsync"] === "off" ? ["--no-sync"] : [])
    ],
    { account, cwd: partial }
  )
  yield* Binaries.run(postgres, ["--single", "-D", nameInside(cluster, partial), "postgres"], {
    account,
    cwd: partial,
    input: `create database ${database}\n`
  })
  yield* attempt(`${pgdata(cluster)} could not be made`, () => Fs.rename(partial, pgdata(cluster)))
})

const isFree = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const server = Net.createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

const anyFreePort = Effect.callback<number>((resume) => {
  const server = Net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** The port of last time, so that what was told of it stays true; another one if somebody took it. */
const choosePort = Effect.fnUntraced(function* (cluster: Cluster) {
  const file = Path.join(cluster.dataDir, "port")
  const kept = Number(yield* Effect.promise(() => Fs.readFile(file, "utf8").catch(() => "")))
  if (Number.isInteger(kept) && kept > 0 && (yield* isFree(kept))) return kept
  const port = yield* anyFreePort
  yield* attempt(`${file} could not be written`, () => Fs.writeFile(file, `${port}\n`))
  return port
})

/**
 * PostgreSQL takes any live process with the id a crashed server had for that
 * server, except its own parent. The rest of the file stays: by it PostgreSQL
 * finds out whether old sessions are still at work.
 */
const disownPid = async (cluster: Cluster) => {
  const [pid, ...rest] = (await Fs.readFile(pidFile(cluster), "utf8").catch(() => "")).split("\n")
  if (rest.length === 0 || !Users.isAlive(Number(pid))) return
  await Fs.writeFile(pidFile(cluster), [process.pid, ...rest].join("\n"))
}

const launch = Effect.fnUntraced(function* (cluster: Cluster, port: number) {
  const { account, postgres } = cluster.binaries
  const flags = Object.entries({ ...cluster.settings, port: String(port) }).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`
  ])
  yield* attempt("a server that crashed could not be cleaned up after", () => disownPid(cluster))
  const child = yield* attempt("the server could not be started", async () => {
    const output = await Fs.open(log(cluster), "w", 0o600)
    try {
      return spawn(postgres, ["-D", nameInside(cluster, pgdata(cluster)), ...flags], {
        cwd: pgdata(cluster),
        detached: true,
        env: Binaries.environment,
        stdio: ["ignore", output.fd, output.fd],
        ...Option.getOrUndefined(account)
      })
    } finally {
      await output.close()
    }
  })
  child.on("error", () => {})
  child.unref()
  return yield* ready(
    cluster,
    Effect.sync(() => child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
  )
})

/** Starts the server and answers its port. Only under the lock, and only when none is running. */
export const start = Effect.fn("Cluster.start")(function* (cluster: Cluster) {
  const version = yield* Effect.promise(() => Fs.readFile(Path.join(pgdata(cluster), "PG_VERSION"), "utf8"))
  if (Number(version) !== major) {
    return yield* new EmbeddedPostgresError({
      problem:
        `${pgdata(cluster)} was written by PostgreSQL ${version.trim()} and this is ${major}; ` +
        `restore a backup into a new data directory`
    })
  }
  // A port may be taken under our hands, and the last children of a killed server take a moment to go.
  return yield* Effect.flatMap(choosePort(cluster), (port) => launch(cluster, port)).pipe(
    Effect.retry({ times: 20, schedule: Schedule.spaced("250 millis") })
  )
})

/** Ends every session, writes what is left and waits for the end. */
export const stop = Effect.fn("Cluster.stop")(function* (cluster: Cluster) {
  if (Option.isNone(yield* running(cluster))) return
  const { account, pgCtl } = cluster.binaries
  const directory = pgdata(cluster)
  yield* Binaries.run(
    pgCtl,
    ["stop", "--pgdata", nameInside(cluster, directory), "--mode=fast", "--wait", "--timeout=60"],
    { account, cwd: directory }
  )
})

/** Removes everything below the data directory, and the directory. */
export const remove = (cluster: Cluster) =>
  attempt(`${cluster.dataDir} could not be removed`, () => Fs.rm(cluster.dataDir, { recursive: true, force: true }))
