/**
 * Encryption of what the broker must be able to read again, and nobody else: AES-256-GCM under a key from the
 * configuration (J6). What is sealed names its key, so that keys can change.
 *
 * The database names the key that seals. A broker that does not have it, or lacks any other that something is sealed
 * under, refuses to start; and a broker that was given a new key goes on with the one that is named until all is
 * sealed anew, so that nodes can be told of the new key one after the other.
 */
import { Context, DateTime, Duration, Effect, Layer, Option, type Redacted, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit, type AuditEntry } from "../audit/Audit.ts"
import * as SqlFailure from "../database/SqlFailure.ts"
import * as EncryptionSql from "./EncryptionSql.ts"
import * as Sealed from "./Sealed.ts"
import { nameOf, place, type SealedColumn, sealedColumns } from "./SealedColumns.ts"
import { Secrets } from "./Secrets.ts"

/** The key of now, which seals, and former ones, which only open. 32 bytes each. Without any, there is no broker. */
export const EncryptionKeys = Context.Reference<{
  readonly current: Redacted.Redacted<Uint8Array>
  readonly former: ReadonlyArray<Redacted.Redacted<Uint8Array>>
} | null>("@broker/core/crypto/EncryptionKeys", { defaultValue: () => null })

type Ring = ReadonlyMap<string, Sealed.EncryptionKey>

/** All keys by their ids, the one of now first. */
const ringOf = (keys: typeof EncryptionKeys.Service): Ring =>
  new Map(keys === null ? [] : [keys.current, ...keys.former].map(Sealed.key).map((key) => [key.id, key]))

/** The names of keys: public, and the same wherever the key is. */
export const keyIds = (keys: typeof EncryptionKeys.Service): ReadonlyArray<string> => Array.from(ringOf(keys).keys())

/** Secrets in the database cannot be opened with what the broker was given, so it does not begin (J6). */
export class EncryptionKeyUnavailable extends Schema.TaggedError<EncryptionKeyUnavailable>()(
  "EncryptionKeyUnavailable",
  {
    /** Keys that the database needs and that are not there; none where it needs none yet and there is no key at all. */
    needed: Schema.Array(Schema.String),
    held: Schema.Array(Schema.String)
  }
) {
  override get message() {
    if (this.needed.length === 0)
      return "There is no encryption key (`EncryptionKeys`), and nothing begins without one."
    const which = `the encryption key${this.needed.length === 1 ? "" : "s"} ${this.needed.join(", ")}`
    const held = this.held.length === 0 ? "has no key" : `has ${this.held.join(", ")}`
    return `Secrets in this database are sealed under ${which}. The broker ${held}.`
  }
}

/** Another node could not open what is sealed under the new key. */
export class EncryptionKeyNotEverywhere extends Schema.TaggedError<EncryptionKeyNotEverywhere>()(
  "EncryptionKeyNotEverywhere",
  { keyId: Schema.String, nodes: Schema.Array(Schema.String) }
) {
  override get message() {
    return `Brokers are running without the encryption key ${this.keyId}: ${this.nodes.join(", ")}.`
  }
}

/** How long after its last sign of life a node counts as running. */
const aliveFor = Duration.seconds(10)

/** How many secrets of a column are under a key. */
interface SecretCount {
  readonly column: string
  readonly keyId: string
  readonly secrets: number
}

interface EncryptionStatus {
  /** The key that the database names: it seals. */
  readonly sealing: string
  /** The key that this broker was given as the one of now. Another than the one that seals until all is re-wrapped. */
  readonly configured: string
  readonly former: ReadonlyArray<string>
  readonly counts: ReadonlyArray<SecretCount>
}

/** What came of going through all secrets. */
export interface Survey {
  readonly secrets: number
  /** Where those are that do not open. */
  readonly unreadable: ReadonlyArray<string>
}

const total = (surveys: ReadonlyArray<Survey>): Survey => ({
  secrets: surveys.reduce((sum, { secrets }) => sum + secrets, 0),
  unreadable: surveys.flatMap(({ unreadable }) => unreadable)
})

type Statements = Effect.Success<typeof EncryptionSql.make>

const countAll = (statements: Statements) =>
  Effect.forEach(sealedColumns, (column) =>
    Effect.map(statements.counts(column), (rows) =>
      rows.map(({ key, secrets }): SecretCount => ({ column: nameOf(column), keyId: key, secrets }))
    )
  ).pipe(Effect.map((counts) => counts.flat()))

