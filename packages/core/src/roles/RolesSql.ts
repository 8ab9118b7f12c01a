/** Every statement that touches `roles`. Nothing here decides; it only reads and writes. */
import { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole } from "@broker/domain/Permission"
import { CustomRole, CustomRoleId } from "@broker/domain/Role"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const One = Schema.Struct({ organizationId: OrganizationId, id: CustomRoleId })

/** As it is stored: a later release may have added permissions that are unknown here (J4). */
const Row = Schema.Struct({
  id: CustomRoleId,
  name: Schema.String,
  description: Schema.String,
  permissions: Schema.Array(Schema.String),
  admins: Schema.Int
})
export type Row = typeof Row.Type

/** What an admin may change, as columns. */
const { description, name, nameKey, updatedAt } = CustomRole.insert.fields
const Changes = Schema.Struct({ name, nameKey, description, permissions: Schema.Array(Schema.String), updatedAt })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const columns = sql`
    r.id, r.name, r.description, r.permissions,
    (select count(*)::int from memberships m where m.custom_role_id = r.id) as admins`

  const list = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Row,
    execute: (organizationId) =>
      sql`select ${columns} from roles r where r.organization_id = ${organizationId} order by r.name_key`
  })

  /** How many admins have each role that comes with the broker. */
  const countBuiltIn = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Schema.Struct({ role: BuiltInRole, admins: Schema.Int }),
    execute: (organizationId) => sql`
        select role, count(*)::int as admins
          from memberships
         where organization_id = ${organizationId}
           and custom_role_id is null
      group by role`
  })

  const get = SqlSchema.findOne({
    Request: One,
    Result: Row,
    execute: ({ id, organizationId }) =>
      sql`select ${columns} from roles r where r.organization_id = ${organizationId} and r.id = ${id}`
  })

  /** Nobody is given the role any more until the transaction ends: references to it wait. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ id: CustomRoleId }),
    execute: ({ id, organizationId }) =>
      sql`select id from roles where organization_id = ${organizationId} and id = ${id} for update`
  })

  const insert = SqlSchema.void({
    Request: CustomRole.insert,
    execute: (role) => sql`insert into roles ${sql.insert(role)}`
  })

  const update = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, changes: Changes }),
    execute: ({ changes, id, organizationId }) =>
      sql`update roles set ${sql.update(changes)} where organization_id = ${organizationId} and id = ${id}`
  })

  /** Whoever has the role, disabled ones too, by name. */
  const holders = SqlSchema.findAll({
    Request: One,
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, organizationId }) => sql`
        select a.name
          from memberships m
          join admins a on a.id = m.admin_id
         where m.organization_id = ${organizationId}
           and m.custom_role_id = ${id}
      order by a.name_key`
  })

  /** Whoever is invited to it, by name. */
  const invited = SqlSchema.findAll({
    Request: Schema.Struct({ ...One.fields, now: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, now, organizationId }) => sql`
        select name
          from admin_links
         where organization_id = ${organizationId}
           and custom_role_id = ${id}
           and used_at is null
           and withdrawn_at is null
           and expires_at > ${now}
      order by name_key`
  })

  /** Links of the past let go of the role. */
  const release = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) => sql`
      update admin_links set custom_role_id = null where organization_id = ${organizationId} and custom_role_id = ${id}`
  })

  const remove = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) => sql`delete from roles where organization_id = ${organizationId} and id = ${id}`
  })

  return { list, countBuiltIn, get, lock, insert, update, holders, invited, release, remove }
})
