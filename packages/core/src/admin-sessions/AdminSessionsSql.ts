/** Every statement that touches `admin_sessions` and `known_browsers`. */
import { AdminId, AdminName } from "@broker/domain/Admin"
import { AdminSessionId, SignInMethod } from "@broker/domain/AdminSession"
import { OrganizationId } from "@broker/domain/Organization"
import { RoleId } from "@broker/domain/Role"
import { usual } from "@broker/domain/SecurityPolicy"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate
const Digest = Schema.Uint8Array

/** Who may be let in by a name, and with what. */
const Candidate = Schema.Struct({
  id: AdminId,
  name: AdminName,
  organizationId: OrganizationId,
  passwordHash: Schema.NullOr(Schema.String)
})

const Enrolled = Schema.Struct({ totp: Schema.Boolean, passkeys: Schema.Int, recoveryCodes: Schema.Int })

/** A session as it is looked up, with what its holder may do and has enrolled right now. */
const FoundSession = Schema.Struct({
  sessionId: AdminSessionId,
  id: AdminId,
  name: AdminName,
  organizationId: OrganizationId,
  role: RoleId,
  roleName: Schema.NullOr(Schema.String),
  customPermissions: Schema.NullOr(Schema.Array(Schema.String)),
  method: SignInMethod,
  factor: Schema.Boolean,
  ...Enrolled.fields,
  requireFactor: Schema.Boolean,
  idleSeconds: Schema.Int,
  provenAt: Now,
  lastUsedAt: Now,
  expiresAt: Now
})
export type FoundSession = typeof FoundSession.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const enrolled = sql.literal(`
    a.totp_confirmed_at is not null as totp,
    (select count(*)::int from passkeys k where k.admin_id = a.id) as passkeys,
    (select count(*)::int from recovery_codes c where c.admin_id = a.id and c.used_at is null) as recovery_codes`)

  /** Admins who are disabled everywhere are as good as unknown. */
  /** As the policy of now has it, whenever it began. */
  const until = sql.literal(`
    least(s.expires_at, s.created_at + make_interval(secs =>
      coalesce(p.session_lifetime_seconds, ${usual.sessionLifetimeSeconds})))`)

  const findByName = SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Candidate,
    execute: (nameKey) => sql`
        select a.id, a.name, a.password_hash, m.organization_id
          from admins a
          join memberships m on m.admin_id = a.id and m.disabled_at is null
         where a.name_key = ${nameKey}
      order by m.created_at
         limit 1`
  })

  const factorsOf = SqlSchema.findOne({
    Request: AdminId,
    Result: Schema.Struct({ name: AdminName, organizationId: Schema.NullOr(OrganizationId), ...Enrolled.fields }),
    execute: (id) => sql`
      select a.name, m.organization_id, ${enrolled}
        from admins a
        left join lateral (
               select organization_id from memberships
                where admin_id = a.id and disabled_at is null order by created_at limit 1) m on true
       where a.id = ${id}`
  })

  /** What has to hold still when a session opens. Held, so that it stays so until the transaction ends. */
  const hold = SqlSchema.findOne({
    Request: AdminId,
    Result: Schema.Struct({ name: AdminName, passwordHash: Schema.NullOr(Schema.String) }),
    execute: (id) => sql`select name, password_hash from admins where id = ${id} for no key update`
  })

  const passwordOf = SqlSchema.findOne({
    Request: AdminId,
    Result: Schema.Struct({ passwordHash: Schema.NullOr(Schema.String) }),
    execute: (id) => sql`select password_hash from admins where id = ${id}`
  })

  /** For as long as the policy of its organization says. */
  const insert = SqlSchema.findOne({
    Request: Schema.Struct({
      digest: Digest,
      adminId: AdminId,
      method: SignInMethod,
      factor: Schema.Boolean,
      now: Now,
      address: Schema.NullOr(Schema.String),
      userAgent: Schema.NullOr(Schema.String)
    }),
    Result: Schema.Struct({ expiresAt: Now }),
    execute: ({ address, adminId, digest, factor, method, now, userAgent }) => sql`
      with seen as (
        update admins set last_sign_in_at = ${now} where id = ${adminId}
      ), home as (
        select m.organization_id,
               coalesce(p.session_lifetime_seconds, ${usual.sessionLifetimeSeconds}::int) as lifetime
          from memberships m
          left join security_policies p using (organization_id)
         where m.admin_id = ${adminId}
           and m.disabled_at is null
         order by m.created_at
         limit 1
      )
      insert into admin_sessions
        (digest, admin_id, organization_id, method, factor, proven_at, created_at, last_used_at, expires_at, address, user_agent)
      select ${digest}, ${adminId}, organization_id, ${method}, ${factor}, ${now}, ${now}, ${now},
             ${now}::timestamptz + make_interval(secs => lifetime), ${address}::text::inet, ${userAgent}
        from home
      returning expires_at`
  })

  /** Who holds a session that is not over, where they work, and what they may do there. */
  const find = SqlSchema.findOneOption({
    Request: Schema.Struct({ digest: Digest, now: Now }),
    Result: FoundSession,
    execute: ({ digest, now }) => sql`
      select s.id as session_id, s.method, s.factor, s.last_used_at, ${until} as expires_at, coalesce(s.proven_at, s.created_at) as proven_at,
             a.id, a.name, m.organization_id, coalesce(r.id::text, m.role) as role, r.name as role_name,
             r.permissions as custom_permissions,
             coalesce(p.require_factor, ${usual.requireFactor}::boolean) as require_factor,
             coalesce(p.session_idle_seconds, ${usual.sessionIdleSeconds}::int) as idle_seconds,
             ${enrolled}
        from admin_sessions s
        join admins a on a.id = s.admin_id
        join lateral (
               select organization_id, role, custom_role_id
                 from memberships
                where admin_id = a.id
                  and disabled_at is null
                  -- A broker of the release before leaves it open.
                  and (s.organization_id is null or organization_id = s.organization_id)
                order by created_at
                limit 1) m on true
        left join roles r on r.id = m.custom_role_id
        left join security_policies p on p.organization_id = m.organization_id
       where s.digest = ${digest}
         and ${until} > ${now}`
  })

  const touch = SqlSchema.void({
    Request: Schema.Struct({ id: AdminSessionId, now: Now }),
    execute: ({ id, now }) => sql`
      update admin_sessions set last_used_at = greatest(last_used_at, ${now}) where id = ${id}`
  })

  const renew = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: AdminSessionId, digest: Digest, factor: Schema.Boolean, now: Now }),
    Result: Schema.Struct({ expiresAt: Now }),
    execute: ({ digest, factor, id, now }) => sql`
         update admin_sessions
            set digest = ${digest},
                factor = factor or ${factor},
                proven_at = ${now},
                last_used_at = ${now}
          where id = ${id}
      returning expires_at`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ adminId: AdminId, organizationId: OrganizationId, now: Now }),
    Result: Schema.Struct({
      id: AdminSessionId,
      method: SignInMethod,
      factor: Schema.Boolean,
      address: Schema.NullOr(Schema.String),
      userAgent: Schema.NullOr(Schema.String),
      createdAt: Now,
      lastUsedAt: Now,
      expiresAt: Now
    }),
    execute: ({ adminId, now, organizationId }) => sql`
        select s.id, s.method, s.factor, host(s.address) as address, s.user_agent, s.created_at, s.last_used_at, ${until} as expires_at
          from admin_sessions s
          left join security_policies p on p.organization_id = ${organizationId}
         where s.admin_id = ${adminId}
           and ${until} > ${now}
           and s.last_used_at > ${now}::timestamptz
               - make_interval(secs => coalesce(p.session_idle_seconds, ${usual.sessionIdleSeconds}::int))
      order by s.last_used_at desc, s.id`
  })

  /** With whatever has begun by what the admin proved before: half a sign-in is not left behind. */
  const end = SqlSchema.findAll({
    Request: Schema.Struct({ adminId: AdminId, except: Schema.NullOr(AdminSessionId) }),
    Result: Schema.Struct({ id: AdminSessionId }),
    execute: ({ adminId, except }) => sql`
      with begun as (
        delete from admin_ceremonies where admin_id = ${adminId}
      )
      delete from admin_sessions
       where admin_id = ${adminId}
         and id is distinct from ${except}::uuid
   returning id`
  })

  const endOne = SqlSchema.findAll({
    Request: Schema.Struct({ adminId: AdminId, id: AdminSessionId }),
    Result: Schema.Struct({ id: AdminSessionId }),
    execute: ({ adminId, id }) => sql`
      delete from admin_sessions where admin_id = ${adminId} and id = ${id} returning id`
  })

  const signOut = SqlSchema.findOneOption({
    Request: Digest,
    Result: Schema.Struct({ adminId: AdminId, name: AdminName, organizationId: Schema.NullOr(OrganizationId) }),
    execute: (digest) => sql`
      delete from admin_sessions s
       using admins a
       where s.digest = ${digest}
         and a.id = s.admin_id
   returning s.admin_id, a.name, s.organization_id`
  })

  const isKnownBrowser = SqlSchema.findOne({
    Request: Schema.Struct({ digest: Digest, adminId: AdminId }),
    Result: Schema.Struct({ known: Schema.Boolean }),
    execute: ({ adminId, digest }) => sql`
      select exists (select from known_browsers where digest = ${digest} and admin_id = ${adminId}) as known`
  })

  /** An admin has so many browsers at most: of more, the one that was used longest ago is forgotten. */
  const knowBrowser = SqlSchema.void({
    Request: Schema.Struct({ digest: Digest, adminId: AdminId, now: Now, limit: Schema.Int }),
    execute: ({ adminId, digest, limit, now }) => sql`
      with forgotten as (
        delete from known_browsers
         where (digest, admin_id) in (
                 select digest, admin_id from known_browsers
                  where admin_id = ${adminId} and digest <> ${digest}
                  order by last_used_at desc offset ${limit - 1}::int)
      )
      insert into known_browsers (digest, admin_id, created_at, last_used_at)
      values (${digest}, ${adminId}, ${now}, ${now})
      on conflict (digest, admin_id) do update set last_used_at = excluded.last_used_at`
  })

  const prune = SqlSchema.findOne({
    Request: Schema.Struct({ now: Now, unused: Now }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ now, unused }) => sql`
      with sessions as (
        delete from admin_sessions s
         using admin_sessions other
          left join security_policies p on p.organization_id = other.organization_id
         where other.digest = s.digest
           and (${until} <= ${now}
             or s.last_used_at <= ${now}::timestamptz
                - make_interval(secs => coalesce(p.session_idle_seconds, ${usual.sessionIdleSeconds}::int)))
        returning 1
      ), browsers as (
        delete from known_browsers where last_used_at <= ${unused} returning 1
      )
      select ((select count(*) from sessions) + (select count(*) from browsers))::int as gone`
  })

  return {
    findByName,
    factorsOf,
    hold,
    passwordOf,
    insert,
    find,
    touch,
    renew,
    list,
    end,
    endOne,
    signOut,
    isKnownBrowser,
    knowBrowser,
    prune
  }
})
