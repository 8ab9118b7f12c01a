import { Api } from "@broker/api/Api"
import { CurrentServer, PresentedRegistrationKey } from "@broker/api/Authentication"
import { Actor } from "@broker/core/audit/Actor"
import { Challenges } from "@broker/core/challenges/Challenges"
import { Connections } from "@broker/core/connections/Connections"
import { Heartbeats } from "@broker/core/heartbeats/Heartbeats"
import { Registrations } from "@broker/core/servers/Registrations"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { UnknownCredential } from "@broker/domain/Credential"
import { ServerNotFound } from "@broker/domain/Server"
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { clientAddress } from "./Edge.ts"
import { requestActor } from "./RequestActor.ts"

/** Whoever holds a registration key is a stranger until it has joined. */
const asStranger = Effect.provideServiceEffect(
  Actor,
  Effect.flatMap(PresentedRegistrationKey, ({ id }) => requestActor({ kind: "stranger", id, name: "registration key" }))
)

const asServer = Effect.provideServiceEffect(
  Actor,
  Effect.flatMap(CurrentServer, ({ id }) => requestActor({ kind: "server", id, name: id }))
)

/** Servers are never deleted, so one that just showed its token is there; if not, its token is worth nothing. */
const present = <A, E, R>(effect: Effect.Effect<A, E | ServerNotFound, R>) =>
  Effect.catchIf(
    effect,
    (error): error is ServerNotFound => error instanceof ServerNotFound,
    () => new UnknownCredential()
  )

export const ServersHttp = HttpApiBuilder.group(
  Api,
  "servers",
  Effect.fn(function* (handlers) {
    const registrations = yield* Registrations
    const servers = yield* Servers
    const tokens = yield* ServerTokens
    const heartbeats = yield* Heartbeats
    const challenges = yield* Challenges
    const connections = yield* Connections

    return handlers.handleAll({
      register: ({ headers, payload }) =>
        Effect.flatMap(PresentedRegistrationKey, (key) =>
          registrations.register(key, payload, Option.fromUndefinedOr(headers["idempotency-key"]))
        ).pipe(asStranger),
      self: () =>
        Effect.flatMap(CurrentServer, ({ id, organizationId }) => servers.get(organizationId, id)).pipe(present),
      update: ({ payload }) =>
        Effect.flatMap(CurrentServer, ({ id, organizationId }) => servers.update(organizationId, id, payload)).pipe(
          present,
          asServer
        ),
      retire: () =>
        Effect.flatMap(CurrentServer, ({ id, organizationId }) =>
          servers.retire(organizationId, id, "retired by itself")
        ).pipe(present, asServer, Effect.asVoid),
      heartbeat: Effect.fnUntraced(function* ({ payload }) {
        const server = yield* CurrentServer
        const address = Option.getOrNull(yield* clientAddress)
        return yield* heartbeats.beat({ ...server, address }, payload)
      }),
      answerChallenge: ({ params, payload }) =>
        Effect.flatMap(CurrentServer, (server) => challenges.answer(server, params.id, payload.signature)).pipe(
          asServer
        ),
      rotateToken: () =>
        Effect.flatMap(CurrentServer, ({ id }) => Effect.map(tokens.rotate(id), (token) => ({ token }))),
      rotateKey: ({ payload }) =>
        Effect.flatMap(CurrentServer, ({ id, organizationId }) => servers.rotateKey(organizationId, id, payload)).pipe(
          present,
          asServer
        ),
      reportConnection: ({ params, payload }) =>
        Effect.flatMap(CurrentServer, (server) => connections.reportByServer(server, params.id, payload))
    })
  })
)
