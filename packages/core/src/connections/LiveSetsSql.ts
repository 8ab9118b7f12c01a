/** The one statement that live sets end in. */
import { Uuid } from "@broker/domain/Primitives"
import { ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Result, Schema } from "effect"
import { type SqlClient, SqlSchema } from "effect/sql"

const { OID } = PgTypes

export interface Compared {
  readonly serverId: ServerId
  readonly connections: ReadonlyArray<string> | null
  readonly cursor: bigint
  readonly seenAt: Date
}

/** A connection that a server has to end; `seq` where it was ordered, none where the server lists what is over. */
export const Order = Schema.Struct({
  serverId: ServerId,
  id: Uuid,
  reason: Schema.String,
  seq: Schema.NullOr(Schema.BigInt)
})
export type Order = typeof Order.Type

const column = <A>(sets: ReadonlyArray<Compared>, oid: number, of: (set: Compared) => A) =>
  Result.getOrThrow(PgTypes.array(sets.map(of), oid))

export const make = (sql: SqlClient.SqlClient, graceSeconds: number) => {
  /**
   * What is missing from a set is over on its server: an active connection ends there, an order to cut is confirmed,
   * and of an end that another side told first the server's account is closed. Connections that were reported only
   * just now are left alone, as the set may have been made before (C4). A server that lists nothing confirms by its
   * cursor.
   */
  const compare = SqlSchema.findAll({
    Request: Schema.declare((u): u is ReadonlyArray<Compared> => Array.isArray(u)),
    Result: Order,
    execute: (sets) => sql`
      with said as materialized (
        select *
          from unnest(
                 ${column(sets, OID.uuid, (set) => set.serverId)},
                 ${column(sets, OID.jsonb, (set) => set.connections ?? [])},
                 ${column(sets, OID.bool, (set) => set.connections !== null)},
                 ${column(sets, OID.int8, (set) => set.cursor)},
                 ${column(sets, OID.timestamptz, (set) => set.seenAt)}
               ) as s (server_id, ids, lists, cursor, seen_at)
      ), member as materialized (
        select s.server_id, m.id::uuid as id from said s cross join lateral jsonb_array_elements_text(s.ids) as m (id)
      ), over as materialized (
          select c.id
            from connections c
           where c.id in (
                   select a.id
                     from said s
                     join connections a on a.server_id = s.server_id and a.status = 'active'
                    where s.lists
                      and a.active_at < s.seen_at - make_interval(secs => ${graceSeconds})
                    union
                   select o.id
                     from said s
                     join connections o on o.server_id = s.server_id and o.cut_seq is not null and o.cut_confirmed_at is null
                    where case
                            when s.lists then o.active_at < s.seen_at - make_interval(secs => ${graceSeconds})
                            else o.cut_seq <= s.cursor
                          end
                    union
                   select e.id
                     from said s
                     join connections e
                       on e.server_id = s.server_id and e.status = 'ended' and e.settled_at is null and e.server_ended_at is null
                    where s.lists
                      and e.active_at < s.seen_at - make_interval(secs => ${graceSeconds}))
             and not exists (select from member m where m.server_id = c.server_id and m.id = c.id)
        order by c.id
             for update skip locked
      ), ended as (
           update connections c
              set status = 'ended',
                  stale_since = null,
                  ended_at = coalesce(c.ended_at, greatest(s.seen_at, c.active_at)),
                  ended_by = coalesce(c.ended_by, 'server'),
                  end_reason = coalesce(c.end_reason, 'server_dropped'),
                  server_ended_at = coalesce(c.server_ended_at, greatest(s.seen_at, c.active_at)),
                  cut_confirmed_at = case
                    when c.cut_id is not null then coalesce(c.cut_confirmed_at, greatest(s.seen_at, c.ended_at))
                  end
             from over, said s
            where c.id = over.id
              and s.server_id = c.server_id
              -- It may have moved between the look and the lock.
              and c.status in ('active', 'ended')
        returning c.id
      )
      select c.server_id, c.id, c.end_reason as reason, c.cut_seq as seq
        from said s
        join connections c on c.server_id = s.server_id and c.cut_seq is not null and c.cut_confirmed_at is null
       where c.cut_seq > s.cursor
         and c.id not in (select id from ended)
       union all
      select m.server_id, m.id, coalesce(c.end_reason, 'unknown_connection'), null
        from member m
        join said s on s.server_id = m.server_id
        left join connections c on c.id = m.id and c.server_id = m.server_id
       where (c.id is null or c.status in ('ended', 'expired', 'refused'))
         and not (c.cut_seq is not null and c.cut_confirmed_at is null and c.cut_seq > s.cursor)
    order by seq nulls last, id`
  })

  return { compare }
}
