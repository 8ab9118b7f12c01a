/** Every statement of inventories. Nothing here decides; it only reads and writes. */
import { Group } from "@broker/domain/Group"
import { OrganizationId } from "@broker/domain/Organization"
import { Admission, FleetServer, GroupId, ServerId, Tags } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const { id, name, duty, version, endpoints, declaredTags, declaredLabels, publicAddress, publicKey, registeredAt } =
  FleetServer.fields

/** A server as a file has it, and what it takes to tell whether it may be changed. */
const StoredServer = Schema.Struct({
  id,
  name,
  nameKey: Schema.String,
  admission: Admission,
  groupId: FleetServer.fields.groupId,
  group: FleetServer.fields.group,
  tags: Tags,
  labels: FleetServer.fields.assignedLabels,
  connectionLimit: FleetServer.fields.ownConnectionLimit,
  status: FleetServer.fields.status,
  duty,
  version,
  endpoints,
  declaredTags,
  declaredLabels,
  publicAddress,
  publicKey,
  registeredAt,
  lastSeenAt: FleetServer.fields.lastSeenAt
})
export type StoredServer = typeof StoredServer.Type

const { heartbeatIntervalSeconds, verificationPeriodSeconds, connectionLimit, parentId, path } = Group.fields

const StoredGroup = Schema.Struct({
  id: Group.fields.id,
  parentId,
  name: Group.fields.name,
  nameKey: Schema.String,
  path,
  pathKey: Schema.String,
  heartbeatIntervalSeconds,
  verificationPeriodSeconds,
  connectionLimit
})
export type StoredGroup = typeof StoredGroup.Type

/** A group as it is to be. */
const GroupRow = Schema.Struct({
  id: GroupId,
  parentId,
  name: Schema.String,
  nameKey: Schema.String,
  heartbeatIntervalSeconds,
  verificationPeriodSeconds,
  connectionLimit
})
export type GroupRow = typeof GroupRow.Type

/** What admins say of a server, as it is to be. */
const ServerRow = Schema.Struct({
  id: ServerId,
  groupId: Schema.NullOr(GroupId),
  tags: Tags,
  labels: Schema.Record(Schema.String, Schema.String),
  connectionLimit
})

