/**
 * Brings a database to the schema of this version.
 *
 * The files in `migrations/` are numbered without gaps, go forward only, and
 * never change once they were applied anywhere: each is recorded with its
 * checksum. A database that is *newer* than this code is accepted, so that two
 * versions can run side by side while a release rolls out.
 */
import { Context, type DateTime, Effect, FileSystem, Option, Path, Predicate, Schema } from "effect"
import { Digest } from "effect/crypto"
import { SqlClient, SqlSchema } from "effect/sql"
import { keyword, statements } from "./statements.ts"

/** Where the `.sql` files are. Only tests have others. */
export const Directory = Context.Reference<URL | string>("@broker/sql/Directory", {
  defaultValue: () => new URL("./migrations", import.meta.url)
})

/** The files and the database contradict each other, and going on could destroy something. */
export class MigrationRefused extends Schema.TaggedError<MigrationRefused>()("MigrationRefused", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Migration ${this.file} ${this.problem}`
  }
}

/** PostgreSQL did not accept a statement. Its migration was rolled back as a whole. */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
  file: Schema.String,
  statement: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    const reason = Predicate.hasProperty(this.cause, "message") ? `${this.cause.message}` : JSON.stringify(this.cause)
    return `Migration ${this.file} was rolled back: ${reason}\n\n${this.statement}`
  }
}

export interface MigrationStatus {
  readonly id: number
  readonly name: string
  readonly state: "applied" | "pending"
  readonly appliedAt: Option.Option<DateTime.Utc>
}

interface MigrationFile {
  readonly id: number
  readonly name: string
  readonly file: string
  readonly text: string
  readonly checksum: string
}

const Applied = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  checksum: Schema.String,
  appliedAt: Schema.DateTimeUtcFromDate
})
type Applied = typeof Applied.Type

/** "migrate" in ASCII. Everyone who migrates a database takes this advisory lock first. */
const lock = 0x6d696772617465n

const fileName = /^(\d{4})_([a-z0-9_]+)\.sql$/

/** Would end the transaction a migration runs in, or needs a protocol the driver does not speak. */
const forbidden = new Set([
  "abort",
  "begin",
  "commit",
  "copy",
  "end",
  "prepare",
  "release",
  "rollback",
  "savepoint",
  "start"
])

const digest = (text: string) =>
  Digest.Digest.use((digests) => digests.digestHex(Digest.sha256, new TextEncoder().encode(text))).pipe(
    Effect.provide(Digest.layerWebCrypto)
  )

const read = Effect.fn("Migrations.read")(function* (path: string, file: string) {
  const [, id, name] = fileName.exec(file) ?? []
  if (id === undefined || name === undefined) {
    return yield* new MigrationRefused({
      file,
      problem: "is not named like 0001_what_it_does.sql; rename or remove it"
    })
  }
  const fs = yield* FileSystem.FileSystem
  // The same file has the same checksum whichever line endings a checkout wrote.
  const text = (yield* fs.readFileString(path)).replaceAll("\r\n", "\n")
  const wrong = statements(text)
    .map(keyword)
    .find((word) => forbidden.has(word))
  if (wrong !== undefined) {
    return yield* new MigrationRefused({
      file,
      problem: `may not say "${wrong}": each migration already runs in a transaction of its own`
    })
  }
  const checksum = yield* digest(text)
  return { id: Number(id), name, file, text, checksum } satisfies MigrationFile
})

/** Every file, in order, numbered from 1 without gaps. */
const files = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const configured = yield* Directory
  const directory = typeof configured === "string" ? configured : yield* path.fromFileUrl(configured)
  const names = (yield* fs.readDirectory(directory)).filter((name) => !name.startsWith(".")).toSorted()
  const migrations = yield* Effect.forEach(names, (name) => read(path.join(directory, name), name))
  for (const [index, { file, id }] of migrations.entries()) {
    if (id === index) {
      return yield* new MigrationRefused({ file, problem: `has the number of another file; give it the next free one` })
    }
    if (id !== index + 1) {
      return yield* new MigrationRefused({
        file,
        problem: `comes after a gap: ${String(index + 1).padStart(4, "0")} is missing; restore it or renumber`
      })
    }
  }
  return migrations
}).pipe(Effect.withSpan("Migrations.files"))

/** What the database says was applied; nothing when it has never been migrated. */
const applied = Effect.gen(function* () {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  const [table] = yield* sql`select to_regclass('migrations') is not null as "exists"`
  if (table?.["exists"] !== true) return []
  return yield* SqlSchema.findAll({
    Request: Schema.Void,
    Result: Applied,
    execute: () => sql`
         select id, name, checksum, applied_at as "appliedAt"
           from migrations
       order by id`
  })()
}).pipe(Effect.catchTag("SchemaError", Effect.die))

/** Refuses when what was applied is not what the files say. Answers the files still to apply. */
const compare = Effect.fnUntraced(function* (files: ReadonlyArray<MigrationFile>, applied: ReadonlyArray<Applied>) {
  const byId = new Map(applied.map((row) => [row.id, row]))
  const newest = files.length
  for (const { id, name } of applied) {
    if (id < 1 || (id > newest && id > applied.length)) {
      return yield* new MigrationRefused({
        file: `${String(id).padStart(4, "0")}_${name}.sql`,
        problem: "is recorded in the database out of order; restore the database from a backup"
      })
    }
  }
  let pending: MigrationFile | undefined
  for (const migration of files) {
    const row = byId.get(migration.id)
    if (row === undefined) {
      pending ??= migration
    } else if (row.checksum !== migration.checksum) {
      return yield* new MigrationRefused({
        file: migration.file,
        problem: `was changed after it had been applied; restore it, and write the change as a new migration`
      })
    } else if (pending !== undefined) {
      return yield* new MigrationRefused({
        file: pending.file,
        problem: `was never applied, though ${migration.file} after it was; give it the next free number`
      })
    }
  }
  return files.filter(({ id }) => !byId.has(id))
})

const toStatus = (file: { readonly id: number; readonly name: string }, row: Applied | undefined): MigrationStatus => ({
  id: file.id,
  name: file.name,
  state: row === undefined ? "pending" : "applied",
  appliedAt: Option.map(Option.fromUndefinedOr(row), ({ appliedAt }) => appliedAt)
})

/** Every migration this version or the database knows. Changes nothing. */
export const status = Effect.gen(function* () {
  const migrations = yield* files
  const rows = yield* applied
  yield* compare(migrations, rows)
  const byId = new Map(rows.map((row) => [row.id, row]))
  return [
    ...migrations.map((migration) => toStatus(migration, byId.get(migration.id))),
    ...rows.filter(({ id }) => id > migrations.length).map((row) => toStatus(row, row))
  ]
}).pipe(Effect.withSpan("Migrations.status"))

const run = Effect.fn("Migrations.run")(function* (migration: MigrationFile) {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  yield* Effect.forEach(
    statements(migration.text),
    (statement) =>
      Effect.catchTag(
        sql.unsafe(statement),
        "SqlError",
        (cause) => new MigrationFailed({ file: migration.file, statement, cause: cause.reason.cause })
      ),
    { discard: true }
  )
  const [row] = yield* sql`
    insert into migrations (id, name, checksum, applied_at)
         values (${migration.id}, ${migration.name}, ${migration.checksum}, clock_timestamp())
      returning applied_at as "appliedAt"`
  return toStatus(migration, {
    ...migration,
    appliedAt: yield* Schema.decodeUnknownEffect(Schema.DateTimeUtcFromDate)(row?.["appliedAt"]).pipe(Effect.orDie)
  })
})

/**
 * Applies the next pending migration, if there is one, in one transaction.
 *
 * The lock is taken in that transaction rather than for the session: it is
 * gone with the process that held it, and a migrator that waited for it looks
 * at the database afresh.
 */
const step = Effect.fnUntraced(
  function* (migrations: ReadonlyArray<MigrationFile>) {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    yield* sql`set local statement_timeout = 0`
    yield* sql`set local lock_timeout = 0`
    yield* sql`set local idle_in_transaction_session_timeout = 0`
    yield* sql`select pg_advisory_xact_lock(${lock})`
    // Rather fail a release than stop every query behind a lock we wait for.
    yield* sql`set local lock_timeout = '10s'`
    yield* sql`set local client_min_messages = 'warning'`
    yield* sql`
      create table if not exists migrations (
        id         integer primary key,
        name       text not null,
        checksum   text not null,
        applied_at timestamptz not null
      )`
    const [next] = yield* compare(migrations, yield* applied)
    return next === undefined ? Option.none() : Option.some(yield* run(next))
  },
  (effect) => SqlClient.SqlClient.use((sql) => sql.withTransaction(effect))
)

/** Applies what is pending and answers it. Any number of processes may call this at once. */
export const up = Effect.gen(function* () {
  const migrations = yield* files
  const now: Array<MigrationStatus> = []
  while (true) {
    const done = yield* step(migrations)
    if (Option.isNone(done)) return now
    yield* Effect.logInfo("Applied a migration", { id: done.value.id, name: done.value.name })
    now.push(done.value)
  }
}).pipe(Effect.withSpan("Migrations.up"))

/** A name for the schema as a whole: changes whenever any file does. */
export const fingerprint = Effect.gen(function* () {
  const migrations = yield* files
  const all = yield* digest(migrations.map(({ checksum, file }) => `${file} ${checksum}`).join("\n"))
  return all.slice(0, 16)
}).pipe(Effect.withSpan("Migrations.fingerprint"))
