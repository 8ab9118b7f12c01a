/**
 * Every statement that touches `client_sessions`, and those by which a sign-in reads and writes users, personal keys and
 * devices. Nothing here decides; it only reads and writes.
 */
import { ClientSession, ClientSessionId, SessionEndReason } from "@broker/domain/ClientSession"
import { SecretDigestFromBytes } from "@broker/domain/Credential"
import { Device, DeviceId } from "@broker/domain/Device"
import { OrganizationId } from "@broker/domain/Organization"
import { PersonalKeyId } from "@broker/domain/PersonalKey"
import { PublicKeyFromBytes } from "@broker/domain/Server"
import { User, UserId, UserState } from "@broker/domain/User"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate

const Presented = Schema.Struct({
  id: PersonalKeyId,
  organizationId: OrganizationId,
  userId: UserId,
  name: Schema.String,
  digest: SecretDigestFromBytes,
  expiresAt: Schema.NullOr(Now),
  revokedAt: Schema.NullOr(Now),
  userState: UserState
})

const user = User.fields
/** The user, as their own client sees them. */
const OwnUser = Schema.Struct({ id: user.id, name: user.name, email: user.email })

const device = Device.fields
/** The device, as its own client sees it. */
const OwnDevice = Schema.Struct({
  id: device.id,
  fingerprint: device.fingerprint,
  name: device.name,
  platform: device.platform,
  publicKey: device.publicKey,
  createdAt: device.createdAt
})

