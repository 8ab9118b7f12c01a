/** Every statement that touches `server_notes`. Nothing here decides; it only reads and writes. */
import { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import { ServerNote, ServerNoteId } from "@broker/domain/ServerNote"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Position } from "../Cursor.ts"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      serverId: ServerId,
      after: Schema.NullOr(Position),
      limit: Schema.Int
    }),
    Result: ServerNote,
    execute: ({ after, limit, organizationId, serverId }) => sql`
        select n.*
          from server_notes n
          join servers s on s.id = n.server_id
         where ${sql.and([
           sql`s.organization_id = ${organizationId}`,
           sql`n.server_id = ${serverId}`,
           ...(after === null ? [] : [sql`n.id < ${after[1]}::uuid`])
         ])}
      order by n.id desc
         limit ${limit}`
  })

  const insert = SqlSchema.void({
    Request: ServerNote.insert,
    execute: (note) => sql`insert into server_notes ${sql.insert(note)}`
  })

  const remove = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: ServerNoteId }),
    Result: Schema.Struct({ serverId: ServerId, name: Schema.String }),
    execute: ({ id, organizationId }) => sql`
         delete from server_notes n
          using servers s
          where s.id = n.server_id
            and s.organization_id = ${organizationId}
            and n.id = ${id}
      returning n.server_id, s.name`
  })

  return { list, insert, remove }
})
