/** Every statement that touches `saved_views`. Nothing here decides; it only reads and writes. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { ListedView, SavedView, SavedViewId, ViewedPage } from "@broker/domain/SavedView"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Mine = Schema.Struct({ organizationId: OrganizationId, adminId: AdminId })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** One's own before those of others, by name. */
  const list = SqlSchema.findAll({
    Request: Schema.Struct({ ...Mine.fields, page: ViewedPage }),
    Result: ListedView,
    execute: ({ adminId, organizationId, page }) => sql`
        select v.*, a.name as owner, v.admin_id = ${adminId} as mine
          from saved_views v
          join admins a on a.id = v.admin_id
         where v.organization_id = ${organizationId}
           and v.page = ${page}
           and (v.admin_id = ${adminId} or v.shared)
      order by v.admin_id <> ${adminId}, v.name_key, v.id`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ ...Mine.fields, id: SavedViewId }),
    Result: ListedView,
    execute: ({ adminId, id, organizationId }) => sql`
      select v.*, a.name as owner, true as mine
        from saved_views v
        join admins a on a.id = v.admin_id
       where v.organization_id = ${organizationId}
         and v.admin_id = ${adminId}
         and v.id = ${id}`
  })

  /** In the place of the one of that name, where there is one. */
  const save = SqlSchema.findOne({
    Request: SavedView.insert,
    Result: Schema.Struct({ id: SavedViewId }),
    execute: (view) => sql`
      insert into saved_views ${sql.insert(view)}
      on conflict (organization_id, admin_id, page, name_key)
      do update set name = excluded.name, search = excluded.search, shared = excluded.shared
      returning id`
  })

  /** Whoever saves views takes turns with oneself, so that the bound on them holds. */
  const hold = SqlSchema.void({
    Request: AdminId,
    execute: (id) => sql`select 1 from admins where id = ${id} for no key update`
  })

  /** How many there are beside the one of a name. */
  const countOthers = SqlSchema.findOne({
    Request: Schema.Struct({ ...Mine.fields, page: ViewedPage, nameKey: Schema.String }),
    Result: Schema.Struct({ views: Schema.Int }),
    execute: ({ adminId, nameKey, organizationId, page }) => sql`
      select count(*)::int as views
        from saved_views
       where organization_id = ${organizationId}
         and admin_id = ${adminId}
         and (page, name_key) <> (${page}, ${nameKey})`
  })

  /** One's own, or any that is shared. */
  const remove = SqlSchema.findOne({
    Request: Schema.Struct({ ...Mine.fields, id: SavedViewId, alsoShared: Schema.Boolean }),
    Result: Schema.Struct({ name: Schema.String, page: ViewedPage, shared: Schema.Boolean }),
    execute: ({ adminId, alsoShared, id, organizationId }) => sql`
         delete from saved_views
          where organization_id = ${organizationId}
            and (admin_id = ${adminId} or (shared and ${alsoShared}))
            and id = ${id}
      returning name, page, shared`
  })

  return { list, get, hold, countOthers, save, remove }
})
