/** The statements of events. The database spells an event as it goes out; what it spelled is validated once, when read. */
import { EventPlace } from "@broker/domain/Event"
import { OrganizationId } from "@broker/domain/Organization"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"

const Now = Schema.DateTimeUtcFromDate

/** As it stands in the table: this version may not know its type. */
export const Told = Schema.Struct({ place: EventPlace, type: Schema.String, event: Schema.Unknown })
export type Told = typeof Told.Type

/** Which events, by what an index knows: `types` is null for all that there are. */
const Sought = Schema.Struct({
  organizationId: OrganizationId,
  types: Schema.NullOr(Schema.Array(Schema.String)),
  subjectId: Schema.NullOr(Schema.String),
  limit: Schema.Int
})

/** From where to where events of an organization are kept. */
export const Bounds = Schema.Struct({ horizon: EventPlace, newest: EventPlace })

const escaped = (text: string) => text.replaceAll(/[\\%_]/g, (character) => `\\${character}`)

/** A list of texts whose length PostgreSQL sees. */
const texts = (values: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...values], PgTypes.OID.text))

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const told = sql.literal(`
    json_build_object(
      'id', e.id, 'type', e.type, 'version', 1, 'at', e.at, 'place', e.place::text,
      'subject', json_build_object('kind', e.subject_kind, 'id', e.subject_id, 'name', e.subject_name),
      'data', e.data) as event`)

  /** Found by the primary key, each by one step. */
  const bounds = (organizationId: string) => sql`
    select coalesce((select h.place from event_horizons h where h.organization_id = ${organizationId}), 0) as horizon,
           coalesce((select e.place from events e where e.organization_id = ${organizationId} order by e.place desc limit 1),
                    (select h.place from event_horizons h where h.organization_id = ${organizationId}), 0) as newest`

  /**
   * The next events after a place, or the last ones before it. Of some types, or of one subject, as many of each type are
   * sought by the index of that type, so that nothing is gone through that nobody asked for.
   */
  const sought = (
    { limit, organizationId, subjectId, types }: typeof Sought.Encoded,
    edge: ReadonlyArray<Fragment>,
    order: string
  ) => {
    const conditions = [sql`e.organization_id = ${organizationId}`, ...edge]
    const sorted = sql.literal(order)
    return types === null
      ? sql`select e.* from events e where ${sql.and(conditions)} order by ${sorted} limit ${limit}`
      : sql`
          select e.*
            from unnest(${texts(types)}::text[]) as wanted (type)
            cross join lateral (
                 select e.*
                   from events e
                  where ${sql.and([
                    ...conditions,
                    sql`e.type = wanted.type`,
                    ...(subjectId === null ? [] : [sql`e.subject_id = ${subjectId}::uuid`])
                  ])}
               order by ${sorted}
                  limit ${limit}) e
        order by ${sorted}
           limit ${limit}`
  }

  /** What came after a place, and the bounds, all as of one moment. One row at least. */
  const after = SqlSchema.findAll({
    Request: Schema.Struct({ ...Sought.fields, after: Schema.NullOr(EventPlace) }),
    Result: Schema.Struct({
      ...Bounds.fields,
      place: Schema.NullOr(EventPlace),
      type: Schema.NullOr(Schema.String),
      event: Schema.Unknown
    }),
    execute: ({ after, ...which }) => sql`
         select b.horizon::text as horizon, b.newest::text as newest, e.place::text as place, e.type, ${told}
           from (${bounds(which.organizationId)}) b
      left join (${sought(which, after === null ? [] : [sql`e.place > ${after}::bigint`], "e.place")}) e on true
       order by e.place`
  })

  const newest = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Bounds,
    execute: (organizationId) =>
      sql`select b.horizon::text as horizon, b.newest::text as newest from (${bounds(organizationId)}) b`
  })

  const get = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: Schema.String }),
    Result: Told,
    execute: ({ id, organizationId }) => sql`
      select e.place::text as place, e.type, ${told}
        from events e
       where e.id = ${id}::uuid and e.organization_id = ${organizationId}`
  })

  /**
   * The newest that fit, out of a bounded number of candidates; with how many candidates there were, and which of them
   * was the last. By time, ties by place; of one subject by place, which is the order in which things happened to it.
   */
  const before = SqlSchema.findAll({
    Request: Schema.Struct({
      ...Sought.fields,
      window: Schema.Int,
      before: Schema.NullOr(EventPlace),
      from: Schema.NullOr(Now),
      to: Schema.NullOr(Now),
      text: Schema.String
    }),
    Result: Schema.Struct({
      candidates: Schema.Int,
      last: Schema.NullOr(EventPlace),
      place: Schema.NullOr(EventPlace),
      type: Schema.NullOr(Schema.String),
      event: Schema.Unknown
    }),
    execute: ({ before, from, limit, text, to, window, ...which }) => {
      const { subjectId } = which
      const part = `%${escaped(text.toLowerCase())}%`
      const times = [...(from === null ? [] : [sql`e.at >= ${from}`]), ...(to === null ? [] : [sql`e.at < ${to}`])]
      const edge =
        before === null
          ? []
          : subjectId === null
            ? [
                sql`(e.at, e.place) < ((select b.at from events b where b.organization_id = ${which.organizationId} and b.place = ${before}::bigint), ${before}::bigint)`
              ]
            : [sql`e.place < ${before}::bigint`]
      const order = subjectId === null ? "e.at desc, e.place desc" : "e.place desc"
      const fitting = [
        ...(subjectId === null ? [] : times),
        ...(text === ""
          ? []
          : [
              sql.or([
                sql`lower(e.subject_name) like ${part}`,
                ...["server", "user", "device", "actor"].map(
                  (noun) => sql`lower(e.data -> ${sql.literal(`'${noun}'`)} ->> 'name') like ${part}`
                )
              ])
            ])
      ]
      const candidates = sought({ ...which, limit: window }, [...(subjectId === null ? times : []), ...edge], order)
      return sql`
           with candidates as materialized (
                  select e.place, e.at, row_number() over (order by ${sql.literal(order)}) as rank from (${candidates}) e
                ), seen as (
                  select count(*)::int as candidates, (select place from candidates order by rank desc limit 1) as last
                    from candidates
                )
         select s.candidates, s.last::text as last, e.place::text as place, e.type, ${told}
           from seen s
      left join (
                 select e.*, c.rank
                   from candidates c
                   join events e on e.organization_id = ${which.organizationId} and e.place = c.place
                  ${fitting.length === 0 ? sql`` : sql`where ${sql.and(fitting)}`}
               order by c.rank
                  limit ${limit}) e on true
       order by e.rank`
    }
  })

  /** Since when the oldest event waits for its place. A look that takes no lock. */
  const waiting = SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Schema.Struct({ at: Now }),
    execute: () => sql`select at from event_outbox order by seq limit 1`
  })

  const publish = SqlSchema.findOne({
    Request: Schema.Int,
    Result: Schema.Struct({ published: Schema.Int }),
    execute: (atMost) => sql`select publish_events(${atMost}::int) as published`
  })

  /** Organizations that have events past their time. */
  const overdue = SqlSchema.findAll({
    Request: Now,
    Result: Schema.Struct({ organizationId: OrganizationId }),
    execute: (before) => sql`
        select o.id as organization_id
          from organizations o
          join lateral (
               select e.published_at from events e where e.organization_id = o.id order by e.place limit 1) oldest on true
         where oldest.published_at < ${before}
      order by o.id`
  })

  /**
   * Deletes the oldest, as long as all of them are past their time, and says up to where: nothing is taken out of the
   * middle, and nobody sees that some are gone before the horizon says so.
   */
  const prune = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, before: Now, limit: Schema.Int }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ before, limit, organizationId }) => sql`
      with oldest as (
          select e.place, bool_and(e.published_at < ${before}) over (order by e.place) as past
            from (select place, published_at
                    from events
                   where organization_id = ${organizationId}
                order by place
                   limit ${limit}) e
      ), gone as (
         delete from events e
          using oldest o
          where e.organization_id = ${organizationId} and e.place = o.place and o.past
      returning e.place
      ), moved as (
         insert into event_horizons (organization_id, place)
         select ${organizationId}::uuid, max(place) from gone having count(*) > 0
             on conflict (organization_id) do update
            set place = greatest(event_horizons.place, excluded.place)
      returning 1
      )
      select count(*)::int as gone from gone`
  })

  return { after, newest, get, before, waiting, publish, overdue, prune }
})
