/** Reads the bearer of a request: the kind by its prefix, typos by their checksum, and only then who it is. */
import {
  CurrentServer,
  PresentedRegistrationKey,
  RegistrationKeyAuthentication,
  ServerAuthentication
} from "@broker/api/Authentication"
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
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Effect, Layer, Option } from "effect"

const isKind = <Kind extends CredentialKind>(credential: Credential, kind: Kind): credential is Credential<Kind> =>
  credential.kind === kind

/** A credential of that kind, spelled right; nothing is looked up. `misspelled` is what a typo is answered with. */
const bearer = <Kind extends CredentialKind, E>(secret: Secret, kind: Kind, misspelled: () => E) =>
  Effect.suspend((): Effect.Effect<Credential<Kind>, E | UnknownCredential | WrongCredentialKind> => {
    const claimed = claimedKind(secret)
    if (claimed === undefined) return Effect.fail(new UnknownCredential())
    if (claimed !== kind) return Effect.fail(new WrongCredentialKind())
    const credential = Option.getOrUndefined(parse(secret))
    return credential !== undefined && isKind(credential, kind) ? Effect.succeed(credential) : Effect.fail(misspelled())
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

    return ServerAuthentication.of({
      serverToken: Effect.fnUntraced(function* (httpEffect, { credential }) {
        const token = yield* bearer(credential, "serverToken", () => new UnknownCredential())
        const holder = yield* tokens.authenticate(token)
        if (holder.admission === "suspended") return yield* new ServerSuspended()
        if (holder.admission === "retired") return yield* new ServerRetired()
        return yield* Effect.provideService(httpEffect, CurrentServer, holder)
      })
    })
  })
)

export const layer = Layer.mergeAll(registrationKey, server)
