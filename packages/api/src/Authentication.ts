/** Who is calling: each route takes one kind of credential, as a bearer. */
import type { AdminId } from "@broker/domain/Admin"
import type { ApiTokenId } from "@broker/domain/ApiToken"
import type { SignedInClient } from "@broker/domain/ClientSession"
import { type Credential, UnknownCredential, WrongCredentialKind } from "@broker/domain/Credential"
import type { OrganizationId } from "@broker/domain/Organization"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import { PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { type Admission, type ServerId, ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Context } from "effect"
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "effect/http-api"

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

/** The permission that an endpoint asks of API tokens. What takes them names one, or answers none. */
export class RequiredPermission extends Context.Service<RequiredPermission, Permission>()(
  "@broker/api/RequiredPermission"
) {}

/** The permissions that single fields of a body ask of API tokens, beside the endpoint's. */
export class FieldPermissions extends Context.Service<FieldPermissions, Readonly<Record<string, Permission>>>()(
  "@broker/api/FieldPermissions"
) {}

const isToken = (requirement: unknown) =>
  typeof requirement === "object" && requirement !== null && "apiToken" in requirement

/** Names the permission, and those that single fields ask for beside it, to the broker and in the document. */
export const requires = (permission: Permission, ofFields: Readonly<Record<string, Permission>> = {}) =>
  Context.merge(
    Context.make(RequiredPermission, permission).pipe(Context.add(FieldPermissions, ofFields)),
    OpenApi.annotations({
      transform: ({ security, ...operation }) => ({
        ...operation,
        security: Array.isArray(security)
          ? security.map((requirement) => (isToken(requirement) ? { apiToken: [permission] } : requirement))
          : security
      })
    })
  )

/** The machine that an API token belongs to, with what it may do right now. */
export class CurrentApiToken extends Context.Service<
  CurrentApiToken,
  {
    readonly tokenId: ApiTokenId
    readonly name: string
    readonly organizationId: OrganizationId
    /** Whose token it is. */
    readonly id: AdminId
    readonly permissions: ReadonlySet<Permission>
  }
>()("@broker/api/CurrentApiToken") {}

export class ApiTokenAuthentication extends HttpApiMiddleware.Service<
  ApiTokenAuthentication,
  { provides: CurrentApiToken }
>()("@broker/api/ApiTokenAuthentication", {
  requiredForClient: true,
  security: { apiToken: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind, PermissionMissing]
}) {}

/** Whoever reads what both may: a client by its session, or a machine by its API token. */
export class CurrentReader extends Context.Service<
  CurrentReader,
  | {
      readonly organizationId: OrganizationId
      readonly client: SignedInClient
      readonly machine: null
    }
  | {
      readonly organizationId: OrganizationId
      readonly client: null
      readonly machine: typeof CurrentApiToken.Service
    }
>()("@broker/api/CurrentReader") {}

export class ReaderAuthentication extends HttpApiMiddleware.Service<
  ReaderAuthentication,
  { provides: CurrentReader }
>()("@broker/api/ReaderAuthentication", {
  requiredForClient: true,
  security: { clientSession: HttpApiSecurity.bearer, apiToken: HttpApiSecurity.bearer },
  error: [UnknownCredential, WrongCredentialKind, PermissionMissing]
}) {}
