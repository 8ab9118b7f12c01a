/** Every statement that touches `admins`, their memberships, sessions and the links of the first run. */
import { Admin, AdminId, AdminName, Role, SignedIn } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
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
      role: Role,
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

  const findByName = SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Schema.Struct({ ...SignedIn.fields, passwordHash: Schema.String }),
    execute: (nameKey) => sql`
        select a.id, a.name, a.password_hash, m.organization_id, m.role
          from admins a
          join memberships m on m.admin_id = a.id
         where a.name_key = ${nameKey}
      order by m.created_at
         limit 1`
  })

  const insertSession = SqlSchema.void({
    Request: Schema.Struct({
      digest: Schema.Uint8Array,
      adminId: AdminId,
      now: Schema.DateTimeUtcFromDate,
      expiresAt: Schema.DateTimeUtcFromDate,
      address: Schema.NullOr(Schema.String),
      userAgent: Schema.NullOr(Schema.String)
    }),
    execute: ({ address, adminId, digest, expiresAt, now, userAgent }) => sql`
      with seen as (
        update admins set last_sign_in_at = ${now} where id = ${adminId}
      )
      insert into admin_sessions (digest, admin_id, created_at, last_used_at, expires_at, address, user_agent)
      values (${digest}, ${adminId}, ${now}, ${now}, ${expiresAt}, ${address}, ${userAgent})`
  })

  /** A session that is neither over nor idle for too long. */
  const findSession = SqlSchema.findOneOption({
    Request: Schema.Struct({
      digest: Schema.Uint8Array,
      now: Schema.DateTimeUtcFromDate,
      idleSince: Schema.DateTimeUtcFromDate
    }),
    Result: Schema.Struct({ ...SignedIn.fields, lastUsedAt: Schema.DateTimeUtcFromDate }),
    execute: ({ digest, idleSince, now }) => sql`
        select a.id, a.name, m.organization_id, m.role, s.last_used_at
          from admin_sessions s
          join admins a on a.id = s.admin_id
          join memberships m on m.admin_id = a.id
         where s.digest = ${digest}
           and s.expires_at > ${now}
           and s.last_used_at > ${idleSince}
      order by m.created_at
         limit 1`
  })

  const touchSession = SqlSchema.void({
    Request: Schema.Struct({ digest: Schema.Uint8Array, now: Schema.DateTimeUtcFromDate }),
    execute: ({ digest, now }) => sql`update admin_sessions set last_used_at = ${now} where digest = ${digest}`
  })

  const deleteSession = SqlSchema.void({
    Request: Schema.Uint8Array,
    execute: (digest) => sql`delete from admin_sessions where digest = ${digest}`
  })

  const pruneSessions = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, idleSince: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ idleSince, now }) => sql`
      delete from admin_sessions where expires_at <= ${now} or last_used_at <= ${idleSince} returning 1 as gone`
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
    findByName,
    insertSession,
    findSession,
    touchSession,
    deleteSession,
    pruneSessions,
    finishSetup,
    isSetupOpen,
    insertSetupLink,
    findSetupLink
  }
})