const Holder = Schema.Struct({
  personalKeyId: Schema.NullOr(PersonalKeyId),
  deviceId: Schema.NullOr(DeviceId),
  userId: Schema.NullOr(UserId)
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const ownDevice = sql.literal("id, fingerprint, name, platform, public_key, created_at")

  const findKey = SqlSchema.findOneOption({
    Request: PersonalKeyId,
    Result: Presented,
    execute: (id) => sql`
      select k.id, k.organization_id, k.user_id, k.name, k.digest, k.expires_at, k.revoked_at, u.state as user_state
        from personal_keys k
        join users u on u.id = k.user_id
       where k.id = ${id}`
  })

  /**
   * Locks the user, first of all that a sign-in touches: devices are counted under it, and a suspension comes before it
   * or after. No row comes back unless the user may sign in.
   */
  const seeUser = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: UserId, now: Now }),
    Result: OwnUser,
    execute: ({ id, now }) => sql`
         update users
            set last_seen_at = greatest(last_seen_at, ${now})
          where id = ${id}
            and state = 'active'
      returning id, name, email`
  })

  /** No row comes back unless the key is good. */
  const useKey = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: PersonalKeyId, now: Now, address: Schema.NullOr(Schema.String) }),
    Result: Schema.Struct({ expiresAt: Schema.NullOr(Now) }),
    execute: ({ address, id, now }) => sql`
         update personal_keys
            set last_used_at = greatest(last_used_at, ${now}),
                last_address = ${address}
          where id = ${id}
            and revoked_at is null
            and (expires_at is null or expires_at > ${now})
      returning expires_at`
  })

  const lockDevice = SqlSchema.findOneOption({
    Request: Schema.Struct({ userId: UserId, fingerprint: Schema.String }),
    Result: Schema.Struct({
      id: DeviceId,
      name: Schema.String,
      platform: Schema.String,
      publicKey: Schema.NullOr(PublicKeyFromBytes),
      blockedAt: Schema.NullOr(Now)
    }),
    execute: ({ fingerprint, userId }) => sql`
      select id, name, platform, public_key, blocked_at
        from devices
       where user_id = ${userId}
         and fingerprint = ${fingerprint}
         for no key update`
  })

  const countDevices = SqlSchema.findOne({
    Request: UserId,
    Result: Schema.Struct({ devices: Schema.Int }),
    execute: (userId) => sql`select count(*)::int as devices from devices where user_id = ${userId}`
  })

  const insertDevice = SqlSchema.findOne({
    Request: Device.insert,
    Result: OwnDevice,
    execute: (device) => sql`insert into devices ${sql.insert(device)} returning ${ownDevice}`
  })

  /** What it says of itself anew. A public key stays once it is known. */
  const seeDevice = SqlSchema.findOne({
    Request: Schema.Struct({
      id: DeviceId,
      name: Schema.String,
      platform: Schema.String,
      publicKey: Schema.NullOr(PublicKeyFromBytes),
      address: Schema.NullOr(Schema.String),
      now: Now
    }),
    Result: OwnDevice,
    execute: ({ address, id, name, now, platform, publicKey }) => sql`
         update devices
            set name = ${name},
                platform = ${platform},
                public_key = coalesce(public_key, ${publicKey}::bytea),
                last_seen_at = greatest(last_seen_at, ${now}),
                last_address = ${address}
          where id = ${id}
      returning ${ownDevice}`
  })

  const insert = SqlSchema.void({
    Request: ClientSession.insert,
    execute: (session) => sql`insert into client_sessions ${sql.insert(session)}`
  })

  const isOpen = SqlSchema.findOne({
    Request: ClientSessionId,
    Result: Schema.Struct({ open: Schema.Boolean }),
    execute: (id) => sql`
      select exists (select from client_sessions where id = ${id} and ended_at is null) as open`
  })

  const endOne = SqlSchema.findAll({
    Request: Schema.Struct({ id: ClientSessionId, now: Now }),
    Result: Schema.Struct({ id: ClientSessionId }),
    execute: ({ id, now }) => sql`
         update client_sessions
            set ended_at = ${now},
                end_reason = 'signed_out'
          where id = ${id}
            and ended_at is null
      returning id`
  })

  /** In one order, so that two who end sessions of one user never wait for each other in a ring. */
  const endAll = SqlSchema.findAll({
    Request: Schema.Struct({ ...Holder.fields, reason: SessionEndReason, now: Now }),
    Result: Schema.Struct({ id: ClientSessionId }),
    execute: ({ deviceId, now, personalKeyId, reason, userId }) => sql`
      with open as (
        select id
          from client_sessions
         where ${sql.and([
           ...(personalKeyId === null ? [] : [sql`personal_key_id = ${personalKeyId}`]),
           ...(deviceId === null ? [] : [sql`device_id = ${deviceId}`]),
           ...(userId === null ? [] : [sql`user_id = ${userId}`]),
           sql`ended_at is null`,
           sql`expires_at > ${now}`
         ])}
         order by id
           for no key update
      )
         update client_sessions
            set ended_at = ${now},
                end_reason = ${reason}
           from open
          where client_sessions.id = open.id
      returning client_sessions.id`
  })

  const whose = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, userId: UserId }),
    Result: OwnUser,
    execute: ({ organizationId, userId }) =>
      sql`select id, name, email from users where organization_id = ${organizationId} and id = ${userId}`
  })

  const where = SqlSchema.findOneOption({
    Request: Schema.Struct({ userId: UserId, deviceId: DeviceId }),
    Result: Schema.Struct({ ...OwnDevice.fields, connectionLimit: Schema.Int }),
    execute: ({ deviceId, userId }) =>
      sql`select ${ownDevice}, connection_limit from devices where user_id = ${userId} and id = ${deviceId}`
  })

  const byWhat = SqlSchema.findOneOption({
    Request: Schema.Struct({ userId: UserId, personalKeyId: PersonalKeyId }),
    Result: Schema.Struct({ connectionLimit: Schema.Int }),
    execute: ({ personalKeyId, userId }) =>
      sql`select connection_limit from personal_keys where user_id = ${userId} and id = ${personalKeyId}`
  })

  const prune = SqlSchema.findAll({
    Request: Schema.Struct({ before: Now, limit: Schema.Int }),
    Result: Schema.Struct({ id: ClientSessionId }),
    execute: ({ before, limit }) => sql`
      delete from client_sessions
       where id in (
               select id from client_sessions where created_at < ${before} and expires_at < ${before} limit ${limit})
      returning id`
  })

  return {
    findKey,
    seeUser,
    useKey,
    lockDevice,
    countDevices,
    insertDevice,
    seeDevice,
    insert,
    isOpen,
    endOne,
    endAll,
    whose,
    where,
    byWhat,
    prune
  }
})
