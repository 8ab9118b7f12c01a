/** What a scenario plays on: a PostgreSQL that keeps what it is told, and a broker in a process of its own. */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import * as Database from "@broker/core/Database"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import * as TestServer from "@broker/testing/TestServer"
import { Effect, Exit, Layer, type Redacted, References, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { procedure, signIn } from "../../apps/broker/test/wire/Dashboard.ts"
import { type Serving, serve } from "../../apps/broker/test/wire/Process.ts"
import { type Answer, eventually } from "../../apps/broker/test/wire/Wire.ts"
import { Http } from "./Http.ts"
import { cpuOf, cpuOfFamily, machine, megabytesOf, parentOf } from "./Machine.ts"
import { Recorder } from "./Recorder.ts"
import type { Moment, Result } from "./Result.ts"

export interface Options {
  readonly servers: number
  readonly seconds: number
  /** Between two heartbeats of a server, in seconds. */
  readonly interval: number
}

const admin = { name: "bench", password: "violet tractor hums at noon" }

/** In milliseconds: a broker starts in a second or two, and later on a machine that has other things to do. */
const patience = 120_000

const dataOf = (answer: Answer) => {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return (answer.json["result"] as { readonly data: Readonly<Record<string, string>> }).data
}

interface Sample {
  readonly broker: number | null
  readonly database: number | null
  readonly megabytes: number | null
}

const difference = (after: number | null | undefined, before: number | null | undefined) =>
  typeof after === "number" && typeof before === "number" ? Math.round((after - before) * 100) / 100 : null

export class Stage implements AsyncDisposable {
  readonly options: Options
  readonly recorder = new Recorder()
  readonly database: Redacted.Redacted
  readonly notes: Array<string> = []
  readonly #say: (line: string) => void
  readonly #clear: () => Promise<void>
  readonly #postmaster: number
  readonly #samples: Array<Sample> = []
  #serving: Serving
  #http: Http
  #former = 0

  private constructor(given: {
    readonly options: Options
    readonly say: (line: string) => void
    readonly clear: () => Promise<void>
    readonly postmaster: number
    readonly database: Redacted.Redacted
    readonly serving: Serving
  }) {
    this.options = given.options
    this.#say = given.say
    this.#clear = given.clear
    this.database = given.database
    this.#serving = given.serving
    this.#http = new Http(given.serving.url)
    this.#postmaster = given.postmaster
  }

  static async set(options: Options, say: (line: string) => void) {
    const directory = await mkdtemp(join(tmpdir(), "broker-scenario-"))
    await chmod(directory, 0o700)
    const scope = Scope.makeUnsafe()
    const clear = async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await rm(directory, { recursive: true, force: true })
    }
    try {
      const { url } = await Effect.runPromise(
        EmbeddedPostgres.acquire({
          dataDir: directory,
          settings: { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.max": "2000" },
          onProgress: (line) => Effect.sync(() => say(line))
        }).pipe(Scope.provide(scope))
      )
      const [backend] = await Effect.runPromise(
        SqlClient.SqlClient.use((sql) =>
          Effect.andThen(sql`create extension pg_stat_statements`, sql<{ pid: number }>`select pg_backend_pid() as pid`)
        ).pipe(
          // Whose child is gone with its connection.
          Effect.map((rows) => rows.map(({ pid }) => parentOf(pid))),
          Effect.provide(Layer.provideMerge(TestServer.connect(url), Layer.orDie(Database.migrated({ url })))),
          Effect.provideService(References.MinimumLogLevel, "Warn")
        )
      )
      const serving = await serve(url, Stage.#environment(options), patience)
      return new Stage({ options, say, clear, postmaster: backend ?? 0, database: url, serving })
    } catch (error) {
      await clear()
      throw error
    }
  }

  static #environment({ interval }: Options) {
    return {
      ADMIN_NAME: admin.name,
      ADMIN_PASSWORD: admin.password,
      LOG_LEVEL: "warn",
      HEARTBEAT_INTERVAL: `${interval}s`,
      SWEEP_INTERVAL: "1s",
      CONNECTIONS_PER_DEVICE: "1000"
    }
  }

  get http() {
    return this.#http
  }

  get url() {
    return this.#serving.url
  }

  get audience() {
    return this.#serving.audience
  }

  say(line: string) {
    this.#say(line)
  }

  /** A broker that ends by itself is no figure, but a fault. */
  #mustServe() {
    const { child, log } = this.#serving
    const ended = child.exitCode ?? child.signalCode
    if (ended !== null) throw new Error(`the broker ended with ${ended}: ${JSON.stringify(log.slice(-3))}`)
  }

  /** The broker dies without a word, and comes back after a while. */
  async outage(milliseconds: number) {
    const { child, exited } = this.#serving
    this.#former += cpuOf(child.pid ?? 0) ?? 0
    child.kill("SIGKILL")
    await exited
    this.#http.close()
    await new Promise((resolve) => setTimeout(resolve, milliseconds))
    this.#serving = await serve(this.database, Stage.#environment(this.options), patience)
    this.#http = new Http(this.#serving.url)
  }

  /** The cookie of an admin who has just signed in. */
  signIn() {
    return eventually(
      "the broker lets us in",
      () =>
        signIn(this.#serving, admin.name, admin.password).then(
          (cookie) => cookie,
          () => undefined
        ),
      { withinMs: 60_000, everyMs: 200 }
    )
  }

  async act(cookie: string, name: string, input: unknown) {
    return dataOf(await procedure(this.#serving, "mutation", name, input, cookie))
  }

  /** A key that lets so many servers in. */
  async registrationKey(cookie: string, useLimit: number) {
    const request = {
      name: "bench",
      useLimit,
      expiresInSeconds: 3_600,
      tags: [],
      approval: false,
      replacesServerId: null
    }
    return (await this.act(cookie, "registrationKeys.create", request))["key"] ?? ""
  }

  async #query(statement: string): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> {
    return Effect.runPromise(
      SqlClient.SqlClient.use((sql) => sql.unsafe<Readonly<Record<string, unknown>>>(statement)).pipe(
        Effect.provide(TestServer.connect(this.database))
      )
    )
  }

  #sample(): Sample {
    const pid = this.#serving.child.pid ?? 0
    const broker = cpuOf(pid)
    return {
      broker: broker === null ? null : broker + this.#former,
      database: cpuOfFamily(this.#postmaster),
      megabytes: megabytesOf(pid)
    }
  }

  /** Plays what is measured, and tells what came of it. */
  async play(scenario: string, title: string, part: () => Promise<void>): Promise<Result> {
    const { recorder } = this
    const [version] = await this.#query("select current_setting('server_version') as version")
    await this.#query("select pg_stat_statements_reset()")
    const [wal] = await this.#query("select pg_current_wal_lsn()::text as lsn")
    const loadBefore = loadavg()[0] ?? 0
    const startedAt = new Date().toISOString()
    const own = process.cpuUsage()
    this.#samples.push(this.#sample())
    recorder.begin()
    const sampling = setInterval(() => {
      this.#samples.push(this.#sample())
      const at = Math.floor(recorder.elapsed)
      if (at % 5 === 0) this.#say(`${at} s: ${recorder.done} requests answered`)
    }, 1_000)
    try {
      await part()
    } finally {
      clearInterval(sampling)
    }
    this.#mustServe()
    const seconds = recorder.elapsed
    this.#samples.push(this.#sample())
    const cpu = process.cpuUsage(own)
    const ofDatabase =
      "from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())"
    const [all] = await this.#query(`
      select coalesce(sum(calls), 0)::float8 as calls, coalesce(sum(rows), 0)::float8 as rows,
             coalesce(sum(total_exec_time), 0)::float8 as milliseconds,
             pg_wal_lsn_diff(pg_current_wal_lsn(), '${String(wal?.["lsn"])}')::float8 as wal ${ofDatabase}`)
    const top = await this.#query(`
      select left(regexp_replace(trim(query), '\\s+', ' ', 'g'), 160) as text, calls::float8 as calls, rows::float8 as rows,
             total_exec_time as milliseconds ${ofDatabase} order by total_exec_time desc limit 8`)
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    return {
      scenario,
      title,
      servers: this.options.servers,
      seconds: Math.round(seconds * 10) / 10,
      startedAt,
      machine: {
        ...machine(),
        postgres: String(version?.["version"]),
        loadBefore: Math.round(loadBefore * 10) / 10,
        loadAfter: Math.round((loadavg()[0] ?? 0) * 10) / 10
      },
      operations: recorder.operations(seconds),
      broker: {
        cpuSeconds: difference(last?.broker, first?.broker),
        mostMegabytes: Math.round(Math.max(...this.#samples.map(({ megabytes }) => megabytes ?? 0))) || null
      },
      database: {
        cpuSeconds: difference(last?.database, first?.database),
        statements: Number(all?.["calls"]),
        rows: Number(all?.["rows"]),
        milliseconds: Math.round(Number(all?.["milliseconds"])),
        walBytes: Number(all?.["wal"]),
        top: top.map(({ calls, milliseconds, rows, text }) => ({
          text: String(text),
          calls: Number(calls),
          rows: Number(rows),
          milliseconds: Math.round(Number(milliseconds))
        }))
      },
      asker: { cpuSeconds: Math.round((cpu.user + cpu.system) / 10_000) / 100 },
      notes: this.notes,
      moments: this.#moments()
    }
  }

  #moments(): ReadonlyArray<Moment> {
    return this.recorder.moments().map((moment) => {
      const before = this.#samples[moment.at]
      const after = this.#samples[moment.at + 1]
      return {
        ...moment,
        brokerCpu: difference(after?.broker, before?.broker),
        databaseCpu: difference(after?.database, before?.database),
        brokerMegabytes: after?.megabytes == null ? null : Math.round(after.megabytes)
      }
    })
  }

  async [Symbol.asyncDispose]() {
    this.#http.close()
    await this.#serving[Symbol.asyncDispose]()
    await this.#clear()
  }
}
