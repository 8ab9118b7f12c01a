/** Every statement that touches `users`. Nothing here decides; it only reads and writes. */
import { OrganizationId } from "@broker/domain/Organization"
import { Timestamp, Uuid } from "@broker/domain/Primitives"
import { ListedUser, User, UserActivity, UserId, type UserSort, UserState, UsersQuery } from "@broker/domain/User"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Position } from "../Cursor.ts"

const One = Schema.Struct({ organizationId: OrganizationId, id: UserId })

const Now = Schema.DateTimeUtcFromDate

/** What an admin may change, as columns. */
const { email, name, nameKey, note } = User.insert.fields
const Changes = Schema.Struct({
  name: Schema.optionalKey(name),
  nameKey: Schema.optionalKey(nameKey),
  email: Schema.optionalKey(email),
  note: Schema.optionalKey(note)
})

/** The columns that pages are sorted by; text, so that a cursor can carry any of them. */
const sortColumns = {
  name: "name_key",
  lastSeen: "coalesce(last_seen_at, '-infinity')",
  created: "id"
} as const

const sortTypes = { name: "text", lastSeen: "timestamptz", created: "uuid" } as const

/** What a list is sorted by, and whether it goes down. */
export const sortOf = (sort: UserSort) => ({
  key: sort.replace("-", "") as keyof typeof sortColumns,
  descending: sort.startsWith("-")
})

/** What stands in a cursor for a row without a time. */
const never = "-infinity"

/** Whether a text is of the type that a list is sorted by: a cursor comes from outside. */
export const isSortKey = (key: keyof typeof sortColumns, text: string) =>
  Schema.is({ name: Schema.String, lastSeen: Schema.Union([Schema.Literal(never), Timestamp]), created: Uuid }[key])(
    text
  )

/** Finds any part of a text, taken literally. */
const containing = (text: string) => `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Counted for the rows that are shown only. */
  const counts = (now: Date) => sql`
    (select count(*)::int from personal_keys k
      where k.user_id = u.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > ${now})) as keys,
    (select count(*)::int from devices d where d.user_id = u.id) as devices,
    (select count(*)::int from connections c
      where c.user_id = u.id and c.status in ('intent', 'active')) as live_connections`

  const insert = SqlSchema.void({
    Request: User.insert,
    execute: (user) => sql`insert into users ${sql.insert(user)}`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: ListedUser,
    execute: ({ id, now, organizationId }) => sql`
      select u.*, ${counts(now)} from users u where u.organization_id = ${organizationId} and u.id = ${id}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      query: Schema.toType(UsersQuery),
      nameKey: Schema.String,
      after: Schema.NullOr(Position),
      now: Now
    }),
    Result: ListedUser,
    execute: ({ after, nameKey, now, organizationId, query }) => {
      const { descending, key } = sortOf(query.sort)
      const [compare, order] = [sql.literal(descending ? "<" : ">"), sql.literal(descending ? "desc" : "asc")]
      const column = sql.literal(sortColumns[key])
      const type = sql.literal(sortTypes[key])
      const text = query.text.trim()
      return sql`
        select u.*, ${counts(now)}
          from (
            select *
              from users
             where ${sql.and([
               sql`organization_id = ${organizationId}`,
               ...(query.states.length === 0 ? [] : [sql.in("state", query.states)]),
               ...(text === ""
                 ? []
                 : [
                     sql.or([
                       sql`name_key like ${containing(nameKey)}`,
                       sql`lower(email) like lower(${containing(text)})`,
                       sql`id::text = lower(${text})`
                     ])
                   ]),
               ...(after === null
                 ? []
                 : [sql`(${column}, id) ${compare} (${after[0]}::text::${type}, ${after[1]}::uuid)`])
             ])}
          order by ${column} ${order}, id ${order}
             limit ${query.limit + 1}
          ) as u
      order by ${column} ${order}, id ${order}`
    }
  })

  /** Taken before anything else of a user's is touched; everybody locks users first, then keys, then devices. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ name: User.fields.name, email: User.fields.email, note: User.fields.note }),
    execute: ({ id, organizationId }) => sql`
      select name, email, note from users where organization_id = ${organizationId} and id = ${id} for no key update`
  })

  const update = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, changes: Changes }),
    execute: ({ changes, id, organizationId }) => sql`
      update users set ${sql.update(changes)} where organization_id = ${organizationId} and id = ${id}`
  })

  /** No row comes back when the user is in that state already. */
  const setState = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, state: UserState, reason: Schema.NullOr(Schema.String), now: Now }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, now, organizationId, reason, state }) => sql`
         update users
            set state = ${state},
                state_reason = ${reason},
                state_since = ${now}
          where organization_id = ${organizationId}
            and id = ${id}
            and state <> ${state}
      returning name`
  })

  const remove = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) => sql`delete from users where organization_id = ${organizationId} and id = ${id}`
  })

  const activity = SqlSchema.findAll({
    Request: Schema.Struct({ ...One.fields, audited: Schema.Boolean, limit: Schema.Int }),
    Result: Schema.Struct({ ...UserActivity.fields, at: Now }),
    execute: ({ audited, id, limit, organizationId }) => sql`
      with subjects as (
        select id from users where organization_id = ${organizationId} and id = ${id}
         union all
        select k.id from personal_keys k where k.organization_id = ${organizationId} and k.user_id = ${id}
         union all
        select d.id from devices d where d.organization_id = ${organizationId} and d.user_id = ${id}
      ), audited as (
          select e.at, e.action, e.outcome, e.actor_name as by, host(e.address) as address,
                 e.details ->> 'name' as subject, e.details
            from audit_entries e
           where e.subject_id in (select id from subjects)
             and e.organization_id = ${organizationId}
             and ${audited}::boolean
        order by e.id desc
           limit ${limit}
      ), signed_in as (
          select s.created_at as at, 'clients:sign-in' as action, 'done' as outcome, d.name as by,
                 host(s.address) as address, k.name as subject,
                 jsonb_build_object('platform', d.platform, 'ended', s.end_reason) as details
            from client_sessions s
            join devices d on d.id = s.device_id
            join personal_keys k on k.id = s.personal_key_id
           where s.organization_id = ${organizationId}
             and s.user_id = ${id}
        order by s.id desc
           limit ${limit}
      )
        select * from audited
         union all
        select * from signed_in
      order by at desc
         limit ${limit}`
  })

  return { insert, get, list, lock, update, setState, remove, activity }
})
