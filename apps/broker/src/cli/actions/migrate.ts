import * as Migrations from "@broker/sql"
import { PgClient } from "@effect/sql-pg"
import { DateTime, Effect, Layer, Option, type Redacted } from "effect"
import { locate } from "../../BrokerDatabase.ts"
import * as Settings from "../../Settings.ts"
import * as Flags from "../Flags.ts"
import { mustExist } from "../mustExist.ts"
import * as Output from "../Output.ts"
import { quietly } from "../quietly.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

/** One connection without the limits that queries have: a migration takes the time it takes. */
export const connection = (url: Redacted.Redacted) =>
  PgClient.layer({
    url,
    applicationName: "broker-migrate",
    maxConnections: 1,
    connectTimeout: "5 seconds",
    startupParameters: { TimeZone: "UTC" }
  })

const onConnection = Effect.fnUntraced(function* (flags: Common, mayBegin: boolean) {
  const reading = yield* Settings.read(yield* Flags.settings(flags))
  if (!mayBegin) yield* mustExist(reading.values)
  const located = locate(reading.values, { role: "command", onProgress: Output.note })
  return Layer.merge(Layer.unwrap(Effect.map(located, ({ url }) => connection(url))), quietly(reading))
})

const forPrograms = (migrations: ReadonlyArray<Migrations.MigrationStatus>) => ({
  items: migrations.map(({ appliedAt, ...migration }) => ({
    ...migration,
    appliedAt: Option.getOrNull(Option.map(appliedAt, DateTime.formatIso))
  })),
  nextCursor: null
})

const number = (id: number) => String(id).padStart(4, "0")

const row = ({ appliedAt, id, name, state }: Migrations.MigrationStatus) => [
  number(id),
  name,
  state,
  Option.match(appliedAt, { onNone: () => "–", onSome: DateTime.formatIso })
]

const pendingNote = (pending: number) =>
  pending === 0
    ? "The database has the schema of this version."
    : `${pending} pending. \`broker migrate up\` applies them, and so does the start of a broker.`

export const status = Effect.fnUntraced(function* (flags: Common) {
  const migrations = yield* Migrations.status.pipe(Effect.provide(yield* onConnection(flags, false)))
  const pending = migrations.filter(({ state }) => state === "pending").length
  yield* Output.either(flags.json, forPrograms(migrations), [
    ...Output.table(["NUMBER", "MIGRATION", "STATE", "APPLIED AT"], migrations.map(row)),
    "",
    pendingNote(pending)
  ])
})

export const up = Effect.fnUntraced(function* (flags: Common) {
  const applied = yield* Migrations.up.pipe(Effect.provide(yield* onConnection(flags, true)))
  yield* Output.either(
    flags.json,
    forPrograms(applied),
    applied.length === 0
      ? ["Nothing to do: the database has the schema of this version."]
      : applied.map(({ id, name }) => `Applied ${number(id)} ${name}`)
  )
})
