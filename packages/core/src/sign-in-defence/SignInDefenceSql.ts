/** Every statement that touches `sign_in_failures`. Nothing here decides; it only counts and reads. */
import { OrganizationId } from "@broker/domain/Organization"
import { SignInSubject } from "@broker/domain/SignInFailure"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate

const Wait = Schema.Struct({ failures: Schema.Int, nextAt: Now })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** A network of 64 bits is one subscriber's: in IPv6 it counts as one address. */
  const ofAddress = SqlSchema.findOne({
    Request: Schema.Struct({ realm: Schema.String, address: Schema.String }),
    Result: Schema.Struct({ subject: Schema.String }),
    execute: ({ address, realm }) => sql`
      select ${realm}::text || ':' || case family(given) when 6 then network(set_masklen(given, 64))::text else host(given) end as subject
        from (select ${address}::text::inet as given) as one`
  })

  const waiting = SqlSchema.findOneOption({
    Request: Schema.Struct({ subject: Schema.String, now: Now }),
    Result: Wait,
    execute: ({ now, subject }) => sql`
      select failures, next_at from sign_in_failures where subject = ${subject} and next_at > ${now}`
  })

  const Count = Schema.Struct({
    subject: Schema.String,
    now: Now,
    forgotten: Now,
    free: Schema.Int,
    longest: Schema.DurationFromMillis
  })

  /** How long the next try waits after so many failures. */
  const next = (forgotten: Date, free: number, longest: number) => sql`
    case
      when known.last_at <= ${forgotten} or known.failures + 1 < ${free}::int then interval '0'
      else make_interval(secs => least(
        ${longest / 1_000}::float8,
        power(2::float8, least(known.failures + 1 - ${free}::int, 30))))
    end`

  /** One statement, so that every failure counts, however many come at once, on whichever nodes. */
  const count = SqlSchema.findOne({
    Request: Count,
    Result: Wait,
    execute: ({ forgotten, free, longest, now, subject }) => sql`
      insert into sign_in_failures as known (subject, failures, last_at, next_at)
      values (${subject}, 1, ${now}, ${now})
      on conflict (subject) do update
         set failures = case when known.last_at <= ${forgotten} then 1 else known.failures + 1 end,
             last_at = excluded.last_at,
             next_at = excluded.last_at + ${next(forgotten, free, longest)}
      returning failures, next_at`
  })

  /**
   * Counts a try before it is made, as if it had failed: of any number at once, no more are tried than the count lets
   * through. No row comes back where one has to wait.
   */
  const attempt = SqlSchema.findOneOption({
    Request: Count,
    Result: Wait,
    execute: ({ forgotten, free, longest, now, subject }) => sql`
      insert into sign_in_failures as known (subject, failures, last_at, next_at)
      values (${subject}, 1, ${now}, ${now})
      on conflict (subject) do update
         set failures = case when known.last_at <= ${forgotten} then 1 else known.failures + 1 end,
             last_at = excluded.last_at,
             next_at = excluded.last_at + ${next(forgotten, free, longest)}
       where known.next_at <= ${now}
      returning failures, next_at`
  })

  /** Takes back what a try was counted for. */
  const release = SqlSchema.void({
    Request: Schema.Struct({ subject: Schema.String, now: Now }),
    execute: ({ now, subject }) => sql`
      with last as (
        delete from sign_in_failures where subject = ${subject} and failures = 1
      )
      update sign_in_failures
         set failures = failures - 1, next_at = ${now}
       where subject = ${subject}
         and failures > 1`
  })

  const forget = SqlSchema.void({
    Request: Schema.String,
    execute: (subject) => sql`delete from sign_in_failures where subject = ${subject}`
  })

  /** Who a subject is to an organization. Addresses and names that nobody has are nobody's. */
  const subjects = sql.literal(`
    select f.subject as id,
           split_part(f.subject, ':', 1) as prefix,
           coalesce(a.name, k.name || ' (' || u.name || ')', substring(f.subject from '^(?:address|dashboard):(.*)$')) as subject,
           f.failures, f.last_at, f.next_at,
           coalesce(m.organization_id, k.organization_id) as organization_id
      from sign_in_failures f
      left join admins a on a.id::text = substring(f.subject from '^(?:admin|browser:[0-9a-f]+):(.*)$')
      left join memberships m on m.admin_id = a.id
      left join personal_keys k on f.subject = 'key:' || k.id
      left join users u on u.id = k.user_id`)

  const mine = (organizationId: string) =>
    sql`(organization_id = ${organizationId} or organization_id is null and prefix in ('address', 'dashboard', 'name'))`

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, forgotten: Now, limit: Schema.Int }),
    Result: Schema.Struct({
      id: Schema.String,
      kind: SignInSubject,
      subject: Schema.NullOr(Schema.String),
      failures: Schema.Int,
      lastAt: Now,
      nextAt: Now
    }),
    execute: ({ forgotten, limit, organizationId }) => sql`
      select id, subject, failures, last_at, next_at,
             case prefix when 'key' then 'personal-key' when 'browser' then 'admin' when 'dashboard' then 'address' else prefix end as kind
        from (${subjects}) as known
       where ${mine(organizationId)}
         and last_at > ${forgotten}
       order by next_at desc, last_at desc, id
       limit ${limit}`
  })

  const lift = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: Schema.String }),
    Result: Schema.Struct({ subject: Schema.NullOr(Schema.String), failures: Schema.Int }),
    execute: ({ id, organizationId }) => sql`
      with lifted as (
        select id, subject from (${subjects}) as known where id = ${id} and ${mine(organizationId)} limit 1
      )
      delete from sign_in_failures
       using lifted
       where sign_in_failures.subject = lifted.id
   returning lifted.subject, sign_in_failures.failures`
  })

  const prune = SqlSchema.findAll({
    Request: Schema.Struct({ forgotten: Now, limit: Schema.Int }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ forgotten, limit }) => sql`
      delete from sign_in_failures
       where subject in (select subject from sign_in_failures where last_at <= ${forgotten} limit ${limit})
   returning 1 as gone`
  })

  return { ofAddress, waiting, count, attempt, release, forget, list, lift, prune }
})
