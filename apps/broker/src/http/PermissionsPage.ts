/**
 * `docs/permissions.md`, written from what procedures and endpoints ask for: a test fails when the page is stale, and
 * another asks each of them as each role and compares with what the page says.
 */
import { adminRouter } from "@broker/admin-rpc/router"
import type { Meta } from "@broker/admin-rpc/trpc"
import { Api } from "@broker/api/Api"
import { FieldPermissions, RequiredPermission } from "@broker/api/Authentication"
import { isDangerous, permissionOf } from "@broker/core/bulk-acts/BulkPlan"
import { BulkAction } from "@broker/domain/BulkAct"
import { type CredentialKind, prefixes } from "@broker/domain/Credential"
import { BuiltInRole, builtInPermissions, meanings, ownersOwn, Permission } from "@broker/domain/Permission"
import { Context, Option } from "effect"
import { HttpApi, type HttpApiEndpoint, type HttpApiGroup, HttpApiMiddleware } from "effect/http-api"
import { markdownTable } from "../MarkdownTable.ts"
import { AuditExportApi } from "./AuditExportApi.ts"
import { EventsExportApi } from "./EventsExportApi.ts"
import { InventoryExportApi } from "./InventoryExportApi.ts"
import { ReportFilesApi } from "./ReportFilesApi.ts"
import { Asks, SessionsApi } from "./SessionsApi.ts"

const yes = "✓"
const no = "–"
const byAction = "by action"

/** A procedure of the dashboard, and what it asks for. */
interface Procedure {
  readonly name: string
  /** None when it forgot to say. */
  readonly meta: Meta | undefined
}

/** Every procedure there is, found by walking the router. */
const procedures: ReadonlyArray<Procedure> = Object.entries(
  // Flat at run time, whatever the types of tRPC say.
  adminRouter._def.procedures as unknown as Readonly<Record<string, { readonly _def: { readonly meta?: Meta } }>>
).map(([name, { _def }]) => ({ name, meta: _def.meta }))

/** An endpoint, and what it asks for. */
interface Endpoint {
  readonly method: string
  readonly path: string
  /** The credentials that it takes; none where it takes any request. */
  readonly credentials: ReadonlyArray<CredentialKind>
  /** What it asks of API tokens. */
  readonly permission: Permission | undefined
  /** What single fields of its body ask of them beside that. */
  readonly ofFields: Readonly<Record<string, Permission>>
}

const isCredentialKind = (key: string): key is CredentialKind => key in prefixes

interface Visited {
  readonly endpoint: HttpApiEndpoint.Top
  readonly middleware: ReadonlySet<HttpApiMiddleware.AnyService>
}

const walk = <Id extends string, Groups extends HttpApiGroup.Constraint, A>(
  api: HttpApi.HttpApi<Id, Groups>,
  visit: (visited: Visited) => A
): ReadonlyArray<A> => {
  const found: Array<A> = []
  HttpApi.reflect(api, { onGroup: () => undefined, onEndpoint: (visited) => found.push(visit(visited)) })
  return found
}

/** Every endpoint of the public API. The credentials that it takes follow from its authentication. */
export const endpoints: ReadonlyArray<Endpoint> = walk(Api, ({ endpoint, middleware }) => ({
  method: endpoint.method,
  path: endpoint.path,
  credentials: [...middleware].flatMap((key) =>
    HttpApiMiddleware.isSecurity(key) ? Object.keys(key.security).filter(isCredentialKind) : []
  ),
  permission: Option.getOrUndefined(Context.getOption(endpoint.annotations, RequiredPermission)),
  ofFields: Option.getOrElse(Context.getOption(endpoint.annotations, FieldPermissions), () => ({}))
}))

/** Every plain route of the dashboard. */
const dashboardRoute = ({ endpoint }: Visited) => ({
  method: endpoint.method,
  path: endpoint.path,
  asks: Option.getOrUndefined(Context.getOption(endpoint.annotations, Asks)),
  permission: Option.getOrUndefined(Context.getOption(endpoint.annotations, RequiredPermission))
})
export const dashboardRoutes = [
  ...walk(SessionsApi, dashboardRoute),
  ...walk(AuditExportApi, dashboardRoute),
  ...walk(EventsExportApi, dashboardRoute),
  ...walk(InventoryExportApi, dashboardRoute),
  ...walk(ReportFilesApi, dashboardRoute)
]

const roles = BuiltInRole.literals

const holders = (permission: Permission | null) =>
  roles.map((role) => (permission === null || builtInPermissions[role].has(permission) ? yes : no))

/** Who may ask for a procedure, and what that depends on where it depends on more. */
const mayAsk = (meta: Meta | undefined) => {
  if (meta === undefined) return roles.map(() => "?")
  return holders(meta.permission).map((may) => (may === yes && meta.byAction === true ? byAction : may))
}

