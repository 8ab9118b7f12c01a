/** How an admin's own password is read and replaced. Nothing here decides. */
import { AdminId } from "@broker/domain/Admin"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Hash = Schema.NullOr(Schema.String)

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const passwordOf = SqlSchema.findOne({
    Request: AdminId,
    Result: Schema.Struct({ hash: Hash }),
    execute: (id) => sql`select password_hash as hash from admins where id = ${id}`
  })

  /** No row comes back when it is not the one that was checked any more. */
  const changePassword = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: AdminId, current: Hash, next: Schema.String, now: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ id: AdminId }),
    execute: ({ current, id, next, now }) => sql`
         update admins
            set password_hash = ${next},
                password_changed_at = ${now}
          where id = ${id}
            and password_hash is not distinct from ${current}::text
      returning id`
  })

  return { passwordOf, changePassword }
})
