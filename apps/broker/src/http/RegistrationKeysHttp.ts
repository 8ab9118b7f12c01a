import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Holds } from "@broker/core/Holds"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { RegistrationKey } from "@broker/domain/RegistrationKey"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { asMachine, made, makeWrites, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const registrationKey = resource(RegistrationKey.json, RegistrationKey.json.fields, ["uses", "state"])

export const RegistrationKeysHttp = HttpApiBuilder.group(
  Api,
  "registrationKeys",
  Effect.fn(function* (handlers) {
    const keys = yield* RegistrationKeys
    const holds = yield* Holds
    const { guarded, once } = yield* makeWrites

    return handlers.handleAll({
      list: ({ query: { cursor, fields, limit, state } }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          registrationKey.page(
            keys.list(organizationId, { states: state ?? [], limit: limit ?? usualLimit, cursor: cursor ?? null }),
            fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          registrationKey.one(keys.get(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const { organizationId } = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const { key, ...created } = yield* keys.create(organizationId, {
              useLimit: 1,
              tags: [],
              approval: false,
              replacesServerId: null,
              ...payload
            })
            return made(`/api/v1/registration-keys/${created.id}`)(yield* registrationKey.changed(created, { key }))
          })
        )
      }, asMachine),
      revoke: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const { organizationId } = yield* CurrentApiToken
        const on = {
          of: registrationKey,
          hold: holds.registrationKey(organizationId, id),
          read: keys.get(organizationId, id)
        }
        return yield* guarded(headers, on, Effect.flatMap(keys.revoke(organizationId, id), registrationKey.changed))
      }, asMachine)
    })
  })
)
