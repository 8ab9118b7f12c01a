/** Who is calling: each route takes one kind of credential, as a bearer. */
import type { SignedInClient } from "@broker/domain/ClientSession"
import { type Credential, UnknownCredential, WrongCredentialKind } from "@broker/domain/Credential"
import type { OrganizationId } from "@broker/domain/Organization"
import { PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { type Admission, type ServerId, ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Context } from "effect"
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"

/** A registration key that is spelled right. Whether it opens anything is decided when it is used. */
export class PresentedRegistrationKey extends Context.Service<
  PresentedRegistrationKey,
  Credential<"registrationKey">
>()("@broker/api/PresentedRegistrationKey") {}

export class RegistrationKeyAuthentication extends HttpApiMiddleware.Service<
  RegistrationKeyAuthentication,
  { provides: PresentedRegistrationKey }
>()("@broker/api/RegistrationKeyAuthentication", {
  requiredForClient: true,
  security: { registrationKey: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind, RegistrationKeyRefused]
}) {}

/** The server that a token belongs to. */
export class CurrentServer extends Context.Service<
  CurrentServer,
  { readonly id: ServerId; readonly organizationId: OrganizationId; readonly admission: Admission }
>()("@broker/api/CurrentServer") {}

export class ServerAuthentication extends HttpApiMiddleware.Service<
  ServerAuthentication,
  { provides: CurrentServer }
>()("@broker/api/ServerAuthentication", {
  requiredForClient: true,
  security: { serverToken: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind, ServerSuspended, ServerRetired]
}) {}

/** A personal key that is spelled right. Whether it is good is decided when it is used. */
export class PresentedPersonalKey extends Context.Service<PresentedPersonalKey, Credential<"personalKey">>()(
  "@broker/api/PresentedPersonalKey"
) {}

export class PersonalKeyAuthentication extends HttpApiMiddleware.Service<
  PersonalKeyAuthentication,
  { provides: PresentedPersonalKey }
>()("@broker/api/PersonalKeyAuthentication", {
  requiredForClient: true,
  security: { personalKey: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind, PersonalKeyRefused]
}) {}

/** The client that a session belongs to. */
export class CurrentClient extends Context.Service<CurrentClient, SignedInClient>()("@broker/api/CurrentClient") {}

export class ClientAuthentication extends HttpApiMiddleware.Service<
  ClientAuthentication,
  { provides: CurrentClient }
>()("@broker/api/ClientAuthentication", {
  requiredForClient: true,
  security: { clientSession: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind]
}) {}
