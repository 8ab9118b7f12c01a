/** Settings, migrations and the doctor, as commands. */

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { connection } from "../../src/cli/actions/migrate.ts"
import { commandLinePage } from "../../src/cli/CommandLinePage.ts"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { version } from "../../src/version.ts"
import { broker } from "./CommandLine.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-cli-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const unreachable = "postgres://broker:hunter2hunter2@127.0.0.1:1/broker"

describe("broker", () => {
  it.live("shows its help, its version and completions on standard output", () =>
    Effect.gen(function* () {
      const help = yield* broker(["--help"])
      assert.strictEqual(help.code, ExitCode.ok)
      for (const command of [
        "serve",
        "demo",
        "agent",
        "admin",
        "role",
        "api-token",
        "registration-key",
        "server",
        "doctor",
        "config",
        "migrate"
      ]) {
        assert.match(help.stdout, new RegExp(`^ +${command} `, "m"))
      }
      assert.include(help.stdout, "EXIT CODES")
      assert.deepStrictEqual(yield* broker(["--version"]), { code: ExitCode.ok, stdout: version, stderr: "" })
      for (const shell of ["bash", "zsh", "fish", "powershell"]) {
        const completions = yield* broker(["--completions", shell])
        assert.strictEqual(completions.code, ExitCode.ok)
        assert.include(completions.stdout, "registration-key")
      }
    })
  )

  it.live("answers a wrong command line on standard error, with what was probably meant", () =>
    Effect.gen(function* () {
      const command = yield* broker(["registration-keys"])
      assert.deepStrictEqual([command.code, command.stdout], [ExitCode.usage, ""])
      assert.include(command.stderr, "registration-key")
      const flag = yield* broker(["serve", "--prot", "1"])
      assert.deepStrictEqual([flag.code, flag.stdout], [ExitCode.usage, ""])
      assert.include(flag.stderr, "--port")
      assert.include(flag.stderr, "broker serve --help")
    })
  )

  it.live.each(["-name", "-lastSeen"])("takes the value %s, though it begins with a minus", (sort) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* broker(["server", "list", "--sort", sort, "--data-dir", yield* directory])
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "There is no broker's data")
    })
  )

  it.live("takes a location in the south and west", () =>
    Effect.gen(function* () {
      const args = ["--url", "http://127.0.0.1:1", "--state-dir", yield* directory, "--location", "-33.9,-70.7"]
      const { stderr } = yield* broker(["agent", ...args])
      assert.include(stderr, "a registration key is needed")
    })
  )

  it.live("has all commands on the page about the command line", () =>
    Effect.gen(function* () {
      const page = yield* commandLinePage
      yield* Effect.promise(() => expect(page).toMatchFileSnapshot("../../../../docs/command-line.md"))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("shows the help of a group without asking", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* broker(["server"])
      assert.strictEqual(code, ExitCode.ok)
      assert.include(stdout, "suspend")
    })
  )
})

describe("broker config", () => {
  it.live("shows where each value comes from, and no secret", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "settings.yaml")
      yield* Effect.promise(() => writeFile(file, "logLevel: debug\nmetricsToken: hunter2hunter2hunter2\n"))
      const args = ["--config", file, "config", "--port", "4000"]
      const { code, stdout } = yield* broker([...args, "--json"], { DATABASE_URL: unreachable, HOST: "0.0.0.0" })
      assert.strictEqual(code, ExitCode.ok)
      assert.notInclude(stdout, "hunter2")
      const { file: read, items, nextCursor } = JSON.parse(stdout)
      assert.deepStrictEqual([read, nextCursor], [file, null])
      const item = (name: string) => items.find((item: { readonly name: string }) => item.name === name)
      assert.deepInclude(item("port"), { value: 4000, source: "flag", variable: "PORT" })
      assert.deepInclude(item("host"), { value: "0.0.0.0", source: "environment" })
      assert.deepInclude(item("logLevel"), { value: "debug", source: "file" })
      assert.deepInclude(item("heartbeatInterval"), { value: "30s", source: "default" })
      assert.deepInclude(item("publicUrl"), { value: null, source: "default" })
      const human = yield* broker(args)
      assert.match(human.stdout, /^port +PORT +4000 +flag$/m)
    }).pipe(Effect.scoped)
  )

  it.live("ends with all that is wrong", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* broker(["config", "--port", "x"], { LOG_LEVEL: "loud" })
      assert.deepStrictEqual([code, stdout], [ExitCode.usage, ""])
      assert.include(stderr, '--port is "x". It must be a whole number from 0 to 65535.')
      assert.include(stderr, 'LOG_LEVEL is "loud". It must be one of trace,')
    })
  )
})

