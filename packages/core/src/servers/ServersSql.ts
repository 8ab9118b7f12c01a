/** Every statement that touches `servers` and reads `fleet`. Nothing here decides; it only reads and writes. */
import { ServerChange, type ServerSort, ServersQuery } from "@broker/domain/Fleet"
import { OrganizationId } from "@broker/domain/Organization"
import { Timestamp, Uuid } from "@broker/domain/Primitives"
import { RegistrationKeyId } from "@broker/domain/RegistrationKey"
import {
  Admission,
  Duty,
  FleetServer,
  GroupId,
  PublicKeyFromBytes,
  Server,
  ServerAssignment,
  ServerConnectionLimit,
  ServerId,
  ServerStatus,
  Transition
} from "@broker/domain/Server"
import { ServerSearch } from "@broker/domain/ServerSearch"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Position } from "../Cursor.ts"
import * as ServerSearchSql from "./ServerSearchSql.ts"

const One = Schema.Struct({ organizationId: OrganizationId, id: ServerId })

/** What a server may change about itself, as columns. */
const { capabilities, duty, endpoints, labels, location, tags, version } = Server.insert.fields
const Changes = Schema.Struct({
  version: Schema.optionalKey(version),
  endpoints: Schema.optionalKey(endpoints),
  capabilities: Schema.optionalKey(capabilities),
  tags: Schema.optionalKey(tags),
  labels: Schema.optionalKey(labels),
  location: Schema.optionalKey(location),
  duty: Schema.optionalKey(duty)
})

/** What pages are sorted by, how its text in a cursor is written, and what it is read as. */
const sortKeys = {
  name: { column: "name_key", text: "name_key", type: "text" },
  lastSeen: {
    column: "coalesce(last_seen_at, '-infinity')",
    text: `coalesce(to_char(last_seen_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '-infinity')`,
    type: "timestamptz"
  },
  registered: { column: "id", text: "id::text", type: "uuid" },
  /** What is no version comes before all that are. */
  version: { column: "coalesce(version_key, '{}')", text: "coalesce(version_key, '{}')::text", type: "bigint[]" },
  load: { column: "load", text: "load::text", type: "double precision" }
} as const

/** What a list is sorted by, and whether it goes down. */
export const sortOf = (sort: ServerSort) => ({
  key: sort.replace("-", "") as keyof typeof sortKeys,
  descending: sort.startsWith("-")
})

/** What stands in a cursor for a row without a time. */
const never = "-infinity"

const keySchemas = {
  name: Schema.String,
  lastSeen: Schema.Union([Schema.Literal(never), Timestamp]),
  registered: Uuid,
  version: Schema.String.check(Schema.isPattern(/^\{(\d{1,10}(,\d{1,10}){4})?\}$/)),
  load: Schema.String.check(Schema.isPattern(/^\d{1,3}(\.\d{1,20})?(e-\d{1,3})?$/))
}

/** Whether a text is of the type that a list is sorted by: a cursor comes from outside. */
export const isSortKey = (key: keyof typeof sortKeys, text: string) => Schema.is(keySchemas[key])(text)

