import { Admins } from "@broker/core/admins/Admins"
import { Actor } from "@broker/core/audit/Actor"
import { Effect, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { requestActor } from "./RequestActor.ts"
import * as SessionCookie from "./SessionCookie.ts"
import { SessionsApi } from "./SessionsApi.ts"

/** Nobody is signed in yet; whose name it was, if anybody's, stands in the details of the entry. */
const asStranger = Effect.provideServiceEffect(Actor, requestActor({ kind: "stranger", id: null, name: "browser" }))

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