describe("broker migrate", () => {
  it.live("shows what is pending, applies it, and says when there is nothing to do", () =>
    Effect.gen(function* () {
      const url = Redacted.value(yield* TestDatabase.createEmptyDatabase)
      const migrate = (...args: ReadonlyArray<string>) => broker(["migrate", ...args], { DATABASE_URL: url })
      const states = ({ stdout }: { readonly stdout: string }) =>
        JSON.parse(stdout).items.map(({ state }: { readonly state: string }) => state)

      const refused = yield* broker(["server", "list"], { DATABASE_URL: url })
      assert.strictEqual(refused.code, ExitCode.refused)
      assert.include(refused.stderr, "broker migrate up")

      const before = yield* migrate("status", "--json")
      assert.strictEqual(before.code, ExitCode.ok)
      assert.isTrue(states(before).every((state: string) => state === "pending"))
      assert.include((yield* migrate("status")).stdout, "`broker migrate up` applies them")

      const up = yield* migrate("up", "--json")
      assert.deepStrictEqual(states(up).length, states(before).length)
      assert.match(JSON.parse(up.stdout).items[0].appliedAt, /Z$/)
      assert.include((yield* migrate("up")).stdout, "Nothing to do")
      assert.isTrue(states(yield* migrate("status", "--json")).every((state: string) => state === "applied"))
      assert.strictEqual((yield* broker(["server", "list"], { DATABASE_URL: url })).code, ExitCode.ok)
    }).pipe(Effect.scoped)
  )

  it.live("refuses a database whose migrations were edited", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      yield* SqlClient.SqlClient.use((sql) => sql`update migrations set checksum = 'x' where id = 1`).pipe(
        Effect.provide(connection(url))
      )
      const variables = { DATABASE_URL: Redacted.value(url) }
      const up = yield* broker(["migrate", "up"], variables)
      assert.strictEqual(up.code, ExitCode.refused)
      assert.include(up.stderr, "was changed after it had been applied")
      const doctor = yield* broker(["doctor"], { ...variables, PORT: "0" })
      assert.strictEqual(doctor.code, ExitCode.unexpected)
      assert.match(doctor.stdout, /✗ migrations: .*0001_/)
    }).pipe(Effect.scoped)
  )
})

describe("a database that is away", () => {
  it.live("ends a command with 4, and says what to do", () =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.forEach(
        [
          ["server", "list"],
          ["migrate", "status"],
          ["registration-key", "create"]
        ],
        (args) => broker(args, { DATABASE_URL: unreachable })
      )
      for (const { code, stderr, stdout } of outcomes) {
        assert.deepStrictEqual([code, stdout], [ExitCode.unreachable, ""], stderr)
        assert.include(stderr, "does not answer")
        assert.include(stderr, "DATABASE_URL")
        assert.notInclude(stderr, "hunter2")
      }
    })
  )

  it.live("is not made up where there is none", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* broker(["server", "list", "--data-dir", join(yield* directory, "data")])
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "--data-dir")
    }).pipe(Effect.scoped)
  )
})

