/** Reads the bearer of a request: the kind by its prefix, typos by their checksum, and only then who it is. */
import {
  ClientAuthentication,
  CurrentClient,
  CurrentServer,
  PersonalKeyAuthentication,
  PresentedPersonalKey,
  PresentedRegistrationKey,
  RegistrationKeyAuthentication,
  ServerAuthentication
} from "@broker/api/Authentication"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { Cuts } from "@broker/core/connections/Cuts"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import {
  type Credential,
  type CredentialKind,
  claimedKind,
  parse,
  type Secret,
  UnknownCredential,
  WrongCredentialKind
} from "@broker/domain/Credential"
import { PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Effect, Layer, Option } from "effect"

const isKind = <Kind extends CredentialKind>(credential: Credential, kind: Kind): credential is Credential<Kind> =>
  credential.kind === kind

/** A text that claims to be of that kind, by its prefix. */
const claimed = Effect.fnUntraced(function* (secret: Secret, kind: CredentialKind) {
  const claim = claimedKind(secret)
  if (claim === undefined) return yield* new UnknownCredential()
  if (claim !== kind) return yield* new WrongCredentialKind()
  return secret
})

/** A credential of that kind, spelled right; nothing is looked up. `misspelled` is what a typo is answered with. */
const bearer = Effect.fnUntraced(function* <Kind extends CredentialKind, E>(
  secret: Secret,
  kind: Kind,
  misspelled: () => E
) {
  const credential = Option.getOrUndefined(parse(yield* claimed(secret, kind)))
  return credential !== undefined && isKind(credential, kind) ? credential : yield* Effect.fail(misspelled())
})

const registrationKey = Layer.succeed(
  RegistrationKeyAuthentication,
  RegistrationKeyAuthentication.of({
    registrationKey: (httpEffect, { credential }) =>
      Effect.flatMap(
        bearer(credential, "registrationKey", () => new RegistrationKeyRefused()),
        (key) => Effect.provideService(httpEffect, PresentedRegistrationKey, key)
      )
  })
)

const server = Layer.effect(
  ServerAuthentication,
  Effect.gen(function* () {
    const tokens = yield* ServerTokens
    const cuts = yield* Cuts

    return ServerAuthentication.of({
      serverToken: Effect.fnUntraced(function* (httpEffect, { credential }) {
        const token = yield* bearer(credential, "serverToken", () => new UnknownCredential())
        const holder = yield* tokens.authenticate(token)
        if (holder.admission === "suspended" || holder.admission === "retired") {
          // It hears so in place of the orders that its heartbeats would have carried (C6).
          yield* cuts.confirmAll(holder.id)
          return yield* holder.admission === "suspended" ? new ServerSuspended() : new ServerRetired()
        }
        return yield* Effect.provideService(httpEffect, CurrentServer, holder)
      })
    })
  })
)

const personalKey = Layer.succeed(
  PersonalKeyAuthentication,
  PersonalKeyAuthentication.of({
    personalKey: (httpEffect, { credential }) =>
      Effect.flatMap(
        bearer(credential, "personalKey", () => new PersonalKeyRefused()),
        (key) => Effect.provideService(httpEffect, PresentedPersonalKey, key)
      )
  })
)

const client = Layer.effect(
  ClientAuthentication,
  Effect.gen(function* () {
    const sessions = yield* ClientSessions

    return ClientAuthentication.of({
      // A signature takes the place of the checksum.
      clientSession: (httpEffect, { credential }) =>
        Effect.flatMap(Effect.flatMap(claimed(credential, "clientSession"), sessions.authenticate), (client) =>
          Effect.provideService(httpEffect, CurrentClient, client)
        )
    })
  })
)

export const layer = Layer.mergeAll(registrationKey, server, personalKey, client)
