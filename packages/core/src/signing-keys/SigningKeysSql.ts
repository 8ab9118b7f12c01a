/** Every statement that touches `signing_keys`. Nothing here decides; it only reads and writes. */
import { PublicKeyFromBytes } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

/**
 * One row. Both keys are raw: 32 bytes each. The private one is sealed; in plain text it stands for brokers of the
 * release before, which know no other.
 */
const SigningKey = Schema.Struct({
  id: Schema.String,
  privateKey: Schema.NullOr(Schema.Uint8Array),
  sealedKey: Schema.NullOr(Schema.Uint8Array),
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

  /** Whether a node that knows nothing of sealed keys gave a sign of life since then. */
  const isOlderNodeAlive = SqlSchema.findOne({
    Request: Schema.DateTimeUtcFromDate,
    Result: Schema.Struct({ alive: Schema.Boolean }),
    execute: (since) =>
      sql`select exists (select from nodes where encryption_keys = '{}' and last_seen_at > ${since}) as alive`
  })

  const plain = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ id: Schema.String, privateKey: Schema.Uint8Array }),
    execute: () =>
      sql`select id, private_key from signing_keys where private_key is not null order by id for no key update`
  })

  const seal = SqlSchema.void({
    Request: Schema.Struct({ id: Schema.String, sealedKey: Schema.Uint8Array }),
    execute: ({ id, sealedKey }) =>
      sql`update signing_keys set private_key = null, sealed_key = ${sealedKey} where id = ${id}`
  })

  return { lock, shown, insert, forget, isOlderNodeAlive, plain, seal }
})
