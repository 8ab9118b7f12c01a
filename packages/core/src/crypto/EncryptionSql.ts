/** Every statement about encryption keys and what is sealed under them. Nothing here decides; it only reads and writes. */
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SealedColumn } from "./SealedColumns.ts"

const Row = Schema.Struct({ id: Schema.String, sealed: Schema.Uint8Array })
export type Row = typeof Row.Type

/** Rows of one transaction when all of a column is gone through. */
const batch = 100

/** The least id there can be: where going through a column begins. */
export const beforeAll = "00000000-0000-0000-0000-000000000000"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Held until the transaction ends by whoever names a key, so that of two nodes one does. */
  const lock = sql`select pg_advisory_xact_lock(hashtextextended('encryption_keys', 0))`

  /** The key that seals. It stays the one until the transaction ends. */
  const current = SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Schema.Struct({ id: Schema.String }),
    execute: () => sql`select id from encryption_keys where retired_at is null for share`
  })

  const retireOthers = SqlSchema.void({
    Request: Schema.Struct({ id: Schema.String, now: Schema.DateTimeUtcFromDate }),
    execute: ({ id, now }) =>
      sql`update encryption_keys set retired_at = ${now} where retired_at is null and id <> ${id}`
  })

  const name = SqlSchema.void({
    Request: Schema.Struct({ id: Schema.String, now: Schema.DateTimeUtcFromDate }),
    execute: ({ id, now }) => sql`
      insert into encryption_keys (id, created_at)
      values (${id}, ${now})
      on conflict (id) do update set retired_at = null`
  })

  /** Whoever lost the key empties what cannot be null, to give it up. */
  const isThere = ({ column }: SealedColumn) => sql`length(${sql(column)}) > 0`

  /** How many secrets of a column are under which key. */
  const counts = (column: SealedColumn) =>
    SqlSchema.findAll({
      Request: Schema.Void,
      Result: Schema.Struct({ key: Schema.String, secrets: Schema.Int }),
      execute: () => sql`
        select encode(substring(${sql(column.column)} from 2 for 8), 'hex') as key, count(*)::int as secrets
          from ${sql(column.table)}
         where ${isThere(column)}
      group by 1
      order by 1`
    })(undefined)

  /** The next secrets of a column by id. */
  const page = (column: SealedColumn, after: string) =>
    SqlSchema.findAll({
      Request: Schema.String,
      Result: Row,
      execute: (after) => sql`
        select id, ${sql(column.column)} as sealed
          from ${sql(column.table)}
         where ${isThere(column)}
           and id > ${after}
      order by id
         limit ${batch}`
    })(after)

  /** The next secrets of a column by id that are under another key than this. They stay as they are until the end. */
  const holdOthers = (column: SealedColumn, after: string, keyId: string) =>
    SqlSchema.findAll({
      Request: Schema.Struct({ after: Schema.String, keyId: Schema.String }),
      Result: Row,
      execute: ({ after, keyId }) => sql`
        select id, ${sql(column.column)} as sealed
          from ${sql(column.table)}
         where ${isThere(column)}
           and substring(${sql(column.column)} from 2 for 8) <> decode(${keyId}, 'hex')
           and id > ${after}
      order by id
         limit ${batch}
           for no key update`
    })({ after, keyId })

  const replace = (column: SealedColumn, row: Row) =>
    SqlSchema.void({
      Request: Row,
      execute: ({ id, sealed }) =>
        sql`update ${sql(column.table)} set ${sql(column.column)} = ${sealed} where id = ${id}`
    })(row)

  /** Nodes alive that know of encryption, and not of this key. */
  const nodesWithout = SqlSchema.findAll({
    Request: Schema.Struct({ keyId: Schema.String, since: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ keyId, since }) => sql`
      select name
        from nodes
       where last_seen_at > ${since}
         and encryption_keys <> '{}'
         and not ${keyId} = any (encryption_keys)
    order by name, id`
  })

  return { lock, current, retireOthers, name, counts, page, holdOthers, replace, nodesWithout }
})