/** The key that the database names, and every key that it needs: that one, and all that something is sealed under. */
const neededKeys = Effect.fnUntraced(function* (statements: Statements) {
  const named = Option.map(yield* statements.current(undefined), ({ id }) => id)
  const used = (yield* countAll(statements)).map(({ keyId }) => keyId)
  return { named, needed: Array.from(new Set([...Option.toArray(named), ...used])) }
})

/** Makes this the key that seals. */
const name = Effect.fnUntraced(function* (statements: Statements, id: string) {
  const now = yield* DateTime.now
  yield* statements.retireOthers({ id, now })
  yield* statements.name({ id, now })
})

const openBy = (ring: Ring, where: string, sealed: Uint8Array) =>
  Sealed.keyIdOf(sealed).pipe(
    Option.flatMap((id) => Option.fromUndefinedOr(ring.get(id))),
    Option.flatMap((key) => Sealed.open(key, where, sealed))
  )

/** Goes through a column page by page, and tells what does not open. */
const throughAll = Effect.fnUntraced(function* <E, R>(
  ring: Ring,
  column: SealedColumn,
  page: (after: string) => Effect.Effect<ReadonlyArray<EncryptionSql.Row>, E, R>,
  onProgress: (done: number) => Effect.Effect<void> = () => Effect.void
) {
  let all: Survey = { secrets: 0, unreadable: [] }
  let after: string | undefined = EncryptionSql.beforeAll
  while (after !== undefined) {
    const rows: ReadonlyArray<EncryptionSql.Row> = yield* page(after)
    const unreadable = rows
      .map(({ id, sealed }) => ({ where: place(column, id), sealed }))
      .filter(({ sealed, where }) => Option.isNone(openBy(ring, where, sealed)))
      .map(({ where }) => where)
    all = total([all, { secrets: rows.length, unreadable }])
    if (rows.length > 0) yield* onProgress(all.secrets)
    after = rows.at(-1)?.id
  }
  return all
})

/** Opens every secret by these keys, without changing anything; tells also which keys are missing. */
export const survey = Effect.fn("Encryption.survey")(function* (keys: typeof EncryptionKeys.Service) {
  const statements = yield* EncryptionSql.make
  const ring = ringOf(keys)
  const { named, needed } = yield* neededKeys(statements)
  const columns = yield* Effect.forEach(sealedColumns, (column) =>
    throughAll(ring, column, (after) => statements.page(column, after))
  )
  return { ...total(columns), sealing: named, missing: needed.filter((id) => !ring.has(id)) }
})

/**
 * The first key of a database, by whatever effect makes one and keeps it. Fails without running that where the
 * database needs a key already. Of two that begin at once one makes it.
 */
export const firstKey = Effect.fn("Encryption.firstKey")(function* <E, R>(
  make: Effect.Effect<Redacted.Redacted<Uint8Array>, E, R>
): Effect.fn.Return<
  Redacted.Redacted<Uint8Array>,
  E | EncryptionKeyUnavailable | SqlError.SqlError | Schema.SchemaError,
  R | SqlClient.SqlClient
> {
  const sql = yield* SqlClient.SqlClient
  const statements = yield* EncryptionSql.make
  return yield* Effect.gen(function* () {
    yield* statements.lock
    const { needed } = yield* neededKeys(statements)
    if (needed.length > 0) return yield* new EncryptionKeyUnavailable({ needed, held: [] })
    const made = yield* make
    yield* name(statements, Sealed.key(made).id)
    return made
  }).pipe(sql.withTransaction)
})

export class Encryption extends Context.Service<
  Encryption,
  {
    /** Bound to its place, such as `admins.totp_secret:<id>`: moved elsewhere it does not open. */
    seal(place: string, secret: Uint8Array): Effect.Effect<Uint8Array>
    /** Dies where it does not open: the key is not ours, or somebody changed it. */
    open(place: string, sealed: Uint8Array): Effect.Effect<Uint8Array>
    /** Which key seals, and how many secrets are under which. */
    readonly status: Effect.Effect<EncryptionStatus>
    /**
     * Makes the key of now the one that seals, and seals everything anew that is not under it; tells how many there
     * were, and which could not be opened. Done in batches while brokers serve; may be repeated.
     */
    rewrap(
      onProgress?: (column: string, done: number) => Effect.Effect<void>
    ): Effect.Effect<Survey, EncryptionKeyNotEverywhere, Actor>
  }
