/**
 * The PostgreSQL a broker brings along, so that it runs without any set-up.
 *
 * Any number of processes may acquire the same data directory: one starts the
 * server, the others connect to it. Who stops it:
 *
 * - It has one owner at most: the process that started it. The owner stops it
 *   when it leaves, also when others still use it.
 * - A broker that serves takes ownership from an owner that is gone (it was
 *   killed and left the server running) and from a command.
 * - A command never takes ownership. One that had to start the server hands it
 *   to another user, if there is one when it leaves.
 *
 * A broker that serves also starts the server again when it dies, on the same
 * port: pools heal by themselves.
 *
 * Root may use it too, with the data anywhere, also below /root: the server
 * then runs as the account `postgres`. Where that account cannot reach them,
 * PostgreSQL's programs, and nothing else, are copied to `/var/cache/broker`.
 */
import { Effect, Option, type Redacted, type Scope } from "effect"
import * as Cluster from "./embedded-postgres/Cluster.ts"
import type { EmbeddedPostgresError } from "./embedded-postgres/EmbeddedPostgresError.ts"
import * as Users from "./embedded-postgres/Users.ts"

export { EmbeddedPostgresError } from "./embedded-postgres/EmbeddedPostgresError.ts"

export interface Options {
  readonly dataDir: string
  /** A broker that serves (the default), or a command that is over soon. */
  readonly role?: Users.Role
  /** Told in a line what takes long. Logged when left out. */
  readonly onProgress?: (line: string) => Effect.Effect<void>
  /** Server settings beside the broker's own, for tests. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface Running {
  /** To the database `broker`, with the password in it. */
  readonly url: Redacted.Redacted
  readonly port: number
  /** Whether this call started the server. */
  readonly started: boolean
}

const checkEvery = "500 millis"

/** Finds the server or starts it, and registers the user. Under the lock. */
const join = Effect.fnUntraced(function* (
  cluster: Cluster.Cluster,
  self: Users.User,
  onProgress: (line: string) => Effect.Effect<void>
) {
  const found = yield* Cluster.running(cluster)
  let port: number
  if (Option.isSome(found)) {
    if (!found.value.isReady) yield* onProgress("Waiting for PostgreSQL, which is starting…")
    const isEnded = Effect.map(Cluster.running(cluster), Option.isNone)
    port = yield* Cluster.ready(cluster, isEnded)
  } else {
    if (!(yield* Cluster.isInitialised(cluster))) {
      yield* onProgress("Preparing PostgreSQL 18 (first start, a few seconds)…")
      yield* Cluster.initialise(cluster)
    }
    port = yield* Cluster.start(cluster)
  }
  const started = Option.isNone(found)
  const others = (yield* Users.read(cluster.dataDir)).filter(({ id }) => id !== self.id)
  const owner = Users.owner(others)
  const owns = started || (self.role === "serve" && (Option.isNone(owner) || owner.value.role === "command"))
  const users = [...others, self]
  yield* Users.write(cluster.dataDir, owns ? Users.withOwner(users, self.id) : users)
  return { port, started }
})

/** Stops the server if that is ours to do. Under the lock. */
const leave = Effect.fnUntraced(function* (cluster: Cluster.Cluster, id: string) {
  const users = yield* Users.read(cluster.dataDir)
  const others = users.filter((user) => user.id !== id)
  const self = users.find((user) => user.id === id)
  const heir = others[0]
  if (self?.isOwner !== true) return yield* Users.write(cluster.dataDir, others)
  if (self.role === "command" && heir !== undefined) {
    return yield* Users.write(cluster.dataDir, Users.withOwner(others, heir.id))
  }
  yield* Cluster.stop(cluster)
  yield* Users.write(cluster.dataDir, others)
})

/** Starts the server again whenever it died, for as long as the scope lives. */
const supervise = (cluster: Cluster.Cluster, again: Effect.Effect<void, EmbeddedPostgresError>) =>
  Effect.gen(function* () {
    if (Option.isSome(yield* Cluster.running(cluster))) return
    yield* Effect.logWarning("PostgreSQL died and is started again")
    yield* again
  }).pipe(
    Effect.ignoreCause({ log: "Error" }),
    Effect.andThen(Effect.sleep(checkEvery)),
    Effect.forever,
    Effect.annotateLogs({ fiber: "EmbeddedPostgres" })
  )

/** The server of a data directory, running for as long as the scope lives. */
export const acquire = Effect.fn("EmbeddedPostgres.acquire")(function* (
  options: Options
): Effect.fn.Return<Running, EmbeddedPostgresError, Scope.Scope> {
  const { dataDir, onProgress = Effect.logInfo, role = "serve" } = options
  const cluster = yield* Cluster.open(dataDir, options.settings ?? {})
  const self = yield* Users.self(role)
  const exclusively = Users.exclusively(dataDir)
  const { port, started } = yield* Effect.acquireRelease(
    exclusively(join(cluster, self, onProgress)),
    () => Effect.ignoreCause(exclusively(leave(cluster, self.id)), { log: "Error" }),
    { interruptible: true }
  )
  if (role === "serve") {
    yield* Effect.forkScoped(supervise(cluster, Effect.asVoid(exclusively(join(cluster, self, Effect.logInfo)))))
  }
  return { url: Cluster.url(cluster, port), port, started }
})

/**
 * Stops a server that nobody uses any more and removes its data for good. For servers of tests and demonstrations.
 * Programs in `/var/cache/broker` stay: they are for all data directories of the machine.
 */
export const discard = Effect.fn("EmbeddedPostgres.discard")(function* (dataDir: string) {
  const cluster = yield* Cluster.open(dataDir, {})
  const stopAndRemove = Effect.gen(function* () {
    if ((yield* Users.read(dataDir)).length > 0) return
    yield* Cluster.stop(cluster)
    yield* Cluster.remove(cluster)
  })
  yield* Users.exclusively(dataDir)(stopAndRemove)
})
