/** What admins read and write of `devices`; a sign-in has statements of its own. Nothing here decides. */
import { Device, DeviceId } from "@broker/domain/Device"
import { OrganizationId } from "@broker/domain/Organization"
import { UserId } from "@broker/domain/User"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const One = Schema.Struct({ organizationId: OrganizationId, id: DeviceId })

const OfUser = Schema.Struct({ organizationId: OrganizationId, userId: UserId })

const Name = Schema.Struct({ name: Schema.String })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const columns = sql`
    d.id, d.organization_id, d.user_id, d.fingerprint, d.name, d.platform, d.public_key, d.connection_limit,
    d.created_at, d.last_seen_at, host(d.last_address) as last_address, d.blocked_at, d.blocked_reason,
    (select count(*)::int from connections c
      where c.device_id = d.id and c.status in ('intent', 'active')) as live_connections`

  const findUser = SqlSchema.findOne({
    Request: OfUser,
    Result: Schema.Struct({ id: UserId }),
    execute: ({ organizationId, userId }) =>
      sql`select id from users where organization_id = ${organizationId} and id = ${userId}`
  })

  const list = SqlSchema.findAll({
    Request: OfUser,
    Result: Device,
    execute: ({ organizationId, userId }) => sql`
        select ${columns}
          from devices d
         where d.organization_id = ${organizationId}
           and d.user_id = ${userId}
      order by d.last_seen_at desc, d.id desc`
  })

  const get = SqlSchema.findOne({
    Request: One,
    Result: Device,
    execute: ({ id, organizationId }) =>
      sql`select ${columns} from devices d where d.organization_id = ${organizationId} and d.id = ${id}`
  })

  /** No row comes back when it is blocked already. */
  const block = SqlSchema.findOneOption({
    Request: Schema.Struct({
      ...One.fields,
      reason: Schema.NullOr(Schema.String),
      now: Schema.DateTimeUtcFromDate
    }),
    Result: Name,
    execute: ({ id, now, organizationId, reason }) => sql`
         update devices
            set blocked_at = ${now},
                blocked_reason = ${reason}
          where organization_id = ${organizationId}
            and id = ${id}
            and blocked_at is null
      returning name`
  })

  /** No row comes back when it is not blocked. */
  const unblock = SqlSchema.findOneOption({
    Request: One,
    Result: Name,
    execute: ({ id, organizationId }) => sql`
         update devices
            set blocked_at = null,
                blocked_reason = null
          where organization_id = ${organizationId}
            and id = ${id}
            and blocked_at is not null
      returning name`
  })

  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ name: Schema.String, platform: Schema.String }),
    execute: ({ id, organizationId }) => sql`
      select name, platform from devices where organization_id = ${organizationId} and id = ${id} for update`
  })

  const remove = SqlSchema.void({
    Request: One,
    execute: ({ id, organizationId }) =>
      sql`delete from devices where organization_id = ${organizationId} and id = ${id}`
  })

  return { findUser, list, get, block, unblock, lock, remove }
})
