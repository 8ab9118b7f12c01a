/** Every statement that touches `api_tokens`. Nothing here decides; it only reads and writes. */
import { AdminId } from "@broker/domain/Admin"
import { ApiToken, ApiTokenId, ApiTokenState } from "@broker/domain/ApiToken"
import { SecretDigestFromBytes } from "@broker/domain/Credential"
import { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import * as StandingSql from "../admins/StandingSql.ts"

const Now = Schema.DateTimeUtcFromDate

const One = Schema.Struct({ organizationId: OrganizationId, id: ApiTokenId })

const { digest: _, idle: __, organizationId: ___, scopes: ____, ...shown } = ApiToken.fields

/** A token as admins see it, before its scopes are held against what its owner may do. */
const Row = Schema.Struct({
  ...shown,
  organizationId: OrganizationId,
  digest: SecretDigestFromBytes,
  scopes: Schema.Array(Schema.String),
  state: ApiTokenState,
  ...StandingSql.fields
})
export type Row = typeof Row.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const select = (now: Date) => sql`
       select t.id, t.organization_id, t.owner_id, a.name as owner_name, t.name, t.digest, t.hint, t.scopes,
              t.networks::text[] as networks, t.created_at, t.expires_at, t.last_used_at,
              host(t.last_address) as last_address, t.revoked_at,
              case when t.revoked_at is not null then 'revoked'
                   when t.expires_at <= ${now} then 'expired'
                   else 'active'
              end as state,
              ${StandingSql.columns(sql)}
         from api_tokens t
         join admins a on a.id = t.owner_id
         join memberships m on m.admin_id = t.owner_id and m.organization_id = t.organization_id
    left join roles r on r.id = m.custom_role_id
    left join security_policies p on p.organization_id = t.organization_id`

  const insert = SqlSchema.void({
    Request: ApiToken.insert,
    execute: (token) => sql`
      insert into api_tokens
        (id, organization_id, owner_id, name, digest, hint, scopes, networks, created_at, expires_at)
      values
        (${token.id}, ${token.organizationId}, ${token.ownerId}, ${token.name}, ${token.digest}, ${token.hint},
         ${token.scopes}::text[], ${token.networks}::text[]::cidr[], ${token.createdAt}, ${token.expiresAt})`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: Row,
    execute: ({ id, now, organizationId }) =>
      sql`${select(now)} where t.organization_id = ${organizationId} and t.id = ${id}`
  })

  /** Whatever organization it is of: the secret tells. */
  const find = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: ApiTokenId, now: Now }),
    Result: Row,
    execute: ({ id, now }) => sql`${select(now)} where t.id = ${id} and t.revoked_at is null`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, ownerId: Schema.NullOr(AdminId), now: Now }),
    Result: Row,
    execute: ({ now, organizationId, ownerId }) => sql`
      ${select(now)}
         where ${sql.and([
           sql`t.organization_id = ${organizationId}`,
           ...(ownerId === null ? [] : [sql`t.owner_id = ${ownerId}`])
         ])}
      order by t.id desc`
  })

  /** No row comes back when it is revoked already. */
  const revoke = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, ownerId: Schema.NullOr(AdminId), now: Now }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, now, organizationId, ownerId }) => sql`
         update api_tokens
            set revoked_at = ${now}
          where ${sql.and([
            sql`organization_id = ${organizationId}`,
            sql`id = ${id}`,
            sql`revoked_at is null`,
            ...(ownerId === null ? [] : [sql`owner_id = ${ownerId}`])
          ])}
      returning name`
  })

  const touch = SqlSchema.void({
    Request: Schema.Struct({ id: ApiTokenId, now: Now, address: Schema.NullOr(Schema.String) }),
    execute: ({ address, id, now }) => sql`
      update api_tokens
         set last_used_at = greatest(last_used_at, ${now}),
             last_address = ${address}::text::inet
       where id = ${id}`
  })

  /** Tokens that are good, and have one of these scopes. */
  const countWith = SqlSchema.findOne({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      ownerId: AdminId,
      scopes: Schema.Array(Permission),
      now: Now
    }),
    Result: Schema.Struct({ tokens: Schema.Int }),
    execute: ({ now, organizationId, ownerId, scopes }) => sql`
      select count(*)::int as tokens
        from api_tokens
       where organization_id = ${organizationId}
         and owner_id = ${ownerId}
         and revoked_at is null
         and expires_at > ${now}
         and scopes && ${scopes}::text[]`
  })

  return { insert, get, find, list, revoke, touch, countWith }
})
