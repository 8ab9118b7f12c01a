import { Api } from "@broker/api/Api"
import { CurrentApiToken, CurrentClient, CurrentReader } from "@broker/api/Authentication"
import { Connections } from "@broker/core/connections/Connections"
import { Connection, LedgerConnection } from "@broker/domain/Connection"
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { clientAddress } from "./Edge.ts"
import { asMachine, makeWrites, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const own = resource(Connection.json, Connection.json.fields)
const ledger = resource(LedgerConnection.json, LedgerConnection.json.fields)

export const ConnectionsHttp = HttpApiBuilder.group(
  Api,
  "connections",
  Effect.fn(function* (handlers) {
    const connections = yield* Connections
    const { once } = yield* makeWrites

    return handlers.handleAll({
      connect: ({ headers, payload }) =>
        Effect.flatMap(Effect.all([CurrentClient, clientAddress]), ([client, address]) =>
          connections.connect(client, payload, {
            idempotencyKey: Option.fromUndefinedOr(headers["idempotency-key"]),
            address: Option.getOrNull(address)
          })
        ),
      list: ({ query: { cursor, fields, limit, q, reason, scope, stale, status, verdict, ...of } }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          ledger.page(
            connections.list(organizationId, {
              scope: scope ?? "all",
              text: q ?? "",
              statuses: status ?? [],
              stale: stale ?? null,
              verdicts: verdict ?? [],
              reasons: reason ?? [],
              userId: of.userId ?? null,
              deviceId: of.deviceId ?? null,
              serverId: of.serverId ?? null,
              personalKeyId: of.personalKeyId ?? null,
              limit: limit ?? usualLimit,
              cursor: cursor ?? null
            }),
            fields
          )
        ),
      get: ({ headers, params, query }) => {
        const asked = { condition: headers["if-none-match"], fields: query.fields }
        return Effect.flatMap(CurrentReader, ({ client, organizationId }) =>
          client === null
            ? ledger.one(connections.find(organizationId, params.id), asked)
            : own.one(connections.get(client, params.id), asked)
        )
      },
      disconnect: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const { organizationId } = yield* CurrentApiToken
        const ended = Effect.flatMap(connections.disconnect(organizationId, id), ledger.changed)
        // Without a tag: there is nothing more to change.
        return yield* once(
          headers,
          Effect.map(ended, (answer) => ({ ...answer, headers: {} }))
        )
      }, asMachine),
      report: ({ params, payload }) =>
        Effect.flatMap(CurrentClient, (client) => connections.reportByClient(client, params.id, payload))
    })
  })
)
