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
  Labels,
  PublicKeyFromBytes,
  Server,
  ServerConnectionLimit,
  ServerId,
  ServerStatus,
  Tags,
  Transition
} from "@broker/domain/Server"
import { ServerSearch } from "@broker/domain/ServerSearch"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { isWindowed, windowed } from "../availability/WindowsSql.ts"
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

/** What admins say of a server, whole; what is left out stays. */
const Assigned = Schema.Struct({
  groupId: Schema.optionalKey(Schema.NullOr(GroupId)),
  tags: Schema.optionalKey(Tags),
  labels: Schema.optionalKey(Labels)
})
export type Assigned = typeof Assigned.Type

/** What whoever sees a server is told of its changes: nothing that is not seen of the server itself as well. */
const toldColumns = [
  "name",
  "admission",
  "admission_reason",
  "duty",
  "public_key",
  "version",
  "endpoints",
  "capabilities",
  "tags",
  "labels",
  "location",
  "public_address",
  "group_id",
  "assigned_tags",
  "assigned_labels",
  "connection_limit"
]

/** What pages are sorted by, of what type that is, and how it is written in a cursor. */
const sortKeys = {
  name: { column: "name_key", type: "text", text: "sort_value" },
  lastSeen: {
    column: "coalesce(last_seen_at, '-infinity')",
    type: "timestamptz",
    text: `coalesce(to_char(nullif(sort_value, '-infinity') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '-infinity')`
  },
  registered: { column: "id", type: "uuid", text: "sort_value::text" },
  /** What is no version comes before all that are. */
  version: { column: "coalesce(version_key, '{}')", type: "bigint[]", text: "sort_value::text" },
  load: { column: "load_value", type: "double precision", text: "sort_value::text" }
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

const PageWanted = Schema.Struct({ ...Wanted.fields, after: Schema.NullOr(Position) })

const CountWanted = Schema.Struct({ ...Wanted.fields, limit: Schema.Int })

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

  /** By load in the order of its index, which knows nothing of `servers`. */
  const sorted = (key: keyof typeof sortKeys, organizationId: string) =>
    key === "load"
      ? {
          from: sql`(select server_id, load as load_value from server_loads where organization_id = ${organizationId}) as loads
            join fleet_servers on id = server_id`,
          id: sql.literal("server_id")
        }
      : { from: sql`fleet_servers`, id: sql.literal("id") }

  /** Who is on a page, and where they stand. Only they are looked at in full, and told as text where they stand. */
  const page = ({ after, ...wanted }: typeof PageWanted.Encoded) => {
    const { descending, key } = sortOf(wanted.query.sort)
    const [compare, order] = [sql.literal(descending ? "<" : ">"), sql.literal(descending ? "desc" : "asc")]
    const column = sql.literal(sortKeys[key].column)
    const type = sql.literal(sortKeys[key].type)
    const { from, id } = sorted(key, wanted.organizationId)
    return sql`
      select id, ${sql.literal(sortKeys[key].text)} as sort_key
        from (
               select id, ${column} as sort_value
                 from ${from}
                where ${sql.and([
                  ...conditions(wanted),
                  ...(after === null
                    ? []
                    : [sql`(${column}, ${id}) ${compare} (${after[0]}::text::${type}, ${after[1]}::uuid)`])
                ])}
             order by ${column} ${order}, ${id} ${order}
                limit ${wanted.query.limit + 1}
             ) as page
    order by sort_value ${order}, id ${order}`
  }

  const list = SqlSchema.findAll({
    Request: PageWanted,
    Result: Schema.Struct({ id: ServerId, sortKey: Schema.String }),
    execute: page
  })

  /** How many there are, up to a bound. */
  const counted = ({ limit, ...wanted }: typeof CountWanted.Encoded) => sql`
    select count(*)::int as servers
      from (select from fleet_servers where ${sql.and(conditions(wanted))} limit ${limit}) as found`

  const count = SqlSchema.findOne({
    Request: CountWanted,
    Result: Schema.Struct({ servers: Schema.Int }),
    execute: counted
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

  const assign = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, assigned: Assigned }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ assigned: { groupId, labels, tags }, id, organizationId }) => sql`
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

  const told = (side: "before" | "after") => sql`
    coalesce((select jsonb_object_agg(field.key, field.value)
                from jsonb_each(nullif(c.change -> ${sql.literal(`'${side}'`)}, 'null')) as field
               where field.key = any (${toldColumns}::text[])), '{}')`

  const changes = SqlSchema.findAll({
    Request: Schema.Struct({ ...One.fields, limit: Schema.Int }),
    Result: Schema.Struct({ ...ServerChange.fields, at: Schema.DateTimeUtcFromDate }),
    execute: ({ id, limit, organizationId }) => sql`
        select e.at, e.action, e.actor_kind, e.actor_name,
               ${told("before")} as before, ${told("after")} as after
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

  /**
   * Who needs a person, the gravest first, then the oldest, and with each how many do at all. Silence in a maintenance
   * window is what was announced.
   */
  const attention = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Schema.DateTimeUtcFromDate, limit: Schema.Int }),
    Result: Schema.Struct({ id: ServerId, total: Schema.Int }),
    execute: ({ limit, now, organizationId }) => sql`
      with ${windowed(sql, now)}
        select s.id, (count(*) over ())::int as total
          from fleet_servers s
         where s.organization_id = ${organizationId}
           and s.status in ('suspended', 'offline', 'degraded', 'pending')
           and not (s.status in ('offline', 'degraded') and ${isWindowed(sql)})
      order by array_position(array['suspended', 'offline', 'pending', 'degraded'], s.status), s.status_since, s.id
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
    page,
    list,
    counted,
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