/** Which servers: the filters of a list, and its text as it was read. */
const Wanted = Schema.Struct({
  organizationId: OrganizationId,
  query: Schema.toType(ServersQuery),
  search: ServerSearch,
  now: Schema.DateTimeUtc
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const insert = SqlSchema.void({
    Request: Server.insert,
    execute: ({ registeredAt, ...server }) => sql`
      with joined as (
        insert into servers ${sql.insert({ ...server, registeredAt, admissionSince: registeredAt, dutySince: registeredAt })}
        returning id
      ), known as (
        insert into server_keys (public_key, server_id, state, created_at)
        select ${server.publicKey}, id, 'current', ${registeredAt} from joined
      )
      insert into server_presence (server_id, liveness_since) select id, ${registeredAt} from joined`
  })

  const get = SqlSchema.findOne({
    Request: One,
    Result: FleetServer,
    execute: ({ id, organizationId }) =>
      sql`select * from fleet_servers where organization_id = ${organizationId} and id = ${id}`
  })

  const findByName = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, nameKey: Schema.String }),
    Result: FleetServer,
    execute: ({ nameKey, organizationId }) => sql`
        select *
          from fleet_servers
         where organization_id = ${organizationId}
           and name_key = ${nameKey}
      order by admission = 'retired', id desc
         limit 1`
  })

  const findMany = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(ServerId) }),
    Result: FleetServer,
    execute: ({ ids, organizationId }) => sql`
      select * from fleet_servers where organization_id = ${organizationId} and ${sql.in("id", ids)} order by id`
  })

  /** The server that a public key identifies, or once did (B5, B10). */
  const findByPublicKey = SqlSchema.findOneOption({
    Request: PublicKeyFromBytes,
    Result: FleetServer,
    execute: (publicKey) => sql`
      select f.* from fleet_servers f join server_keys k on k.server_id = f.id where k.public_key = ${publicKey}`
  })

  /** Held until the transaction ends by whoever registers a public key. Only its holder gets here (B4). */
  const lockPublicKey = (publicKey: typeof PublicKeyFromBytes.Type) =>
    sql`select pg_advisory_xact_lock(hashtextextended(${publicKey}::text, 0))`

  const keyOf = SqlSchema.findOne({
    Request: PublicKeyFromBytes,
    Result: Schema.Struct({ createdAt: Schema.DateTimeUtcFromDate }),
    execute: (publicKey) => sql`select created_at from server_keys where public_key = ${publicKey}`
  })

  /**
   * Taken first by whatever moves a server together with its challenges, keys or tokens, so that none of them waits for
   * another in a ring. Heartbeats do not wait for it.
   */
  const lock = (id: typeof ServerId.Type) => sql`select 1 from servers where id = ${id} for no key update`

  const conditions = ServerSearchSql.make(sql)

  /** Who is on a page, and where they stand. Only they are looked at in full. */
  const list = SqlSchema.findAll({
    Request: Schema.Struct({ ...Wanted.fields, after: Schema.NullOr(Position) }),
    Result: Schema.Struct({ id: ServerId, sortKey: Schema.String }),
    execute: ({ after, ...wanted }) => {
      const { descending, key } = sortOf(wanted.query.sort)
      const [compare, order] = [sql.literal(descending ? "<" : ">"), sql.literal(descending ? "desc" : "asc")]
      const column = sql.literal(sortKeys[key].column)
      const type = sql.literal(sortKeys[key].type)
      return sql`
        select id, ${sql.literal(sortKeys[key].text)} as sort_key
          from fleet_servers
         where ${sql.and([
           ...conditions(wanted),
           ...(after === null ? [] : [sql`(${column}, id) ${compare} (${after[0]}::text::${type}, ${after[1]}::uuid)`])
         ])}
      order by ${column} ${order}, id ${order}
         limit ${wanted.query.limit + 1}`
    }
  })

  /** How many there are, up to a bound. */
  const count = SqlSchema.findOne({
    Request: Schema.Struct({ ...Wanted.fields, limit: Schema.Int }),
    Result: Schema.Struct({ servers: Schema.Int }),
    execute: ({ limit, ...wanted }) => sql`
      select count(*)::int as servers
        from (select from fleet_servers where ${sql.and(conditions(wanted))} limit ${limit}) as found`
  })

  const joinedWith = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, id: RegistrationKeyId, limit: Schema.Int }),
    Result: FleetServer,
    execute: ({ id, limit, organizationId }) => sql`
        select *
          from fleet_servers
         where organization_id = ${organizationId}
           and registration_key_id = ${id}
      order by id desc
         limit ${limit}`
  })

  /** Whether the move is one the axis has, is the database's to say (`servers_admission_moves`). */
  const setAdmission = SqlSchema.findOne({
    Request: Schema.Struct({
      ...One.fields,
      from: Schema.Array(Admission),
      to: Admission,
      reason: Schema.NullOr(Schema.String),
      now: Schema.DateTimeUtcFromDate
    }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ from, id, now, organizationId, reason, to }) => sql`
         update servers
            set admission = ${to},
                admission_reason = ${reason},
                admission_since = ${now}
          where organization_id = ${organizationId}
            and id = ${id}
            and ${sql.in("admission", from)}
      returning id`
  })

  const setDuty = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, duty: Duty, now: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ duty, id, now, organizationId }) => sql`
         update servers
            set duty_since = case when duty = ${duty} then duty_since else ${now} end,
                duty = ${duty}
          where organization_id = ${organizationId}
            and id = ${id}
            and admission <> 'retired'
      returning id`
  })

  const limitConnections = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, limit: Schema.NullOr(ServerConnectionLimit) }),
    execute: ({ id, limit, organizationId }) => sql`
      update servers set connection_limit = ${limit} where organization_id = ${organizationId} and id = ${id}`
  })

  /** Groups come before servers in the order of locks: the one that it is in, and the one that it is put into. */
  const lockGroups = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, groupId: Schema.NullOr(GroupId) }),
    execute: ({ groupId, id, organizationId }) => sql`
        select 1
          from groups
         where organization_id = ${organizationId}
           and id in (${groupId}::uuid, (select group_id from servers where id = ${id}))
      order by id
           for share`
  })

  /** What admins say of it; what is left out stays. */
  const assign = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, assignment: ServerAssignment }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ assignment: { groupId, labels, tags }, id, organizationId }) => sql`
         update servers
            set ${sql.update({
              ...(groupId === undefined ? {} : { groupId }),
              ...(tags === undefined ? {} : { assignedTags: tags }),
              ...(labels === undefined ? {} : { assignedLabels: JSON.stringify(labels) })
            })}
          where organization_id = ${organizationId}
            and id = ${id}
      returning id`
  })

  const changes = SqlSchema.findAll({
    Request: Schema.Struct({ ...One.fields, limit: Schema.Int }),
    Result: Schema.Struct({ ...ServerChange.fields, at: Schema.DateTimeUtcFromDate }),
    execute: ({ id, limit, organizationId }) => sql`
        select e.at, e.action, e.actor_kind, e.actor_name,
               coalesce(nullif(c.change -> 'before', 'null'), '{}') as before,
               coalesce(nullif(c.change -> 'after', 'null'), '{}') as after
          from audit_entries e
    cross join lateral (
                 select change
                   from jsonb_array_elements(e.changes) as change
                  where change ->> 'table' = 'servers' and change ->> 'id' = ${id}
               ) as c
         where e.organization_id = ${organizationId}
           and e.subject_id = ${id}
           and e.outcome = 'done'
      order by e.id desc
         limit ${limit}`
  })

  /** What a server says of itself anew; what is left out stays. */
  const describe = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Schema.DateTimeUtcFromDate, changes: Changes }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ changes, id, now, organizationId }) => sql`
         update servers
            set ${sql.update(changes)},
                duty_since = case when duty = coalesce(${changes.duty ?? null}::text, duty) then duty_since else ${now} end
          where organization_id = ${organizationId}
            and id = ${id}
      returning id`
  })

  /** B6: a new key pair for the same server, which has to prove it anew. */
  const replacePublicKey = SqlSchema.void({
    Request: Schema.Struct({ id: ServerId, publicKey: PublicKeyFromBytes, now: Schema.DateTimeUtcFromDate }),
    execute: ({ id, now, publicKey }) => sql`
      with former as (
        update server_keys set state = 'former' where server_id = ${id} and state <> 'former' returning server_id
      ), renewed as (
        update servers set public_key = ${publicKey}, verified_at = null where id = ${id}
      )
      insert into server_keys (public_key, server_id, state, created_at)
      select ${publicKey}, ${id}, 'current', ${now} from (select count(*) from former) as done`
  })

  const counts = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Schema.Struct({
      status: ServerStatus,
      servers: Schema.Int,
      available: Schema.Int,
      activeConnections: Schema.Int
    }),
    execute: (organizationId) => sql`
        select status,
               count(*)::int as servers,
               (count(*) filter (where available))::int as available,
               coalesce(sum(active_connections) filter (where liveness in ('online', 'degraded', 'unknown')), 0)::int as active_connections
          from fleet_servers
         where organization_id = ${organizationId}
      group by status`
  })

  /** The gravest first, then the oldest. Silence in a maintenance window is what was announced. */
  const attention = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Schema.DateTimeUtcFromDate, limit: Schema.Int }),
    Result: FleetServer,
    execute: ({ limit, now, organizationId }) => sql`
        select *
          from fleet_servers
         where organization_id = ${organizationId}
           and status in ('suspended', 'offline', 'degraded', 'pending')
           and not (status in ('offline', 'degraded')
                    and in_maintenance(organization_id, id, group_key, ${now}))
      order by array_position(array['suspended', 'offline', 'pending', 'degraded'], status), status_since, id
         limit ${limit}`
  })

  const transitions = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      serverId: Schema.NullOr(ServerId),
      limit: Schema.Int
    }),
    Result: Transition,
    execute: ({ limit, organizationId, serverId }) => sql`
        select t.id::float8 as id, t.server_id, s.name as server_name, t.axis, t.before, t.after, t.reason, t.at
          from server_transitions t
          join servers s on s.id = t.server_id
         where ${sql.and([
           sql`t.organization_id = ${organizationId}`,
           ...(serverId === null ? [] : [sql`t.server_id = ${serverId}`])
         ])}
      order by t.id desc
         limit ${limit}`
  })

  /** The last of each minute. */
  const samples = SqlSchema.findAll({
    Request: Schema.Struct({ id: ServerId, since: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({
      minute: Schema.DateTimeUtcFromDate,
      metrics: Schema.Record(Schema.String, Schema.Finite)
    }),
    execute: ({ id, since }) => sql`
        select distinct on (date_trunc('minute', at)) date_trunc('minute', at) as minute, metrics
          from metric_samples
         where server_id = ${id} and at >= ${since}
      order by date_trunc('minute', at), at desc, seq desc`
  })

  const joinedBy = SqlSchema.findOneOption({
    Request: One,
    Result: Schema.Struct({ id: Schema.String, name: Schema.String, createdBy: Schema.String }),
    execute: ({ id, organizationId }) => sql`
      select k.id, k.name, k.created_by
        from servers s
        join registration_keys k on k.id = s.registration_key_id
       where s.organization_id = ${organizationId}
         and s.id = ${id}`
  })

  return {
    insert,
    get,
    findByName,
    findMany,
    findByPublicKey,
    lockPublicKey,
    keyOf,
    lock,
    list,
    count,
    joinedWith,
    setAdmission,
    setDuty,
    limitConnections,
    lockGroups,
    assign,
    changes,
    describe,
    replacePublicKey,
    counts,
    attention,
    transitions,
    samples,
    joinedBy
  }
})