const { OID } = PgTypes
const texts = (items: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...items], OID.text))
const uuids = (items: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...items], OID.uuid))

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const server = sql.literal(`
    id, name, name_key, admission, group_id, "group", assigned_tags as tags, assigned_labels as labels,
    own_connection_limit as connection_limit, status, duty, version, endpoints, declared_tags, declared_labels,
    public_address, public_key, registered_at, last_seen_at`)

  const groups = SqlSchema.findAll({
    Request: OrganizationId,
    Result: StoredGroup,
    execute: (organizationId) => sql`
        select id, parent_id, name, name_key, path, path_key, heartbeat_interval_seconds, verification_period_seconds,
               connection_limit
          from groups
         where organization_id = ${organizationId}
      order by string_to_array(path_key, '/')`
  })

  /** Those that are not retired, by their names. */
  const page = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      after: Schema.Struct({ nameKey: Schema.String, id: Schema.String }),
      limit: Schema.Int
    }),
    Result: StoredServer,
    execute: ({ after, limit, organizationId }) => sql`
        select ${server}
          from fleet_servers
         where organization_id = ${organizationId}
           and admission <> 'retired'
           and (name_key, id) > (${after.nameKey}, ${after.id}::uuid)
      order by name_key, id
         limit ${limit}`
  })

  /** Also retired ones, to tell that they are. */
  const byIds = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(Schema.String) }),
    Result: StoredServer,
    execute: ({ ids, organizationId }) => sql`
      select ${server} from fleet_servers where organization_id = ${organizationId} and id = any (${uuids(ids)})`
  })

  const byNames = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, nameKeys: Schema.Array(Schema.String) }),
    Result: StoredServer,
    execute: ({ nameKeys, organizationId }) => sql`
      select ${server}
        from fleet_servers
       where organization_id = ${organizationId}
         and admission <> 'retired'
         and name_key = any (${texts(nameKeys)})`
  })

  /** Groups that change, and all below them, in the one order of locks. */
  const holdGroups = SqlSchema.void({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(GroupId) }),
    execute: ({ ids, organizationId }) => sql`
      with recursive below as (
        select id from groups where organization_id = ${organizationId} and id = any (${uuids(ids)})
         union
        select g.id from groups g join below b on g.parent_id = b.id where g.organization_id = ${organizationId}
      )
        select 1 from groups where id in (select id from below) order by id for no key update`
  })

  /** Groups that servers leave and come into stay as they are until the transaction ends. */
  const shareGroups = SqlSchema.void({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(GroupId) }),
    execute: ({ ids, organizationId }) => sql`
        select 1
          from groups
         where organization_id = ${organizationId}
           and id = any (${uuids(ids)})
      order by id
           for share`
  })

  const holdServers = SqlSchema.void({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(ServerId) }),
    execute: ({ ids, organizationId }) => sql`
        select 1
          from servers
         where organization_id = ${organizationId}
           and id = any (${uuids(ids)})
      order by id
           for no key update`
  })

  const insertGroups = SqlSchema.void({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      groups: Schema.fromJsonString(Schema.Array(GroupRow)),
      now: Schema.DateTimeUtcFromDate
    }),
    execute: ({ groups, now, organizationId }) => sql`
      insert into groups (id, organization_id, parent_id, name, name_key, heartbeat_interval_seconds,
                          verification_period_seconds, connection_limit, created_at)
      select id, ${organizationId}::uuid, "parentId", name, "nameKey", "heartbeatIntervalSeconds",
             "verificationPeriodSeconds", "connectionLimit", ${now}::timestamptz
        from jsonb_to_recordset(${groups}::text::jsonb) as g (
               id uuid, "parentId" uuid, name text, "nameKey" text, "heartbeatIntervalSeconds" float8,
               "verificationPeriodSeconds" float8, "connectionLimit" int)`
  })

  const updateGroups = SqlSchema.void({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      groups: Schema.fromJsonString(Schema.Array(GroupRow))
    }),
    execute: ({ groups, organizationId }) => sql`
      update groups as g
         set parent_id = n."parentId",
             name = n.name,
             name_key = n."nameKey",
             heartbeat_interval_seconds = n."heartbeatIntervalSeconds",
             verification_period_seconds = n."verificationPeriodSeconds",
             connection_limit = n."connectionLimit"
        from jsonb_to_recordset(${groups}::text::jsonb) as n (
               id uuid, "parentId" uuid, name text, "nameKey" text, "heartbeatIntervalSeconds" float8,
               "verificationPeriodSeconds" float8, "connectionLimit" int)
       where g.organization_id = ${organizationId}
         and g.id = n.id`
  })

  const updateServers = SqlSchema.void({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      servers: Schema.fromJsonString(Schema.Array(ServerRow))
    }),
    execute: ({ organizationId, servers }) => sql`
      update servers as s
         set group_id = n."groupId",
             assigned_tags = n.tags,
             assigned_labels = n.labels,
             connection_limit = n."connectionLimit"
        from jsonb_to_recordset(${servers}::text::jsonb) as n (
               id uuid, "groupId" uuid, tags text[], labels jsonb, "connectionLimit" int)
       where s.organization_id = ${organizationId}
         and s.id = n.id`
  })

  /** Audit entries of the own transaction, so many at most; tells how many there were. */
  const seal = SqlSchema.findOne({
    Request: Schema.Int,
    Result: Schema.Struct({ sealed: Schema.Int }),
    execute: (atMost) => sql`select seal_audit_entries(${atMost}::int) as sealed`
  })

  /** The triggers that wait for the commit look whether anything is left to be done. */
  const settleChanges = sql`set constraints audit_pending_settled immediate`
  const settleEntries = sql`set constraints audit_entries_sealed immediate`

  return {
    seal,
    settleChanges,
    settleEntries,
    groups,
    page,
    byIds,
    byNames,
    holdGroups,
    shareGroups,
    holdServers,
    insertGroups,
    updateGroups,
    updateServers
  }
})
