/** Every statement that touches `admins`, their memberships and the links of the first run. */
import { Admin, AdminId, AdminName } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole } from "@broker/domain/Permission"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const insert = SqlSchema.findOne({
    Request: Schema.Struct({
      id: AdminId,
      name: AdminName,
      nameKey: Schema.String,
      passwordHash: Schema.String,
      organizationId: OrganizationId,
      role: BuiltInRole,
      now: Schema.DateTimeUtcFromDate
    }),
    Result: Admin,
    execute: ({ id, name, nameKey, now, organizationId, passwordHash, role }) => sql`
      with admin as (
        insert into admins (id, name, name_key, password_hash, created_at)
        values (${id}, ${name}, ${nameKey}, ${passwordHash}, ${now})
        returning *
      ), member as (
        insert into memberships (admin_id, organization_id, role, created_at)
        select id, ${organizationId}, ${role}, ${now} from admin
      )
      select * from admin`
  })

  /** A1: of two who finish the setup, one finds it unfinished. */
  const finishSetup = SqlSchema.findOneOption({
    Request: Schema.DateTimeUtcFromDate,
    Result: Schema.Struct({ done: Schema.Boolean }),
    execute: (now) => sql`
         update settings
            set setup_finished_at = ${now}
          where setup_finished_at is null
      returning true as done`
  })

  const isSetupOpen = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ open: Schema.Boolean }),
    execute: () => sql`select setup_finished_at is null as open from settings`
  })

  const insertSetupLink = SqlSchema.void({
    Request: Schema.Struct({ digest: Schema.Uint8Array, now: Schema.DateTimeUtcFromDate }),
    execute: ({ digest, now }) => sql`insert into setup_links (digest, created_at) values (${digest}, ${now})`
  })

  const findSetupLink = SqlSchema.findOneOption({
    Request: Schema.Uint8Array,
    Result: Schema.Struct({ found: Schema.Boolean }),
    execute: (digest) => sql`select true as found from setup_links where digest = ${digest}`
  })

  return {
    insert,
    finishSetup,
    isSetupOpen,
    insertSetupLink,
    findSetupLink
  }
})
