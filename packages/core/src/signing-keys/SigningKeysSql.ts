/** Every statement that touches `signing_keys`. Nothing here decides; it only reads and writes. */
import { PublicKeyFromBytes } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

/** One row. Both keys are raw: 32 bytes each. */
const SigningKey = Schema.Struct({
  id: Schema.String,
  privateKey: Schema.Uint8Array,
  publicKey: PublicKeyFromBytes,
  createdAt: Schema.DateTimeUtcFromDate,
  signsFrom: Schema.DateTimeUtcFromDate,
  signsUntil: Schema.DateTimeUtcFromDate,
  shownUntil: Schema.DateTimeUtcFromDate
})
export type SigningKey = typeof SigningKey.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Held until the transaction ends by whoever makes a key, so that of two nodes one does. */
  const lock = sql`select pg_advisory_xact_lock(hashtextextended('signing_keys', 0))`

  /** Those that somebody may still meet, in the order in which they sign. */
  const shown = SqlSchema.findAll({
    Request: Schema.DateTimeUtcFromDate,
    Result: SigningKey,
    execute: (now) => sql`select * from signing_keys where shown_until > ${now} order by signs_from, id`
  })

  const insert = SqlSchema.void({
    Request: SigningKey,
    execute: (key) => sql`insert into signing_keys ${sql.insert(key)}`
  })

  const forget = SqlSchema.findAll({
    Request: Schema.DateTimeUtcFromDate,
    Result: Schema.Struct({ id: Schema.String }),
    execute: (now) => sql`delete from signing_keys where shown_until <= ${now} returning id`
  })

  return { lock, shown, insert, forget }
})
