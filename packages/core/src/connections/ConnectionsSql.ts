/**
 * Every statement that touches `connections`. Which moves there are, and how many connections there may be, the
 * table's own triggers decide; nothing here does.
 */
import {
  Connection,
  ConnectionCounts,
  ConnectionId,
  ConnectionMetrics,
  ConnectionsQuery,
  LedgerConnection,
  Verdict
} from "@broker/domain/Connection"
import { DeviceId } from "@broker/domain/Device"
import { DiscoveredServer } from "@broker/domain/Discovery"
import { OrganizationId } from "@broker/domain/Organization"
import { PersonalKeyId } from "@broker/domain/PersonalKey"
import { PublicKeyFromBytes, ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { Duration, Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Position } from "../Cursor.ts"
import type { ConnectionsPolicy } from "./ConnectionsPolicy.ts"

const Now = Schema.DateTimeUtcFromDate

const Intent = Schema.Struct({
  id: ConnectionId,
  organizationId: OrganizationId,
  userId: UserId,
  personalKeyId: PersonalKeyId,
  deviceId: DeviceId,
  serverId: ServerId,
  clientAddress: Schema.NullOr(Schema.String),
  idempotencyKey: Schema.NullOr(Schema.String),
  createdAt: Now,
  expiresAt: Now,
  grantExpiresAt: Now
})

/** What a grant is made of, beside the connection. */
const Granted = Schema.Struct({ ...Connection.fields, devicePublicKey: Schema.NullOr(PublicKeyFromBytes) })
export type Granted = typeof Granted.Type

/** A report of one side. */
const Report = {
  id: ConnectionId,
  reason: Schema.NullOr(Schema.String),
  metrics: Schema.NullOr(ConnectionMetrics),
  now: Now
}

/** Finds any part of a text, taken literally. */
const containing = (text: string) => `%${text.toLowerCase().replaceAll(/[\\%_]/g, "\\$&")}%`

export const make = Effect.fnUntraced(function* (policy: typeof ConnectionsPolicy.Service) {
  const sql = yield* SqlClient.SqlClient

  /** What waited while the broker was away, is given its time anew once it is back: its absence is nobody's fault (H5). */
  const sinceListening = (lifetime: Duration.Duration) => sql`
    (select max(ended_at) from broker_outages) + make_interval(secs => ${Duration.toSeconds(lifetime)})`

  /** Until when an intent may be accepted. */
  const deadline = sql`greatest(c.expires_at, ${sinceListening(policy.intentLifetime)})`

  /** `Connection`, of the table itself: the view can't be read in the statement that writes. */
  const own = sql`
    c.id, c.organization_id, c.status, c.user_id, c.device_id, c.server_id, c.server_name, c.created_at, c.expires_at,
    c.grant_expires_at, c.active_at, c.stale_since, c.ended_at, c.ended_by, c.end_reason,
    coalesce(c.server_tx_bytes, c.client_rx_bytes)::float8 as rx_bytes,
    coalesce(c.server_rx_bytes, c.client_tx_bytes)::float8 as tx_bytes,
    c.rtt_ms, c.loss_ratio`

  const granted = sql`${own}, (select d.public_key from devices d where d.id = c.device_id) as device_public_key`

  /** C2: the table refuses what must not be; the names are filled in by it too. */
  const insert = SqlSchema.findOne({
    Request: Intent,
    Result: Granted,
    execute: (intent) => sql`
      insert into connections as c ${sql.insert({
        ...intent,
        userName: "",
        personalKeyName: "",
        deviceName: "",
        platform: "",
        serverName: ""
      })}
      returning ${granted}`
  })

  const findByIdempotencyKey = SqlSchema.findOneOption({
    Request: Schema.Struct({ deviceId: DeviceId, idempotencyKey: Schema.String }),
    Result: Granted,
    execute: ({ deviceId, idempotencyKey }) => sql`
        select ${granted}
          from connections c
         where c.device_id = ${deviceId}
           and c.idempotency_key = ${idempotencyKey}
      order by c.id desc
         limit 1`
  })

  /** The server as its client is shown it, available or not. */
  const describeServer = SqlSchema.findOne({
    Request: ServerId,
    Result: DiscoveredServer,
    execute: (id) => sql`select f.*, null as distance_km from fleet_servers f where f.id = ${id}`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ id: ConnectionId, deviceId: DeviceId }),
    Result: Connection,
    execute: ({ deviceId, id }) => sql`select * from ledger where id = ${id} and device_id = ${deviceId}`
  })

  const ofServer = SqlSchema.findOne({
    Request: Schema.Struct({ id: ConnectionId, serverId: ServerId }),
    Result: Connection,
    execute: ({ id, serverId }) => sql`select * from ledger where id = ${id} and server_id = ${serverId}`
  })

  const liveOfDevice = SqlSchema.findAll({
    Request: DeviceId,
    Result: Connection,
    execute: (deviceId) => sql`
      select * from ledger where device_id = ${deviceId} and status in ('intent', 'active') order by id desc`
  })

  /** Totals only grow: a late report takes nothing back. */
  const counted = (side: "client" | "server", metrics: ConnectionMetrics | null, now: Date) => {
    const { lossRatio = null, rttMs = null, rxBytes = null, txBytes = null } = metrics ?? {}
    const [rx, tx, at] = [`${side}_rx_bytes`, `${side}_tx_bytes`, `${side}_reported_at`].map((name) =>
      sql.literal(name)
    )
    if (rx === undefined || tx === undefined || at === undefined) return sql``
    return sql`
      ${at} = case when ${metrics === null} then c.${at} else ${now} end,
      ${rx} = greatest(c.${rx}, ${rxBytes}::bigint),
      ${tx} = greatest(c.${tx}, ${txBytes}::bigint),
      rtt_ms = coalesce(${rttMs}::float8, c.rtt_ms),
      loss_ratio = coalesce(${lossRatio}::float8, c.loss_ratio)`
  }

  /** C4: the server took the connection, or goes on with it. None once the intent's time is over. */
  const accept = SqlSchema.findOne({
    Request: Schema.Struct({ ...Report, serverId: ServerId }),
    Result: Connection,
    execute: ({ id, metrics, now, serverId }) => sql`
         update connections c
            set status = 'active',
                active_at = coalesce(c.active_at, greatest(${now}, c.created_at)),
                stale_since = case
                  when c.status = 'active' then c.stale_since
                  when exists (select from server_presence p where p.server_id = c.server_id and p.liveness = 'offline')
                  then greatest(${now}, c.created_at)
                end,
                ${counted("server", metrics, now)}
          where c.id = ${id}
            and c.server_id = ${serverId}
            and (c.status = 'active' or (c.status = 'intent' and ${deadline} > ${now}))
      returning ${own}`
  })

  /** The server's end of it; the first reason stays (C1). */
  const endByServer = SqlSchema.findOne({
    Request: Schema.Struct({ ...Report, serverId: ServerId }),
    Result: Connection,
    execute: ({ id, metrics, now, reason, serverId }) => sql`
         update connections c
            set status = 'ended',
                stale_since = null,
                ended_at = coalesce(c.ended_at, greatest(${now}, c.active_at)),
                ended_by = coalesce(c.ended_by, 'server'),
                end_reason = coalesce(c.end_reason, ${reason}, 'server_ended'),
                server_ended_at = coalesce(c.server_ended_at, greatest(${now}, c.active_at)),
                server_reason = coalesce(c.server_reason, ${reason}),
                cut_confirmed_at = case when c.cut_id is not null then coalesce(c.cut_confirmed_at, ${now}) end,
                ${counted("server", metrics, now)}
          where c.id = ${id}
            and c.server_id = ${serverId}
            and c.status in ('active', 'ended')
      returning ${own}`
  })

  const refuse = SqlSchema.findOne({
    Request: Schema.Struct({ id: ConnectionId, serverId: ServerId, reason: Schema.NullOr(Schema.String), now: Now }),
    Result: Connection,
    execute: ({ id, now, reason, serverId }) => sql`
         update connections c
            set status = 'refused',
                ended_at = coalesce(c.ended_at, greatest(${now}, c.created_at)),
                ended_by = coalesce(c.ended_by, 'server'),
                end_reason = coalesce(c.end_reason, ${reason}, 'server_refused'),
                server_reason = coalesce(c.server_reason, ${reason})
          where c.id = ${id}
            and c.server_id = ${serverId}
            and c.status in ('intent', 'refused')
      returning ${own}`
  })

  const progressOfClient = SqlSchema.findOne({
    Request: Schema.Struct({ ...Report, deviceId: DeviceId }),
    Result: Connection,
    execute: ({ deviceId, id, metrics, now }) => sql`
         update connections c
            set client_opened_at = coalesce(c.client_opened_at, ${now}),
                ${counted("client", metrics, now)}
          where c.id = ${id}
            and c.device_id = ${deviceId}
            and c.status in ('intent', 'active')
      returning ${own}`
  })

  /** The client's end of it. An intent that it calls off never came to be. */
  const endByClient = SqlSchema.findOne({
    Request: Schema.Struct({ ...Report, deviceId: DeviceId }),
    Result: Connection,
    execute: ({ deviceId, id, metrics, now, reason }) => sql`
         update connections c
            set status = case c.status when 'active' then 'ended' when 'intent' then 'expired' else c.status end,
                stale_since = null,
                ended_at = coalesce(c.ended_at, greatest(${now}, c.active_at, c.created_at)),
                ended_by = coalesce(c.ended_by, 'client'),
                end_reason = coalesce(c.end_reason, ${reason}, 'client_ended'),
                client_opened_at = coalesce(c.client_opened_at, ${now}),
                client_ended_at = coalesce(c.client_ended_at, greatest(${now}, c.created_at)),
                client_reason = coalesce(c.client_reason, ${reason}),
                ${counted("client", metrics, now)}
          where c.id = ${id}
            and c.device_id = ${deviceId}
            and c.status in ('intent', 'active', 'ended')
      returning ${own}`
  })

  const find = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: ConnectionId }),
    Result: LedgerConnection,
    execute: ({ id, organizationId }) =>
      sql`select * from ledger where organization_id = ${organizationId} and id = ${id}`
  })

  const findMany = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, ids: Schema.Array(ConnectionId) }),
    Result: LedgerConnection,
    execute: ({ ids, organizationId }) => sql`
      select * from ledger where organization_id = ${organizationId} and ${sql.in("id", ids)} order by id`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      query: Schema.toType(ConnectionsQuery),
      after: Schema.NullOr(Position)
    }),
    Result: LedgerConnection,
    execute: ({ after, organizationId, query }) => {
      const { deviceId, personalKeyId, reasons, scope, serverId, stale, statuses, text, userId, verdicts } = query
      return sql`
        select *
          from ledger
         where ${sql.and([
           sql`organization_id = ${organizationId}`,
           ...(scope === "live" ? [sql`status in ('intent', 'active')`] : []),
           ...(scope === "over" ? [sql`status in ('ended', 'expired', 'refused')`] : []),
           ...(statuses.length === 0 ? [] : [sql.in("status", statuses)]),
           ...(stale === null ? [] : [stale ? sql`stale_since is not null` : sql`stale_since is null`]),
           ...(verdicts.length === 0 ? [] : [sql.in("verdict", verdicts)]),
           ...(reasons.length === 0 ? [] : [sql.in("end_reason", reasons)]),
           ...(userId === null ? [] : [sql`user_id = ${userId}`]),
           ...(deviceId === null ? [] : [sql`device_id = ${deviceId}`]),
           ...(serverId === null ? [] : [sql`server_id = ${serverId}`]),
           ...(personalKeyId === null ? [] : [sql`personal_key_id = ${personalKeyId}`]),
           ...(text.trim() === ""
             ? []
             : [
                 sql.or([
                   sql`lower(user_name) like ${containing(text.trim())}`,
                   sql`lower(server_name) like ${containing(text.trim())}`,
                   sql`lower(device_name) like ${containing(text.trim())}`,
                   sql`id::text = ${text.trim().toLowerCase()}`,
                   sql`host(client_address) = ${text.trim()}`
                 ])
               ]),
           ...(after === null ? [] : [sql`id < ${after[1]}::uuid`])
         ])}
      order by id desc
         limit ${query.limit + 1}`
    }
  })

  const newest = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Schema.Struct({ id: ConnectionId }),
    execute: (organizationId) =>
      sql`select id from connections where organization_id = ${organizationId} order by id desc limit 1`
  })

  const liveCounts = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, overdueBefore: Now }),
    Result: Schema.Struct({
      intents: ConnectionCounts.fields.intents,
      active: ConnectionCounts.fields.active,
      stale: ConnectionCounts.fields.stale,
      cutsOpen: ConnectionCounts.fields.cutsOpen,
      cutsOverdue: ConnectionCounts.fields.cutsOverdue
    }),
    execute: ({ organizationId, overdueBefore }) => sql`
      select live.*, cutting.*
        from (select (count(*) filter (where status = 'intent'))::int as intents,
                     (count(*) filter (where status = 'active'))::int as active,
                     (count(*) filter (where stale_since is not null))::int as stale
                from connections
               where organization_id = ${organizationId}
                 and status in ('intent', 'active')) as live,
             (select count(*)::int as cuts_open,
                     (count(*) filter (where k.ordered_at < ${overdueBefore} or p.liveness = 'offline'))::int as cuts_overdue
                from connections c
                join cuts k on k.id = c.cut_id
                join servers v on v.id = c.server_id and v.admission <> 'retired'
                join server_presence p on p.server_id = c.server_id
               where c.organization_id = ${organizationId}
                 and c.cut_seq is not null
                 and c.cut_confirmed_at is null) as cutting`
  })

  const pastCounts = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, since: Now }),
    Result: Schema.Struct({
      kind: Schema.Literals([...Verdict.literals, "unsettled", "connected", "expired", "refused"]),
      connections: Schema.Int
    }),
    execute: ({ organizationId, since }) => sql`
        select case when status = 'ended' then coalesce(verdict, 'unsettled') else status end as kind,
               count(*)::int as connections
          from connections
         where organization_id = ${organizationId}
           and ended_at > ${since}
      group by 1
     union all
        select 'connected', count(*)::int
          from connections
         where organization_id = ${organizationId}
           and created_at > ${since}
           and active_at is not null`
  })

  /** Intents whose time is over. */
  const expireIntents = SqlSchema.findAll({
    Request: Schema.Struct({ now: Now, limit: Schema.Int }),
    Result: Schema.Struct({ id: ConnectionId }),
    execute: ({ limit, now }) => sql`
      with late as (
          select c.id
            from connections c
           where c.status = 'intent'
             and c.expires_at <= ${now}
             and ${deadline} <= ${now}
        order by c.id
           limit ${limit}
             for update skip locked
      )
         update connections c
            set status = 'expired', ended_at = greatest(${now}, c.created_at), ended_by = 'broker', end_reason = 'intent_expired'
           from late
          where c.id = late.id
      returning c.id`
  })

  /** C5: connections of servers that did not come back. */
  const endLost = SqlSchema.findAll({
    Request: Schema.Struct({ now: Now, limit: Schema.Int }),
    Result: Schema.Struct({ id: ConnectionId }),
    execute: ({ limit, now }) => sql`
      with lost as (
          select c.id
            from connections c
            join server_presence p on p.server_id = c.server_id
           where c.status = 'active'
             -- One that is heard again counts as silent until it is steady (H2), but keeps what it has.
             and greatest(c.stale_since, p.last_seen_at)
                 <= ${now}::timestamptz - make_interval(secs => ${Duration.toSeconds(policy.staleLifetime)})
             and c.stale_since is not null
             and coalesce(${sinceListening(policy.staleLifetime)}, ${now}) <= ${now}
        order by c.id
           limit ${limit}
             for update of c skip locked
      )
         update connections c
            set status = 'ended',
                stale_since = null,
                ended_at = greatest(${now}, c.active_at),
                ended_by = 'broker',
                end_reason = 'server_lost'
           from lost
          where c.id = lost.id
      returning c.id`
  })

  /** Accounts that nobody completed in time are judged as they are. */
  const settle = SqlSchema.findAll({
    Request: Schema.Struct({ now: Now, endedBefore: Now, limit: Schema.Int }),
    Result: Schema.Struct({ id: ConnectionId }),
    execute: ({ endedBefore, limit, now }) => sql`
      with due as (
          select id
            from connections
           where status = 'ended'
             and settled_at is null
             and ended_at <= ${endedBefore}
        order by id
           limit ${limit}
             for update skip locked
      )
         update connections c
            set settled_at = ${now}
           from due
          where c.id = due.id
      returning c.id`
  })

  /** A report that was written in the very moment in which its server went offline, was not seen by that. */
  const doubtForgotten = sql`
    update connections c
       set stale_since = greatest(p.liveness_since, c.active_at)
      from server_presence p
     where c.status = 'active'
       and c.stale_since is null
       and p.server_id = c.server_id
       and p.liveness = 'offline'`

  /** Acts of which no connection is left. */
  const pruneCuts = (before: Date, limit: number) => sql`
    delete from cuts
     where id in (select k.id
                    from cuts k
                   where k.ordered_at < ${before}
                     and not exists (select from connections c where c.cut_id = k.id)
                   limit ${limit})`

  const prune = (before: Date, limit: number) =>
    Effect.map(
      sql`
        delete from connections
         where id in (select c.id
                        from connections c
                       where c.ended_at < ${before}
                         and (c.status <> 'ended' or c.settled_at is not null)
                         and not exists (select
                                           from connection_usage_due due
                                          where due.organization_id = c.organization_id
                                            and c.active_at is not null
                                            and due.span && tstzrange(c.active_at, c.ended_at, '[]'))
                       limit ${limit})
     returning 1`,
      (rows) => rows.length
    )

  return {
    insert,
    findByIdempotencyKey,
    describeServer,
    get,
    ofServer,
    liveOfDevice,
    accept,
    endByServer,
    refuse,
    progressOfClient,
    endByClient,
    find,
    findMany,
    list,
    newest,
    liveCounts,
    pastCounts,
    expireIntents,
    endLost,
    settle,
    doubtForgotten,
    prune,
    pruneCuts
  }
})
