import { Api } from "@broker/api/Api"
import { CurrentClient } from "@broker/api/Authentication"
import { Connections } from "@broker/core/connections/Connections"
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { clientAddress } from "./Edge.ts"

export const ConnectionsHttp = HttpApiBuilder.group(
  Api,
  "connections",
  Effect.fn(function* (handlers) {
    const connections = yield* Connections

    return handlers.handleAll({
      connect: ({ headers, payload }) =>
        Effect.flatMap(Effect.all([CurrentClient, clientAddress]), ([client, address]) =>
          connections.connect(client, payload, {
            idempotencyKey: Option.fromUndefinedOr(headers["idempotency-key"]),
            address: Option.getOrNull(address)
          })
        ),
      get: ({ params }) => Effect.flatMap(CurrentClient, (client) => connections.get(client, params.id)),
      report: ({ params, payload }) =>
        Effect.flatMap(CurrentClient, (client) => connections.reportByClient(client, params.id, payload))
    })
  })
)
