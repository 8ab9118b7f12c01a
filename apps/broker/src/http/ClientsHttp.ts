import { Api } from "@broker/api/Api"
import { CurrentClient, PresentedPersonalKey } from "@broker/api/Authentication"
import { Actor } from "@broker/core/audit/Actor"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requestActor } from "./RequestActor.ts"

/** Whoever holds a personal key is a stranger until it has signed in. */
const asStranger = Effect.provideServiceEffect(
  Actor,
  Effect.flatMap(PresentedPersonalKey, ({ id }) => requestActor({ kind: "stranger", id, name: "personal key" }))
)

export const ClientsHttp = HttpApiBuilder.group(
  Api,
  "clients",
  Effect.fn(function* (handlers) {
    const sessions = yield* ClientSessions

    return handlers.handleAll({
      signIn: ({ payload }) =>
        Effect.flatMap(PresentedPersonalKey, (key) => sessions.signIn(key, payload)).pipe(asStranger),
      signOut: () => Effect.flatMap(CurrentClient, sessions.signOut),
      me: () => Effect.flatMap(CurrentClient, sessions.me)
    })
  })
)
