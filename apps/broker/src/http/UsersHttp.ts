import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Devices } from "@broker/core/devices/Devices"
import { Holds } from "@broker/core/Holds"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Users } from "@broker/core/users/Users"
import { PersonalKey, type PersonalKeyId } from "@broker/domain/PersonalKey"
import { ListedUser, type UserId } from "@broker/domain/User"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { device } from "./DevicesHttp.ts"
import { asMachine, gone, made, makeWrites, pageOf, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const user = resource(ListedUser.json, ListedUser.json.fields, ["lastSeenAt", "keys", "devices", "liveConnections"])
const personalKey = resource(PersonalKey.json, PersonalKey.json.fields, [
  "lastUsedAt",
  "lastAddress",
  "liveConnections"
])

export const UsersHttp = HttpApiBuilder.group(
  Api,
  "users",
  Effect.fn(function* (handlers) {
    const users = yield* Users
    const keys = yield* PersonalKeys
    const devices = yield* Devices
    const holds = yield* Holds
    const { guarded, once } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: UserId) {
      const { organizationId } = yield* CurrentApiToken
      return { organizationId, of: user, hold: holds.user(organizationId, id), read: users.get(organizationId, id) }
    })

    return handlers.handleAll({
      list: ({ query: { cursor, fields, limit, q, sort, state } }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          user.page(
            users.list(organizationId, {
              text: q ?? "",
              states: state ?? [],
              sort: sort ?? "name",
              limit: limit ?? usualLimit,
              cursor: cursor ?? null
            }),
            fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          user.one(users.get(organizationId, params.id), { condition: headers["if-none-match"], fields: query.fields })
        ),
      personalKeys: ({ params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          personalKey.page(
            pageOf(keys.list(organizationId, params.id), query, ({ id }) => id),
            query.fields
          )
        ),
      devices: ({ params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          device.page(
            pageOf(devices.list(organizationId, params.id), query, ({ id }) => id),
            query.fields
          )
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const { organizationId } = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const created = yield* users.create(organizationId, { email: null, note: "", ...payload })
            return made(`/api/v1/users/${created.id}`)(yield* user.changed(created))
          })
        )
      }, asMachine),
      update: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(users.update(on.organizationId, id, payload), user.changed))
      }, asMachine),
      suspend: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        const suspended = users.suspend(on.organizationId, id, payload.reason ?? "")
        return yield* guarded(headers, on, Effect.flatMap(suspended, user.changed))
      }, asMachine),
      resume: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(users.resume(on.organizationId, id), user.changed))
      }, asMachine),
      delete: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(users.delete(on.organizationId, id), gone))
      }, asMachine),
      createPersonalKey: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const { organizationId } = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const { key, ...created } = yield* keys.create(organizationId, {
              expiresInSeconds: null,
              connectionLimit: null,
              ...payload,
              userId: id
            })
            return made(`/api/v1/personal-keys/${created.id}`)(yield* personalKey.changed(created, { key }))
          })
        )
      }, asMachine)
    })
  })
)

export const PersonalKeysHttp = HttpApiBuilder.group(
  Api,
  "personalKeys",
  Effect.fn(function* (handlers) {
    const keys = yield* PersonalKeys
    const holds = yield* Holds
    const { guarded } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: PersonalKeyId) {
      const { organizationId } = yield* CurrentApiToken
      return {
        organizationId,
        of: personalKey,
        hold: holds.personalKey(organizationId, id),
        read: keys.get(organizationId, id)
      }
    })

    return handlers.handleAll({
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          personalKey.one(keys.get(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      rotate: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(
          headers,
          on,
          Effect.gen(function* () {
            const { key, ...successor } = yield* keys.rotate(on.organizationId, { id, ...payload })
            return made(`/api/v1/personal-keys/${successor.id}`)(yield* personalKey.changed(successor, { key }))
          })
        )
      }, asMachine),
      revoke: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        const revoked = keys.revoke(on.organizationId, id, payload.reason ?? "")
        return yield* guarded(headers, on, Effect.flatMap(revoked, personalKey.changed))
      }, asMachine)
    })
  })
)
