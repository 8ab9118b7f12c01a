/** Reads the bearer of a request: the kind by its prefix, typos by their checksum, and only then who it is. */
import {
  ApiTokenAuthentication,
  ClientAuthentication,
  CurrentApiToken,
  CurrentClient,
  CurrentReader,
  CurrentServer,
  FieldPermissions,
  PersonalKeyAuthentication,
  PresentedPersonalKey,
  PresentedRegistrationKey,
  ReaderAuthentication,
  RegistrationKeyAuthentication,
  RequiredPermission,
  ServerAuthentication
} from "@broker/api/Authentication"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
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
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import { PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Context, Effect, Layer, Option } from "effect"
import type { HttpServerResponse } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import { clientAddress } from "./Edge.ts"
import * as RateLimiting from "./RateLimiting.ts"
import { requestActor } from "./RequestActor.ts"

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
    const within = yield* RateLimiting.makeWithin

    return ServerAuthentication.of({
      serverToken: Effect.fnUntraced(function* (httpEffect, { credential, endpoint }) {
        const token = yield* bearer(credential, "serverToken", () => new UnknownCredential())
        const holder = yield* tokens.authenticate(token)
        if (holder.admission === "suspended" || holder.admission === "retired") {
          // It hears so in place of the orders that its heartbeats would have carried (C6).
          yield* cuts.confirmAll(holder.id)
          return yield* holder.admission === "suspended" ? new ServerSuspended() : new ServerRetired()
        }
        return yield* within(endpoint, holder.id, Effect.provideService(httpEffect, CurrentServer, holder))
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
    const within = yield* RateLimiting.makeWithin

    return ClientAuthentication.of({
      // A signature takes the place of the checksum.
      clientSession: (httpEffect, { credential, endpoint }) =>
        claimed(credential, "clientSession").pipe(
          Effect.flatMap(sessions.authenticate),
          Effect.flatMap((client) =>
            within(endpoint, client.personalKeyId, Effect.provideService(httpEffect, CurrentClient, client))
          )
        )
    })
  })
)

/** Goes on where a machine has a permission. Refused attempts are in the audit log too (A6). */
const makePermitted = Effect.map(Audit, (audit) =>
  Effect.fnUntraced(function* (
    { name, organizationId, permissions, tokenId }: typeof CurrentApiToken.Service,
    endpoint: HttpApiEndpoint.Top,
    permission: Permission
  ) {
    if (permissions.has(permission)) return
    yield* audit
      .record({
        organizationId,
        action: permission,
        subjectKind: "endpoint",
        subjectId: null,
        outcome: "refused",
        details: { endpoint: `${endpoint.method} ${endpoint.path}`, token: name }
      })
      .pipe(Effect.provideServiceEffect(Actor, requestActor({ kind: "api-token", id: tokenId, name })))
    return yield* new PermissionMissing({ permission })
  })
)

/** Goes on where a machine has the permissions that the fields of its body ask for. */
export const makePermittedFields = Effect.map(makePermitted, (permitted) =>
  Effect.fnUntraced(function* (endpoint: HttpApiEndpoint.Top, body: object) {
    const token = yield* CurrentApiToken
    const ofFields = Context.getUnsafe(endpoint.annotations, FieldPermissions)
    for (const [field, permission] of Object.entries(ofFields)) {
      if (Object.hasOwn(body, field)) yield* permitted(token, endpoint, permission)
    }
  })
)

/** A machine that may do what the endpoint asks for. */
const makeMachine = Effect.gen(function* () {
  const tokens = yield* ApiTokens
  const permitted = yield* makePermitted
  const within = yield* RateLimiting.makeWithin

  return Effect.fnUntraced(function* <E, R>(
    secret: Secret,
    endpoint: HttpApiEndpoint.Top,
    call: (token: typeof CurrentApiToken.Service) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ) {
    const credential = yield* bearer(secret, "apiToken", () => new UnknownCredential())
    const token = yield* tokens.authenticate(credential, Option.getOrNull(yield* clientAddress))
    const permission = Context.getUnsafe(endpoint.annotations, RequiredPermission)
    return yield* within(endpoint, token.tokenId, Effect.andThen(permitted(token, endpoint, permission), call(token)))
  })
})

const apiToken = Layer.effect(
  ApiTokenAuthentication,
  Effect.gen(function* () {
    const machine = yield* makeMachine

    return ApiTokenAuthentication.of({
      apiToken: (httpEffect, { credential, endpoint }) =>
        machine(credential, endpoint, (token) => Effect.provideService(httpEffect, CurrentApiToken, token))
    })
  })
)

const reader = Layer.effect(
  ReaderAuthentication,
  Effect.gen(function* () {
    const machine = yield* makeMachine
    const sessions = yield* ClientSessions
    const within = yield* RateLimiting.makeWithin

    // They are tried in this order, and what the last one answers counts: it answers for sessions too.
    return ReaderAuthentication.of({
      clientSession: (httpEffect, { credential, endpoint }) =>
        claimed(credential, "clientSession").pipe(
          Effect.flatMap(sessions.authenticate),
          Effect.flatMap((client) =>
            within(
              endpoint,
              client.personalKeyId,
              Effect.provideService(httpEffect, CurrentReader, {
                organizationId: client.organizationId,
                client,
                machine: null
              })
            )
          )
        ),
      apiToken: (httpEffect, { credential, endpoint }) =>
        claimedKind(credential) === "clientSession"
          ? Effect.fail(new UnknownCredential())
          : machine(credential, endpoint, (token) =>
              Effect.provideService(httpEffect, CurrentReader, {
                organizationId: token.organizationId,
                client: null,
                machine: token
              })
            )
    })
  })
)

export const layer = Layer.mergeAll(registrationKey, server, personalKey, client, apiToken, reader)
