/** Every statement that touches `admin_links`, and those by which a link makes an admin or sets a password. */
import { AdminId, AdminName } from "@broker/domain/Admin"
import { AdminLinkId, AdminLinkKind } from "@broker/domain/AdminLink"
import { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole } from "@broker/domain/Permission"
import { CustomRoleId } from "@broker/domain/Role"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate
const Digest = Schema.Uint8Array

/** What a role comes to, as it is stored of members and of those who are invited. */
const RoleColumns = { role: BuiltInRole, customRoleId: Schema.NullOr(CustomRoleId) } as const

const Written = Schema.Struct({
  id: AdminLinkId,
  organizationId: OrganizationId,
  kind: AdminLinkKind,
  digest: Digest,
  name: AdminName,
  nameKey: Schema.String,
  adminId: Schema.NullOr(AdminId),
  role: Schema.NullOr(BuiltInRole),
  customRoleId: Schema.NullOr(CustomRoleId),
  createdBy: Schema.String,
  createdById: Schema.NullOr(AdminId),
  createdAt: Now,
  expiresAt: Now
})

const Link = Schema.Struct({
  id: AdminLinkId,
  organizationId: OrganizationId,
  organizationName: Schema.String,
  kind: AdminLinkKind,
  name: AdminName,
  /** Whom a reset is for. */
  adminId: Schema.NullOr(AdminId),
  /** What an invited person gets, or what the person has whose password is reset. */
  ...RoleColumns,
  roleName: Schema.NullOr(Schema.String),
  ownPermissions: Schema.NullOr(Schema.Array(Schema.String)),
  createdBy: Schema.String,
  createdById: Schema.NullOr(AdminId),
  createdAt: Now,
  expiresAt: Now
})
export type Link = typeof Link.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const columns = sql`
    l.id, l.organization_id, o.name as organization_name, l.kind, l.name, l.admin_id,
    coalesce(l.role, m.role) as role, r.id as custom_role_id, r.name as role_name, r.permissions as own_permissions,
    l.created_by, l.created_by_id, l.created_at, l.expires_at`

  /** Somebody who is disabled gets no way back in. */
  const links = sql`
         admin_links l
    join organizations o on o.id = l.organization_id
    left join memberships m on m.admin_id = l.admin_id and m.organization_id = l.organization_id and m.disabled_at is null
    left join roles r on r.id = coalesce(l.custom_role_id, m.custom_role_id)`

  const open = (now: Date) => sql`
    l.used_at is null and l.withdrawn_at is null and l.expires_at > ${now} and (l.admin_id is null or m.admin_id is not null)`

  const insert = SqlSchema.void({
    Request: Written,
    execute: (link) => sql`insert into admin_links ${sql.insert(link)}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Now }),
    Result: Link,
    execute: ({ now, organizationId }) => sql`
        select ${columns}
          from ${links}
         where l.organization_id = ${organizationId}
           and l.kind = 'invitation'
           and ${open(now)}
      order by l.id desc`
  })

  const find = SqlSchema.findOneOption({
    Request: Schema.Struct({ digest: Digest, now: Now }),
    Result: Link,
    execute: ({ digest, now }) => sql`select ${columns} from ${links} where l.digest = ${digest} and ${open(now)}`
  })

  /** One name may be invited by several organizations, or once more: the newest counts. */
  const findInvitation = SqlSchema.findOneOption({
    Request: Schema.Struct({ nameKey: Schema.String, now: Now }),
    Result: Link,
    execute: ({ nameKey, now }) => sql`
        select ${columns}
          from ${links}
         where l.name_key = ${nameKey}
           and l.kind = 'invitation'
           and ${open(now)}
      order by l.id desc
         limit 1`
  })

  const invitationsOf = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, nameKey: Schema.String, now: Now }),
    Result: Link,
    execute: ({ nameKey, now, organizationId }) => sql`
      select ${columns}
        from ${links}
       where l.organization_id = ${organizationId}
         and l.name_key = ${nameKey}
         and l.kind = 'invitation'
         and ${open(now)}`
  })

  const invitation = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: AdminLinkId, now: Now }),
    Result: Link,
    execute: ({ id, now, organizationId }) => sql`
      select ${columns}
        from ${links}
       where l.organization_id = ${organizationId}
         and l.id = ${id}
         and l.kind = 'invitation'
         and ${open(now)}`
  })

  /** Of two who use a link at once, one finds it used. */
  const use = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: AdminLinkId, now: Now }),
    Result: Schema.Struct({ id: AdminLinkId }),
    execute: ({ id, now }) => sql`
         update admin_links
            set used_at = ${now}
          where id = ${id}
            and used_at is null
            and withdrawn_at is null
            and expires_at > ${now}
      returning id`
  })

  const withdraw = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: AdminLinkId, now: Now }),
    Result: Schema.Struct({ id: AdminLinkId }),
    execute: ({ id, now }) => sql`
         update admin_links
            set withdrawn_at = ${now}
          where id = ${id}
            and used_at is null
            and withdrawn_at is null
      returning id`
  })

  const withdrawResets = SqlSchema.void({
    Request: Schema.Struct({ adminId: AdminId, now: Now }),
    execute: ({ adminId, now }) => sql`
      update admin_links
         set withdrawn_at = ${now}
       where admin_id = ${adminId}
         and kind = 'reset'
         and used_at is null
         and withdrawn_at is null`
  })

  const isTaken = SqlSchema.findOne({
    Request: Schema.String,
    Result: Schema.Struct({ taken: Schema.Boolean }),
    execute: (nameKey) => sql`select exists (select from admins where name_key = ${nameKey}) as taken`
  })

  /** A member of an organization, disabled ones too. */
  const member = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: AdminId }),
    Result: Schema.Struct({
      name: AdminName,
      nameKey: Schema.String,
      role: BuiltInRole,
      ownPermissions: Schema.NullOr(Schema.Array(Schema.String))
    }),
    execute: ({ id, organizationId }) => sql`
      select a.name, a.name_key, m.role, r.permissions as own_permissions
        from memberships m
        join admins a on a.id = m.admin_id
        left join roles r on r.id = m.custom_role_id
       where m.organization_id = ${organizationId}
         and m.admin_id = ${id}`
  })

  const insertAdmin = SqlSchema.void({
    Request: Schema.Struct({
      id: AdminId,
      name: AdminName,
      nameKey: Schema.String,
      /** Null for whoever signs in through the identity provider. */
      passwordHash: Schema.NullOr(Schema.String),
      organizationId: OrganizationId,
      ...RoleColumns,
      now: Now
    }),
    execute: ({ customRoleId, id, name, nameKey, now, organizationId, passwordHash, role }) => sql`
      with admin as (
        insert into admins (id, name, name_key, password_hash, created_at)
        values (${id}, ${name}, ${nameKey}, ${passwordHash}, ${now})
        returning id
      )
      insert into memberships (admin_id, organization_id, role, custom_role_id, created_at)
      select id, ${organizationId}, ${role}, ${customRoleId}::uuid, ${now} from admin`
  })

  const setPassword = SqlSchema.void({
    Request: Schema.Struct({ id: AdminId, passwordHash: Schema.String, now: Now }),
    execute: ({ id, now, passwordHash }) => sql`
      update admins set password_hash = ${passwordHash}, password_changed_at = ${now} where id = ${id}`
  })

  const prune = SqlSchema.findAll({
    Request: Now,
    Result: Schema.Struct({ id: AdminLinkId, organizationId: OrganizationId }),
    execute: (now) => sql`delete from admin_links where expires_at <= ${now} returning id, organization_id`
  })

  return {
    insert,
    list,
    find,
    findInvitation,
    invitationsOf,
    invitation,
    use,
    withdraw,
    withdrawResets,
    isTaken,
    member,
    insertAdmin,
    setPassword,
    prune
  }
})
