import { Admins } from "@broker/core/admins/Admins"
import { Actor } from "@broker/core/audit/Actor"
import { Effect, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { clientAddress, RequestId } from "./Edge.ts"
import * as SessionCookie from "./SessionCookie.ts"
import { SessionsApi } from "./SessionsApi.ts"

/** Nobody is signed in yet; the name of whoever tries stands in the details of the entry. */
const asStranger = Effect.provideServiceEffect(
  Actor,
  Effect.gen(function* () {
    const address = Option.getOrNull(yield* clientAddress)
    return Actor.of({ kind: "stranger", id: null, name: "browser", address, requestId: yield* RequestId })
  })
)

const userAgent = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => headers["user-agent"] ?? null)

export const SessionsHttp = HttpApiBuilder.group(
  SessionsApi,
  "sessions",
  Effect.fn(function* (handlers) {
    const admins = yield* Admins

    return handlers.handleAll({
      signIn: ({ payload }) =>
        Effect.andThen(SessionCookie.sameSite, userAgent).pipe(
          Effect.flatMap((agent) => admins.signIn(payload, agent)),
          Effect.flatMap(SessionCookie.given),
          asStranger
        ),
      signOut: () =>
        Effect.andThen(SessionCookie.sameSite, SessionCookie.read).pipe(
          Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: admins.signOut })),
          Effect.andThen(SessionCookie.taken)
        ),
      setupState: () => Effect.map(admins.isSetupOpen, (open) => ({ open })),
      setup: ({ payload }) =>
        Effect.andThen(SessionCookie.sameSite, userAgent).pipe(
          Effect.flatMap((agent) => admins.setup(payload, agent)),
          Effect.flatMap(SessionCookie.given),
          asStranger
        )
    })
  })
)
