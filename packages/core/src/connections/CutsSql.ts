/** Every statement about orders to cut. */
import { ConnectionParty, Cut, CutPreview, CutSubject } from "@broker/domain/Connection"
import { OrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { ServerId } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Subject = { organizationId: OrganizationId, kind: CutSubject, id: Uuid }

/** The column of `connections` that a subject is found by. */
const columns = {
  connection: "id",
  "personal-key": "personal_key_id",
  device: "device_id",
  user: "user_id",
  server: "server_id"
} as const satisfies Record<CutSubject, string>

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const ofSubject = ({ id, kind, organizationId }: { organizationId: string; kind: CutSubject; id: string }) => sql`
    organization_id = ${organizationId} and ${sql.literal(columns[kind])} = ${id} and status in ('intent', 'active')`

  /** In the order of their ids, so that two who cut never wait for each other in a ring. */
  const lockServers = SqlSchema.void({
    Request: Schema.Struct(Subject),
    execute: (subject) => sql`
        select id
          from servers
         where id in (select server_id from connections where ${ofSubject(subject)})
      order by id
           for no key update`
  })

  /** Intents never came to be, and no server has anything to cut of them; a grant that is still out is refused. */
  const cut = SqlSchema.findAll({
    Request: Schema.Struct({
      ...Subject,
      cutId: Uuid,
      subjectName: Schema.String,
      reason: Schema.String,
      endedBy: ConnectionParty,
      orderedBy: Schema.String,
      now: Schema.DateTimeUtcFromDate
    }),
    Result: Schema.Struct({ id: Uuid }),
    execute: ({ cutId, endedBy, now, orderedBy, reason, subjectName, ...subject }) => sql`
      with gone as materialized (
          select id, status
            from connections
           where ${ofSubject(subject)}
        order by id
             for update
      ), act as (
        insert into cuts (id, organization_id, reason, subject_kind, subject_id, subject_name, ordered_by, ordered_at)
        select ${cutId}::uuid, ${subject.organizationId}::uuid, ${reason}, ${subject.kind}, ${subject.id}::uuid,
               ${subjectName}, ${orderedBy}, ${now}::timestamptz
         where exists (select from gone where status = 'active')
      )
         update connections c
            set status = case gone.status when 'active' then 'ended' else 'expired' end,
                stale_since = null,
                ended_at = greatest(${now}, c.active_at, c.created_at),
                ended_by = ${endedBy},
                end_reason = ${reason},
                cut_id = case gone.status when 'active' then ${cutId}::uuid end,
                cut_seq = case gone.status when 'active' then nextval('cut_seq') end
           from gone
          where c.id = gone.id
      returning c.id`
  })

  const confirmAll = SqlSchema.void({
    Request: Schema.Struct({ id: ServerId, now: Schema.DateTimeUtcFromDate }),
    execute: ({ id, now }) => sql`
      update connections
         set cut_confirmed_at = greatest(${now}, ended_at),
             server_ended_at = coalesce(server_ended_at, greatest(${now}, ended_at))
       where server_id = ${id}
         and cut_seq is not null
         and cut_confirmed_at is null`
  })

  const preview = SqlSchema.findOne({
    Request: Schema.Struct(Subject),
    Result: CutPreview,
    execute: (subject) => sql`
      select count(*)::int as connections, count(distinct server_id)::int as servers
        from connections
       where ${ofSubject(subject)}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      subjectId: Schema.NullOr(Uuid),
      limit: Schema.Int,
      overdueBefore: Schema.DateTimeUtcFromDate
    }),
    Result: Cut,
    execute: ({ limit, organizationId, overdueBefore, subjectId }) => sql`
      with act as materialized (
          select *
            from cuts k
           where ${sql.and([
             sql`k.organization_id = ${organizationId}`,
             ...(subjectId === null
               ? []
               : [
                   sql.or([
                     sql`k.subject_id = ${subjectId}`,
                     sql`exists (select
                                   from connections c
                                  where c.cut_id = k.id
                                    and ${subjectId}::uuid in (c.user_id, c.device_id, c.personal_key_id, c.server_id))`
                   ])
                 ])
           ])}
        order by id desc
           limit ${limit}
      ), carried as (
          select c.cut_id, c.server_id,
                 count(*) as connections,
                 count(c.cut_confirmed_at) as confirmed,
                 max(extract(epoch from c.cut_confirmed_at - act.ordered_at)) as seconds,
                 -- A retired server may never come back to be told.
                 bool_or(c.cut_confirmed_at is null
                         and v.admission <> 'retired'
                         and (act.ordered_at < ${overdueBefore} or p.liveness = 'offline')) as overdue
            from act
            join connections c on c.cut_id = act.id
            join servers v on v.id = c.server_id
            join server_presence p on p.server_id = c.server_id
        group by c.cut_id, c.server_id
      )
        select act.id, act.reason, act.subject_kind, act.subject_id, act.subject_name, act.ordered_by, act.ordered_at,
               coalesce(sum(s.connections), 0)::int as connections,
               coalesce(sum(s.confirmed), 0)::int as confirmed_connections,
               count(s.server_id)::int as servers,
               (count(*) filter (where s.confirmed = s.connections))::int as confirmed_servers,
               (count(*) filter (where s.overdue))::int as overdue_servers,
               (max(s.seconds) filter (where s.confirmed = s.connections))::float8 as slowest_seconds,
               (percentile_cont(0.5) within group (order by s.seconds) filter (where s.confirmed = s.connections))::float8
                 as median_seconds
          from act
          left join carried s on s.cut_id = act.id
      group by act.id, act.reason, act.subject_kind, act.subject_id, act.subject_name, act.ordered_by, act.ordered_at
      order by act.id desc`
  })

  return { lockServers, cut, confirmAll, preview, list }
})
