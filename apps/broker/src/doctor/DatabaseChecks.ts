/** The database: there, new enough, of this version's schema, on time. */
import * as MonitoringSql from "@broker/core/monitoring/MonitoringSql"
import * as Migrations from "@broker/sql"
import { PgClient } from "@effect/sql-pg"
import {
  Cause,
  DateTime,
  Duration,
  Effect,
  Exit,
  FileSystem,
  Layer,
  Option,
  type Redacted,
  String as Text
} from "effect"
import { SqlClient } from "effect/sql"
import { embeddedDirectory, locate } from "../BrokerDatabase.ts"
import type { Values } from "../Settings.ts"
import { withoutPassword } from "../settings/Kind.ts"
import { encryption } from "./EncryptionChecks.ts"
import { error, type Finding, ok, warning } from "./Finding.ts"

const oldest = 150_000
const tolerated = Duration.toMillis("2 seconds")

const connection = (url: Redacted.Redacted) =>
  PgClient.layer({
    url,
    applicationName: "broker-doctor",
    maxConnections: 1,
    connectTimeout: "3 seconds",
    startupParameters: { TimeZone: "UTC", statement_timeout: "5000" },
    transformResultNames: Text.snakeToCamel,
    transformJson: false
  })

const server = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql`
    select current_setting('server_version') as version,
           current_setting('server_version_num')::integer as number,
           pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as "readOnly"`
  const version = `PostgreSQL ${String(row?.["version"])}`
  if (Number(row?.["number"]) < oldest) return error("database", `${version} is too old`, "Use PostgreSQL 15 or newer.")
  if (row?.["readOnly"] === true) {
    return error("database", `${version} takes no writes`, "Name the primary in DATABASE_URL, not a standby.")
  }
  return ok("database", `${version} answers`)
})

const clock = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const before = Date.now()
  const [row] = yield* sql`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`
  const offset = Math.round(Number(row?.["now"]) - (before + Date.now()) / 2)
  const message = `${Math.abs(offset)} ms ${offset < 0 ? "ahead of" : "behind"} the database's`
  return Math.abs(offset) > tolerated
    ? warning(
        "clock",
        `this machine's clock is ${message}`,
        "Set both clocks by NTP. The broker goes by the database's."
      )
    : ok("clock", `this machine's clock is ${message}`)
})

/** What the migrations create; all of PostgreSQL's own, and trusted: whoever may create in the database may create them. */
const needed = ["btree_gin", "btree_gist", "cube", "pg_trgm"]

const extensions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const wanting = yield* sql<{ readonly name: string; readonly isAvailable: boolean }>`
       select wanted.name, offered.name is not null as "isAvailable"
         from unnest(${needed}::text[]) as wanted (name)
         left join pg_available_extensions offered on offered.name = wanted.name
        where not exists (select from pg_extension e where e.extname = wanted.name)
     order by wanted.name`
  if (wanting.length === 0) return ok("extensions", `${needed.join(", ")} are there`)
  const names = (of: typeof wanting) => of.map(({ name }) => name).join(", ")
  const unavailable = wanting.filter(({ isAvailable }) => !isAvailable)
  if (unavailable.length > 0) {
    return error(
      "extensions",
      `PostgreSQL does not have ${names(unavailable)}`,
      "Install PostgreSQL's contrib package on the database's machine, such as postgresql-contrib."
    )
  }
  const [role] = yield* sql<{ readonly name: string; readonly database: string; readonly mayCreate: boolean }>`
    select current_user as name, current_database() as database,
           has_database_privilege(current_user, current_database(), 'CREATE') as "mayCreate"`
  if (role?.mayCreate !== true) {
    return error(
      "extensions",
      `${role?.name} may not create ${names(wanting)}`,
      `As the database's owner: grant create on database "${role?.database}" to "${role?.name}", or create extension for each.`
    )
  }
  return ok("extensions", `${names(wanting)} can be created`)
})

const migrations = Migrations.status.pipe(
  Effect.map((all): Finding => {
    const pending = all.filter(({ state }) => state === "pending").length
    return pending === 0
      ? ok("migrations", `all ${all.length} are applied`)
      : warning("migrations", `${pending} are pending`, "`broker migrate up`; the start of a broker applies them too.")
  }),
  Effect.catchTag("MigrationRefused", ({ message }) =>
    Effect.succeed(error("migrations", message, "Restore the files of this version, or the database from a backup."))
  )
)

