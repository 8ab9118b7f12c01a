/** Every statement that touches `admins`, their memberships and the links of the first run. */
import { Admin, AdminId, AdminName, ListedAdmin } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole } from "@broker/domain/Permission"
import { CustomRoleId } from "@broker/domain/Role"
import { usual } from "@broker/domain/SecurityPolicy"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate

const One = Schema.Struct({ organizationId: OrganizationId, id: AdminId })

const Listed = Schema.Struct({
  ...ListedAdmin.fields,
  createdAt: Now,
  lastSignInAt: Schema.NullOr(Now)
})

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

  const listed = (now: Date) => sql`
      select a.id, a.name, a.created_at, a.last_sign_in_at,
             coalesce(r.id::text, m.role) as role,
             coalesce(r.name, m.role) as role_name,
             case when m.disabled_at is null then 'active' else 'disabled' end as state,
             jsonb_build_object(
               'totp', a.totp_confirmed_at is not null,
               'passkeys', (select count(*) from passkeys k where k.admin_id = a.id),
               'recoveryCodes', (select count(*) from recovery_codes c where c.admin_id = a.id and c.used_at is null)
             ) as factors,
             exists (select from single_sign_on_identities i where i.admin_id = a.id) as single_sign_on,
             (select count(*)::int
                from admin_sessions s
               where s.admin_id = a.id
                 and s.expires_at > ${now}
                 and s.last_used_at > ${now}::timestamptz
                     - make_interval(secs => coalesce(p.session_idle_seconds, ${usual.sessionIdleSeconds}::int))
             ) as sessions
        from memberships m
        join admins a on a.id = m.admin_id
   left join roles r on r.id = m.custom_role_id
   left join security_policies p on p.organization_id = m.organization_id`

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Now }),
    Result: Listed,
    execute: ({ now, organizationId }) => sql`
      ${listed(now)} where m.organization_id = ${organizationId} order by a.name_key`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: Listed,
    execute: ({ id, now, organizationId }) => sql`
      ${listed(now)} where m.organization_id = ${organizationId} and m.admin_id = ${id}`
  })

  const setRole = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, role: BuiltInRole, customRoleId: Schema.NullOr(CustomRoleId) }),
    execute: ({ customRoleId, id, organizationId, role }) => sql`
      update memberships
         set role = ${role},
             custom_role_id = ${customRoleId}::uuid
       where organization_id = ${organizationId}
         and admin_id = ${id}`
  })

  const setDisabled = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, since: Schema.NullOr(Now) }),
    execute: ({ id, organizationId, since }) => sql`
      update memberships
         set disabled_at = ${since}::timestamptz
       where organization_id = ${organizationId}
         and admin_id = ${id}`
  })

  return {
    insert,
    list,
    get,
    setRole,
    setDisabled,
    finishSetup,
    isSetupOpen,
    insertSetupLink,
    findSetupLink
  }
})
