/**
 * Who uses an embedded PostgreSQL, and which of them stops it.
 *
 * Kept in `users.json`, which is read and written under `start.lock` only. A
 * process is known by its id *and* its start time, as ids are used again,
 * soonest of all in containers.
 */

import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { Effect, Option, Schema } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

/** A broker that serves, or a command that is over soon. */
export const Role = Schema.Literals(["serve", "command"])
export type Role = typeof Role.Type

export class User extends Schema.Class<User>("User")({
  id: Schema.String,
  pid: Schema.Int,
  startedAt: Schema.String,
  role: Role,
  isOwner: Schema.Boolean
}) {}

const Users = Schema.fromJsonString(Schema.Array(User))
const decode = Schema.decodeUnknownEffect(Users)
const encode = Schema.encodeEffect(Users)

export const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

/** Some name for the moment a process started; empty for a zombie, and when the platform does not tell. */
const startOf = (pid: number) =>
  Effect.promise(async () => {
    if (process.platform === "linux") {
      const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return fields[0] === "Z" ? "" : (fields[19] ?? "")
    }
    if (process.platform === "win32") return ""
    return new Promise<string>((resolve) =>
      execFile("ps", ["-p", String(pid), "-o", "lstart="], (_, stdout) => resolve(stdout.trim()))
    )
  })

const isPresent = Effect.fnUntraced(function* (user: { readonly pid: number; readonly startedAt: string }) {
  return isAlive(user.pid) && (yield* startOf(user.pid)) === user.startedAt
})

/** This process, once per use: one process may use a server twice. */
export const self = Effect.fnUntraced(function* (role: Role) {
  return new User({
    id: randomUUID(),
    pid: process.pid,
    startedAt: yield* startOf(process.pid),
    role,
    isOwner: false
  })
})

const attempt = <A>(problem: string, body: () => Promise<A>) =>
  Effect.tryPromise({ try: body, catch: (cause) => new EmbeddedPostgresError({ problem, cause }) })

/** The users that are alive. */
export const read = Effect.fnUntraced(function* (dataDir: string) {
  const text = yield* Effect.promise(() => Fs.readFile(Path.join(dataDir, "users.json"), "utf8").catch(() => "[]"))
  const users = yield* decode(text).pipe(Effect.orElseSucceed(() => []))
  return yield* Effect.filter(users, isPresent)
})

export const write = Effect.fnUntraced(function* (dataDir: string, users: ReadonlyArray<User>) {
  const file = Path.join(dataDir, "users.json")
  const text = yield* Effect.orDie(encode(users))
  yield* attempt(`${file} could not be written`, async () => {
    await Fs.writeFile(`${file}.new`, text, { mode: 0o600 })
    await Fs.rename(`${file}.new`, file)
  })
})

const lockedBy = (text: string) => {
  const [pid, startedAt] = text.split(" ")
  return { pid: Number(pid), startedAt: startedAt ?? "" }
}

/** Takes the lock if nobody alive holds it. A link appears together with its content, unlike a file. */
const tryLock = Effect.fnUntraced(function* (dataDir: string) {
  const lock = Path.join(dataDir, "start.lock")
  const mine = `${lock}.${randomUUID()}`
  const content = `${process.pid} ${yield* startOf(process.pid)}`
  const taken = yield* attempt(`${lock} could not be made`, async () => {
    await Fs.writeFile(mine, content, { mode: 0o600 })
    return Fs.link(mine, lock)
      .then(
        () => true,
        (cause: NodeJS.ErrnoException) => {
          if (cause.code === "EEXIST") return false
          throw cause
        }
      )
      .finally(() => Fs.unlink(mine))
  })
  if (taken) return true
  const holder = yield* Effect.promise(() => Fs.readFile(lock, "utf8").catch(() => ""))
  if (holder === "" || (yield* isPresent(lockedBy(holder)))) return false
  // Its holder was killed. Whoever moves it away first decides; the next round takes the lock.
  const stale = `${mine}.stale`
  yield* Effect.promise(async () => {
    if (
      !(await Fs.rename(lock, stale).then(
        () => true,
        () => false
      ))
    )
      return
    const moved = await Fs.readFile(stale, "utf8")
    if (moved !== holder) await Fs.link(stale, lock).catch(() => {})
    await Fs.unlink(stale)
  })
  return false
})

const takeLock = Effect.fnUntraced(function* (dataDir: string) {
  while (!(yield* tryLock(dataDir))) yield* Effect.sleep(40)
})

/** One process at a time decides about the server of a data directory. */
export const exclusively =
  (dataDir: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.interruptible(takeLock(dataDir)).pipe(
        Effect.timeoutOrElse({
          duration: "2 minutes",
          orElse: () =>
            new EmbeddedPostgresError({ problem: `another process has been starting it in ${dataDir} for two minutes` })
        })
      ),
      () => effect,
      () => Effect.promise(() => Fs.unlink(Path.join(dataDir, "start.lock")).catch(() => {}))
    )

/** The user that stops the server when it leaves. */
export const owner = (users: ReadonlyArray<User>): Option.Option<User> =>
  Option.fromUndefinedOr(users.find(({ isOwner }) => isOwner))

export const withOwner = (users: ReadonlyArray<User>, id: string): ReadonlyArray<User> =>
  users.map((user) => new User({ ...user, isOwner: user.id === id }))