const admins = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [table] = yield* sql`select to_regclass('admins') is not null as "exists"`
  if (table?.["exists"] !== true) return []
  const [row] = yield* sql`select exists (select from admins) as "any"`
  return row?.["any"] === true
    ? []
    : [
        warning(
          "admins",
          "nobody can sign in yet",
          "Open the link that `broker serve` prints, or `broker admin create NAME`."
        )
      ]
})

/** How late the timers of a node may come, the worst 1 in 100. */
const toleratedLagMillis = 200

/** Jobs that fail, jobs that nobody runs, nodes that cannot keep up. */
const running = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [table] = yield* sql`select to_regclass('job_runs') is not null as "exists"`
  if (table?.["exists"] !== true) return []
  const statements = yield* MonitoringSql.make
  const now = yield* DateTime.now
  const [nodes, jobs] = yield* Effect.all([statements.nodes(now), statements.jobs(now)])
  const alive = nodes.filter((node) => node.alive)
  const lagging = alive.filter(({ lagMillis }) => (lagMillis ?? 0) > toleratedLagMillis)
  const failing = jobs.filter(({ lastOutcome }) => lastOutcome === "failed")
  // Nobody runs jobs while no broker runs.
  const overdue = alive.length === 0 ? [] : jobs.filter((job) => job.overdue)
  return [
    ...lagging.map(({ lagMillis, name }) =>
      warning(
        "nodes",
        `${name} is ${Math.round(lagMillis ?? 0)} ms behind with its work`,
        "Give its machine more processor time, or start another node."
      )
    ),
    ...failing.map(({ lastProblem, name }) =>
      warning("jobs", `${name} failed when it ran last: ${lastProblem ?? "for no known reason"}`, "Look into the log.")
    ),
    ...overdue.map(({ name, nextRunAt }) =>
      warning(
        "jobs",
        `${name} should have run at ${DateTime.formatIso(nextRunAt)}`,
        "Restart the broker whose log says that it runs the jobs."
      )
    ),
    ...(lagging.length + failing.length + overdue.length === 0 && alive.length > 0
      ? [
          ok(
            "jobs",
            `all ${jobs.length} run, on ${alive.length === 1 ? "the one node" : `one of ${alive.length} nodes`}`
          )
        ]
      : [])
  ]
})

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  let reason = Cause.squash(cause)
  while (reason instanceof Error && "cause" in reason && reason.cause instanceof Error) reason = reason.cause
  return reason instanceof Error ? reason.message : String(reason)
}

/** All of it on one connection. An embedded database is started for the moment if it does not run. */
export const database = Effect.fnUntraced(function* (values: Values) {
  const fs = yield* FileSystem.FileSystem
  const directory = embeddedDirectory(values)
  if (values.databaseUrl === undefined && !(yield* Effect.orElseSucceed(fs.exists(directory), () => false))) {
    return [ok("database", `an embedded PostgreSQL, made at the first start in ${directory}`)]
  }
  const layer = Layer.unwrap(
    Effect.map(locate(values, { role: "command", onProgress: () => Effect.void }), ({ url }) => connection(url))
  )
  const findings = yield* Effect.all([server, extensions, migrations, clock]).pipe(
    Effect.flatMap((found) =>
      Effect.map(Effect.all([encryption(values), admins, running]), (more) => [...found, ...more.flat()])
    ),
    Effect.provide(layer),
    Effect.exit
  )
  if (Exit.isSuccess(findings)) return findings.value
  const where = Option.match(Option.fromUndefinedOr(values.databaseUrl), {
    onNone: () => `the embedded PostgreSQL in ${directory}`,
    onSome: withoutPassword
  })
  return [
    error(
      "database",
      `${where} does not answer: ${reasonOf(findings.cause)}`,
      values.databaseUrl === undefined
        ? `Look into ${directory}/postgres.log.`
        : "Check that it runs, that this machine may connect, and DATABASE_URL."
    )
  ]
})