const actions = BulkAction.members.map(({ fields }) => fields._tag.schema.literal)

const code = (text: string) => `\`${text}\``

const whoMay = {
  nothing: "anybody",
  session: "whoever is signed in",
  proof: "whoever is signed in and has confirmed who they are"
} as const

const credentialOf = (kind: CredentialKind) => code(`${prefixes[kind]}…`)

export const permissionsPage = () =>
  [
    "# Permissions",
    "",
    "Who may do what. This page is written from what procedures and endpoints ask for, and a test asks every one of them",
    "as every role and compares.",
    "",
    "- **Nobody grants more than they hold.** Neither the role that somebody has nor the one they get may hold more than",
    "  whoever gives it; the same goes for invitations, for roles that an organization makes, and for API tokens. Nobody",
    "  changes their own role, disables or resets themselves, and the last owner stays one.",
    "- **A role's change holds from the next request on**, on every node, for sessions and API tokens alike, and ends no",
    "  session. Another role, a disabled admin, a reset password or factor ends the sessions of whom it concerns.",
    "- **An API token does what its scopes say, cut to what its owner may do at that moment.** It does nothing while its",
    "  owner is disabled or has yet to enrol a second factor that the organization demands.",
    "- **What is not there and what is another organization's answer alike**: 404.",
    "- **Refused attempts are in the audit log**, with who, from where, and what for.",
    "",
    "## What roles hold",
    "",
    `Organizations make roles of their own from the same permissions, but for those that are the owners' own:`,
    `${[...ownersOwn].map(code).join(" and ")}.`,
    "",
    ...markdownTable(
      ["permission", "lets one", ...roles],
      Permission.literals.map((permission) => [code(permission), meanings[permission], ...holders(permission)])
    ),
    "",
    "## Procedures of the dashboard",
    "",
    "Without a permission, being signed in is enough: they concern one's own account. Where “confirmed” says so, who it is",
    "must have been confirmed within the last ten minutes, by a second factor or, without one, by the password.",
    "",
    ...markdownTable(
      ["procedure", "permission", "confirmed", ...roles],
      procedures.map(({ meta, name }) => [
        code(name),
        meta === undefined ? "?" : meta.permission === null ? no : code(meta.permission),
        meta?.byAction === true ? byAction : meta?.provenly === true ? yes : no,
        ...mayAsk(meta)
      ])
    ),
    "",
    "## Bulk actions",
    "",
    "Beside their own permission, the procedures of bulk actions ask for the one that the act on one server asks for: to",
    "look at it beforehand, to start it, to stop it and to undo it. Where “confirmed” says so, whoever starts it on more",
    "servers than one must have confirmed who they are.",
    "",
    ...markdownTable(
      ["action", "permission", "confirmed", ...roles],
      actions.map((action) => [
        code(action),
        code(permissionOf[action]),
        isDangerous({ _tag: action }) ? yes : no,
        ...holders(permissionOf[action])
      ])
    ),
    "",
    "## Plain routes of the dashboard",
    "",
    "They set or take the session's cookie, and answer requests from the dashboard's own pages only.",
    "",
    ...markdownTable(
      ["call", "who may", "permission"],
      dashboardRoutes.map(({ asks, method, path, permission }) => [
        code(`${method} ${path}`),
        asks === undefined ? "?" : whoMay[asks],
        permission === undefined ? no : code(permission)
      ])
    ),
    "",
    "## The public API",
    "",
    "Each call takes the credentials that are listed, and no other. A right kind at a wrong place answers 401",
    "`wrong_credential_kind`; an API token without the scope, or whose owner has not the permission, 403",
    "`permission_missing`. What admins have to confirm who they are for, machines need the scope for: it is chosen when the",
    "token is made, and nobody gives a token a scope that they do not hold. Reports and events ask beside this for the",
    "permission of what they show.",
    "",
    ...markdownTable(
      ["call", "credential", "scope of API tokens"],
      endpoints.map(({ credentials, method, path, permission }) => [
        code(`${method} ${path}`),
        credentials.length === 0 ? "?" : credentials.map(credentialOf).join(" or "),
        permission === undefined ? no : code(permission)
      ])
    ),
    "",
    ...endpoints.flatMap(({ method, ofFields, path }) =>
      Object.entries(ofFields).map(
        ([field, permission]) =>
          `\`${method} ${path}\` asks for ${code(permission)} too where its body names ${code(field)}.`
      )
    ),
    "",
    "`/healthz`, `/readyz`, `/.well-known/*`, `/docs`, `/problems/*` and the OpenAPI document ask for nothing; `/metrics` is",
    "open to the machine itself, and to whoever has its token elsewhere.",
    ""
  ].join("\n")