interface Finding {
  readonly check: string
  readonly level: string
  readonly message: string
  readonly remedy: string | null
}

const doctor = Effect.fnUntraced(function* (args: ReadonlyArray<string>, variables: Readonly<Record<string, string>>) {
  const { code, stdout } = yield* broker(["doctor", "--json", ...args], variables)
  const { healthy, items } = JSON.parse(stdout) as { readonly healthy: boolean; readonly items: ReadonlyArray<Finding> }
  assert.strictEqual(code, healthy ? ExitCode.ok : ExitCode.unexpected)
  return (check: string) => items.find((item) => item.check === check)
})

describe("broker doctor", () => {
  it.live("finds nothing wrong with a good installation", () =>
    Effect.gen(function* () {
      const url = Redacted.value(yield* TestDatabase.createDatabase)
      const { code, stdout } = yield* broker(["doctor", "--port", "0"], { DATABASE_URL: url })
      assert.strictEqual(code, ExitCode.ok, stdout)
      for (const check of [
        "node",
        "settings",
        "secrets",
        "database",
        "extensions",
        "migrations",
        "clock",
        "encryption",
        "port",
        "public URL"
      ]) {
        assert.match(stdout, new RegExp(`^✓ ${check}: `, "m"))
      }
      assert.match(stdout, /^! admins: nobody can sign in yet\n {4}/m)
    }).pipe(Effect.scoped)
  )

  it.live("tells of jobs that failed or that nobody runs, and of nodes that lag", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.createDatabase
      yield* SqlClient.SqlClient.use((sql) =>
        Effect.andThen(
          sql`
            insert into nodes (id, name, version, audience, encryption_keys, started_at, last_seen_at, lag_ms)
            values (gen_random_uuid(), 'fra-1', '1', 'http://localhost', '{}', now(), now() + interval '1 hour', 750)`,
          sql`
            insert into job_runs (job, every_seconds, runs, failures, last_started_at, last_took_ms, last_outcome,
                                  last_problem, last_failed_at, next_run_at)
            values ('prune', 60, 10, 1, now(), 20, 'failed', 'The database was away', now(), now() + interval '1 hour'),
                   ('signing-keys', 60, 10, 0, now() - interval '1 day', 20, 'done', null, null, now() - interval '1 day')`
        )
      ).pipe(Effect.provide(connection(database)))
      const { stdout } = yield* broker(["doctor", "--port", "0"], { DATABASE_URL: Redacted.value(database) })
      assert.match(stdout, /^! nodes: fra-1 is 750 ms behind with its work\n {4}/m)
      assert.match(stdout, /^! jobs: prune failed when it ran last: The database was away\n {4}/m)
      assert.match(stdout, /^! jobs: signing-keys should have run at /m)
    }).pipe(Effect.scoped)
  )

  it.live("says what to do about a database that is away, and hides its password", () =>
    Effect.gen(function* () {
      const finding = yield* doctor(["--port", "0"], { DATABASE_URL: unreachable })
      assert.strictEqual(finding("database")?.level, "error")
      assert.notInclude(JSON.stringify(finding("database")), "hunter2")
      assert.isUndefined(finding("migrations"))
    })
  )

  it.live("looks for every extension that the migrations create", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.createDatabase
      const created = yield* SqlClient.SqlClient.use(
        (sql) => sql`select extname as name from pg_extension where extname <> 'plpgsql' order by extname`
      ).pipe(Effect.provide(connection(database)))
      const finding = yield* doctor(["--port", "0"], { DATABASE_URL: Redacted.value(database) })
      const names = created.map(({ name }) => name).join(", ")
      assert.strictEqual(finding("extensions")?.message, `${names} are there`)
    }).pipe(Effect.scoped)
  )

  it.live("finds extensions that the role may not create, until it may or they are there", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.createEmptyDatabase
      const url = new URL(Redacted.value(database))
      const role = `${url.pathname.slice(1)}_role`
      url.username = role
      url.password = "password"
      const administer = (statement: string) =>
        SqlClient.SqlClient.use((sql) => sql.unsafe(statement)).pipe(Effect.provide(connection(database)))
      yield* Effect.acquireRelease(administer(`create role ${role} login password 'password'`), () =>
        Effect.ignore(Effect.andThen(administer(`drop owned by ${role}`), administer(`drop role ${role}`)))
      )
      const extensions = Effect.map(doctor(["--port", "0"], { DATABASE_URL: url.href }), (found) => found("extensions"))

      const refused = yield* extensions
      assert.strictEqual(refused?.level, "error")
      assert.include(refused?.message, `${role} may not create btree_gin, btree_gist, cube, pg_trgm`)
      assert.include(refused?.remedy, `grant create on database "${url.pathname.slice(1)}" to "${role}"`)

      yield* administer(`grant create on database "${url.pathname.slice(1)}" to ${role}`)
      assert.strictEqual((yield* extensions)?.level, "ok")

      yield* administer(`revoke create on database "${url.pathname.slice(1)}" from ${role}`)
      for (const name of ["btree_gin", "btree_gist", "cube", "pg_trgm"]) yield* administer(`create extension ${name}`)
      assert.deepInclude(yield* extensions, { level: "ok", message: "btree_gin, btree_gist, cube, pg_trgm are there" })
    }).pipe(Effect.scoped)
  )

  it.live("tells wrong settings, and leaves out what depends on them", () =>
    Effect.gen(function* () {
      const finding = yield* doctor([], { PORT: "x" })
      assert.include(finding("settings")?.message, 'PORT is "x"')
      assert.isUndefined(finding("database"))
    })
  )

  it.live("says that the data directory is a file, and goes on", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "file")
      yield* Effect.promise(() => writeFile(file, ""))
      const { code, stdout } = yield* broker(["doctor", "--port", "0", "--data-dir", file])
      assert.strictEqual(code, ExitCode.unexpected)
      assert.include(stdout, `${file} is not a directory`)
      assert.include(stdout, "dashboard:")
    })
  )

  it.live("finds a port that somebody else has", () =>
    Effect.gen(function* () {
      const port = yield* Effect.acquireRelease(
        Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
          const server = createServer((socket) => socket.destroy())
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed({ port, close: () => void server.close() }))
          })
        }),
        ({ close }) => Effect.sync(close)
      )
      const finding = yield* doctor(["--port", String(port.port)], { DATABASE_URL: unreachable })
      assert.strictEqual(finding("port")?.level, "error")
      assert.include(finding("port")?.remedy, "--port")
    }).pipe(Effect.scoped)
  )

  it.live("finds a file with secrets that others can read", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "broker.yaml")
      yield* Effect.promise(() => writeFile(file, `databaseUrl: ${unreachable}\n`))
      yield* Effect.promise(() => chmod(file, 0o644))
      const open = yield* doctor(["--port", "0", "--config", file], {})
      assert.deepInclude(open("secrets"), { level: "error", remedy: `chmod 600 ${file}` })
      yield* Effect.promise(() => chmod(file, 0o600))
      assert.strictEqual((yield* doctor(["--port", "0", "--config", file], {}))("secrets")?.level, "ok")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    [{ HOST: "0.0.0.0" }, "warning", "PUBLIC_URL"],
    [{ PUBLIC_URL: "http://broker.test" }, "warning", "https"],
    [{ PUBLIC_URL: "http://localhost:1" }, "ok", "nobody answers there now"]
  ] as const)("judges the public address of %j", ([variables, level, said]) =>
    Effect.gen(function* () {
      const found = yield* doctor(["--port", "0"], { DATABASE_URL: unreachable, ...variables })
      assert.strictEqual(found("public URL")?.level, level)
      assert.include(JSON.stringify(found("public URL")), said)
    })
  )
})
