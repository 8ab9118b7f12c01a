/** Every statement that touches `groups`. Nothing here decides; it only reads and writes. */
import { Group, GroupInTree, GroupPreview, GroupRequest, pathKey } from "@broker/domain/Group"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const One = Schema.Struct({ organizationId: OrganizationId, id: GroupId })

/** What an admin may change, as columns. */
const { connectionLimit, heartbeatIntervalSeconds, name, nameKey, parentId, verificationPeriodSeconds } =
  Group.insert.fields
const Changes = Schema.Struct({
  parentId,
  name,
  nameKey,
  heartbeatIntervalSeconds,
  verificationPeriodSeconds,
  connectionLimit
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Whoever changes the tree takes turns, before anything else is locked. */
  const hold = SqlSchema.void({
    Request: OrganizationId,
    execute: (id) => sql`select 1 from organizations where id = ${id} for no key update`
  })

  /**
   * The group and all below it, which a change of it settles, in the one order of locks: whoever moves a server holds
   * groups of the same tree in that order.
   */
  const holdBelow = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) => sql`
      with recursive below as (
        select id from groups where organization_id = ${organizationId} and id = ${id}
         union
        select g.id from groups g join below b on g.parent_id = b.id where g.organization_id = ${organizationId}
      )
        select 1
          from groups
         where id in (select id from below)
      order by id
           for no key update`
  })

  /** Nobody is put into the group any more until the transaction ends: references to it wait. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ id, organizationId }) =>
      sql`select id from groups where organization_id = ${organizationId} and id = ${id} for update`
  })

  const get = SqlSchema.findOne({
    Request: One,
    Result: Group,
    execute: ({ id, organizationId }) =>
      sql`select * from groups where organization_id = ${organizationId} and id = ${id}`
  })

  const findByPath = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, pathKey: Schema.String }),
    Result: Group,
    execute: ({ organizationId, pathKey }) =>
      sql`select * from groups where organization_id = ${organizationId} and path_key = ${pathKey}`
  })

  /** A group, by id or path, and all below it; none where there is no such group. */
  const below = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: Schema.String, group: Schema.String }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ group, organizationId }) => sql`
        select g.id
          from groups top
          join groups g
            on g.organization_id = top.organization_id
           and (g.id = top.id or g.path_key ^@ (top.path_key || '/'))
         where top.organization_id = ${organizationId}
           and (top.path_key = ${pathKey(group)} or top.id::text = ${group})
      order by g.id`
  })

  /** In the order of their paths: what is in a group follows it. */
  const tree = SqlSchema.findAll({
    Request: OrganizationId,
    Result: GroupInTree,
    execute: (organizationId) => sql`
      with recursive own as materialized (
          select f.group_id as id, count(*) as servers, count(*) filter (where f.available) as available
            from fleet_servers f
           where f.organization_id = ${organizationId}
             and f.admission <> 'retired'
             and f.group_id is not null
        group by f.group_id
      ), above as (
        select id, id as ancestor, parent_id as next
          from groups
         where organization_id = ${organizationId}
         union all
        select a.id, g.id, g.parent_id
          from above a
          join groups g on g.id = a.next
      ), total as (
          select a.ancestor as id, sum(own.servers) as servers, sum(own.available) as available
            from own
            join above a on a.id = own.id
        group by a.ancestor
      )
         select g.*,
                coalesce(own.servers, 0)::int as servers,
                coalesce(total.servers, 0)::int as servers_below,
                coalesce(total.available, 0)::int as available_below
           from groups g
      left join own on own.id = g.id
      left join total on total.id = g.id
          where g.organization_id = ${organizationId}
       order by string_to_array(g.path_key, '/')`
  })

  const insert = SqlSchema.void({
    Request: Group.insert,
    execute: (group) => sql`insert into groups ${sql.insert(group)}`
  })

  const update = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, changes: Changes }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ changes, id, organizationId }) => sql`
         update groups
            set ${sql.update(changes)}
          where organization_id = ${organizationId}
            and id = ${id}
      returning id`
  })

  /** What its servers would be told anew, were it as requested. */
  const preview = SqlSchema.findOne({
    Request: Schema.Struct({
      ...One.fields,
      request: GroupRequest,
      /** Where nobody says anything. */
      intervalSeconds: Schema.Finite,
      periodSeconds: Schema.Finite
    }),
    Result: GroupPreview,
    execute: ({ id, intervalSeconds, organizationId, periodSeconds, request }) => sql`
      with recursive below as (
           select g.id,
                  coalesce(${request.heartbeatIntervalSeconds}::float8, p.effective_heartbeat_interval_seconds) as interval,
                  coalesce(${request.verificationPeriodSeconds}::float8, p.effective_verification_period_seconds) as period,
                  coalesce(${request.connectionLimit}::int, p.effective_connection_limit) as "limit"
             from groups g
        left join groups p on p.organization_id = g.organization_id and p.id = ${request.parentId}::uuid
            where g.organization_id = ${organizationId}
              and g.id = ${id}
        union all
           select g.id,
                  coalesce(g.heartbeat_interval_seconds, b.interval),
                  coalesce(g.verification_period_seconds, b.period),
                  coalesce(g.connection_limit, b."limit")
             from groups g
             join below b on g.parent_id = b.id
      )
      select count(*)::int as servers,
             (count(*) filter (
                where coalesce(b.interval, ${intervalSeconds}) <> coalesce(g.effective_heartbeat_interval_seconds, ${intervalSeconds})
              ))::int as intervals,
             (count(*) filter (
                where coalesce(b.period, ${periodSeconds})
                      <> coalesce(g.effective_verification_period_seconds, ${periodSeconds})))::int as periods,
             (count(*) filter (
                where s.connection_limit is null
                  and coalesce(b."limit", 1000) <> coalesce(g.effective_connection_limit, 1000)))::int as limits
        from below b
        join groups g on g.id = b.id
        join servers s on s.group_id = b.id
       where s.admission <> 'retired'`
  })

  /** What would be left without a group: servers that are not retired, groups, and keys that still let servers in. */
  const blockers = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({
      servers: Schema.Int,
      groups: Schema.Int,
      registrationKeys: Schema.Int,
      maintenanceWindows: Schema.Int
    }),
    execute: ({ id, now, organizationId }) => sql`
      select (select count(*)::int from servers where group_id = ${id} and admission <> 'retired') as servers,
             (select count(*)::int from groups where organization_id = ${organizationId} and parent_id = ${id}) as groups,
             (select count(*)::int
                from registration_keys
               where organization_id = ${organizationId}
                 and group_id = ${id}
                 and revoked_at is null
                 and expires_at > ${now}
                 and uses < use_limit) as registration_keys,
             (select count(*)::int
                from maintenance_windows
               where group_id = ${id}
                 and ends_at > ${now}) as maintenance_windows`
  })

  /** Retired servers, and keys of the past, let go of the group. */
  const release = Effect.fnUntraced(function* ({ id, organizationId }: typeof One.Type) {
    yield* sql`
      update registration_keys set group_id = null where organization_id = ${organizationId} and group_id = ${id}`
    yield* sql`update servers set group_id = null where organization_id = ${organizationId} and group_id = ${id}`
  })

  const remove = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) =>
      sql`delete from groups where organization_id = ${organizationId} and id = ${id}`
  })

  const heartbeatInterval = SqlSchema.findOneOption({
    Request: GroupId,
    Result: Schema.Struct({ effectiveHeartbeatIntervalSeconds: Schema.NullOr(Schema.Finite) }),
    execute: (id) => sql`select effective_heartbeat_interval_seconds from groups where id = ${id}`
  })

  return {
    hold,
    holdBelow,
    lock,
    get,
    findByPath,
    below,
    tree,
    insert,
    update,
    preview,
    blockers,
    release,
    remove,
    heartbeatInterval
  }
})