>()("@broker/core/crypto/Encryption") {
  static readonly layerNoDeps = Layer.effect(
    Encryption,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* EncryptionSql.make
      const secrets = yield* Secrets
      const audit = yield* Audit
      const ring = ringOf(yield* EncryptionKeys)
      const held = Array.from(ring.keys())
      const [configured] = held
      if (configured === undefined) return yield* new EncryptionKeyUnavailable({ needed: [], held })

      // J6: nothing begins on secrets that cannot be read, and only a database without any takes whatever key comes.
      yield* Effect.gen(function* () {
        yield* statements.lock
        const { named, needed } = yield* neededKeys(statements)
        const missing = needed.filter((id) => !ring.has(id))
        if (missing.length > 0) return yield* new EncryptionKeyUnavailable({ needed: missing, held })
        if (Option.isNone(named)) return yield* name(statements, configured)
        if (named.value !== configured) {
          yield* Effect.logWarning("Secrets are still sealed under the former key: run `broker encryption rewrap`", {
            sealing: named.value,
            configured
          })
        }
      }).pipe(sql.withTransaction, SqlFailure.retryIdempotent("10 seconds"), Effect.catchTag("SchemaError", Effect.die))

      /** The key that the database names, which stays the one for as long as the transaction. */
      const sealing = Effect.gen(function* () {
        const named = Option.map(yield* statements.current(undefined), ({ id }) => id)
        const key = Option.flatMap(named, (id) => Option.fromUndefinedOr(ring.get(id)))
        if (Option.isSome(key)) return key.value
        // Since this broker began, all was sealed anew under a key that it was not given.
        return yield* new EncryptionKeyUnavailable({ needed: Option.toArray(named), held })
      })

      const seal = Effect.fn("Encryption.seal")(function* (where: string, secret: Uint8Array) {
        return Sealed.seal(yield* sealing, where, yield* secrets.bytes(Sealed.nonceSize), secret)
      }, Effect.orDie)

      const open = (where: string, sealed: Uint8Array) =>
        Option.match(openBy(ring, where, sealed), {
          onNone: () =>
            Effect.die(new Error(`${where} does not open: it was changed, or sealed under a key that is not here`)),
          onSome: Effect.succeed
        })

      const status = Effect.gen(function* () {
        const { id } = yield* sealing
        return { sealing: id, configured, former: held.slice(1), counts: yield* countAll(statements) }
      }).pipe(Effect.orDie, Effect.withSpan("Encryption.status"))

      const recorded = (details: AuditEntry["details"]) =>
        audit.record({
          organizationId: null,
          action: "encryption-key:rewrap",
          subjectKind: "encryption-key",
          subjectId: null,
          details: { key: configured, ...details }
        })

      /** Makes the key of now the one that seals, once every broker that runs can open what it seals. */
      const turnOver = Effect.gen(function* () {
        yield* statements.lock
        const since = DateTime.subtractDuration(yield* DateTime.now, aliveFor)
        const nodes = (yield* statements.nodesWithout({ keyId: configured, since })).map(({ name }) => name)
        if (nodes.length > 0) return yield* new EncryptionKeyNotEverywhere({ keyId: configured, nodes })
        if (Option.exists(yield* statements.current(undefined), ({ id }) => id === configured)) return
        yield* name(statements, configured)
        yield* recorded({})
      }).pipe(
        sql.withTransaction,
        Effect.catchTag(["SqlError", "SchemaError"], (error) => Effect.die(error))
      )

      /** Rows are held before the key is: whoever enrols a secret goes in this order too. */
      const rewrapPage = (column: SealedColumn) => (after: string) =>
        Effect.gen(function* () {
          const rows = yield* statements.holdOthers(column, after, configured)
          let sealedAnew = 0
          for (const { id, sealed } of rows) {
            const where = place(column, id)
            const secret = openBy(ring, where, sealed)
            if (Option.isNone(secret)) continue
            yield* statements.replace(column, { id, sealed: yield* seal(where, secret.value) })
            sealedAnew += 1
          }
          if (sealedAnew > 0) yield* recorded({ column: nameOf(column), secrets: sealedAnew })
          return rows
        }).pipe(sql.withTransaction, Effect.orDie)

      const rewrap = Effect.fn("Encryption.rewrap")(function* (
        onProgress: (column: string, done: number) => Effect.Effect<void> = () => Effect.void
      ) {
        yield* turnOver
        const columns = yield* Effect.forEach(sealedColumns, (column) =>
          throughAll(ring, column, rewrapPage(column), (done) => onProgress(nameOf(column), done))
        )
        return total(columns)
      })

      return Encryption.of({ seal, open, status, rewrap })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
