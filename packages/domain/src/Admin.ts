/** The people who sign in to the dashboard. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Instant, isWellFormedText, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const AdminId = Uuid.pipe(Schema.brand("AdminId"))
export type AdminId = typeof AdminId.Type

/** What an admin signs in by; an e-mail address will do. Compared like server names. */
export const AdminName = Text(128)
  .check(
    Schema.isTrimmed(),
    Schema.isBetweenLength(2, 64, { message: "must be 2 to 64 characters" }),
    Schema.isPattern(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, { message: "must not hold control characters" })
  )
  .pipe(Schema.brand("AdminName"))
export type AdminName = typeof AdminName.Type

/** A password to set. Judged by its length, not by its kinds of characters. */
export const NewPassword = Schema.RedactedFromValue(
  Schema.String.check(Schema.isBetweenLength(12, 256, { message: "must be 12 to 256 characters" }), isWellFormedText),
  { label: "password" }
)
export type NewPassword = typeof NewPassword.Type

/** A password to check. */
export const Password = Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(256)), { label: "password" })
export type Password = typeof Password.Type

export const Role = Schema.Literals(["owner", "admin", "operator", "auditor", "viewer"])
export type Role = typeof Role.Type

/** What a procedure asks of whoever calls it: `noun:verb`. */
export const Permission = Schema.Literals([
  "overview:read",
  "servers:read",
  "servers:approve",
  "servers:suspend",
  "servers:drain",
  "servers:verify",
  "servers:retire",
  "servers:limit",
  "registration-keys:read",
  "registration-keys:create",
  "registration-keys:revoke",
  "users:read",
  "users:create",
  "users:update",
  "users:suspend",
  "users:delete",
  "personal-keys:create",
  "personal-keys:revoke",
  "devices:block",
  "connections:read",
  "connections:disconnect",
  "analytics:read"
])
export type Permission = typeof Permission.Type

const reading = Permission.literals.filter((permission) => permission.endsWith(":read"))
const operating: ReadonlyArray<Permission> = [
  ...reading,
  "servers:drain",
  "servers:verify",
  "servers:approve",
  "devices:block",
  "connections:disconnect"
]

/** What each role may do. */
export const permissions: Record<Role, ReadonlySet<Permission>> = {
  owner: new Set(Permission.literals),
  admin: new Set(Permission.literals),
  operator: new Set(operating),
  auditor: new Set(reading),
  viewer: new Set(reading)
}

/** One row of `admins`. The password hash is read by the statement that checks it, and by nothing else. */
export class Admin extends Model.Class<Admin>("Admin")({
  id: Model.UuidV7Insert(AdminId),
  name: AdminName,
  createdAt: Instant,
  lastSignInAt: MaybeInstant
}) {}

/** An admin at work in one organization. */
export const SignedIn = Schema.Struct({
  id: AdminId,
  name: AdminName,
  organizationId: OrganizationId,
  role: Role
})
export type SignedIn = typeof SignedIn.Type

/** What the form of the first run sends (A1). */
export const SetupRequest = Schema.Struct({
  token: Schema.RedactedFromValue(Text(128)),
  name: AdminName,
  password: NewPassword
})
export type SetupRequest = typeof SetupRequest.Type

/** What the sign-in form sends. */
export const SignInRequest = Schema.Struct({ name: Text(128), password: Password })
export type SignInRequest = typeof SignInRequest.Type

/** One text for a wrong name and a wrong password. */
export class SignInRefused extends Problem<SignInRefused>()("SignInRefused", {
  code: "sign_in_refused",
  status: 401,
  title: "Sign-in refused",
  detail: "The name or the password is wrong.",
  remedy: "Check both and try again."
}) {}

export class NotSignedIn extends Problem<NotSignedIn>()("NotSignedIn", {
  code: "not_signed_in",
  status: 401,
  title: "Not signed in",
  detail: "The session is over, or there is none.",
  remedy: "Sign in."
}) {}

export class PermissionMissing extends Problem<PermissionMissing>()(
  "PermissionMissing",
  {
    code: "permission_missing",
    status: 403,
    title: "Permission missing",
    detail: "Your role does not allow this.",
    remedy: "Ask an owner for a role that has the permission."
  },
  { permission: Permission }
) {}

export class SetupClosed extends Problem<SetupClosed>()("SetupClosed", {
  code: "setup_closed",
  status: 409,
  title: "Setup is closed",
  detail: "The first admin exists already, or the link is not the broker's.",
  remedy: "Sign in. If no admin exists yet, use the newest link that the broker printed, or `broker admin create`."
}) {}

export class AdminNameTaken extends Problem<AdminNameTaken>()("AdminNameTaken", {
  code: "admin_name_taken",
  status: 409,
  title: "Name taken",
  detail: "Another admin has this name.",
  remedy: "Choose another name."
}) {}

/** A request from another site that came with the admin's cookie. */
export class CrossSiteRequest extends Problem<CrossSiteRequest>()("CrossSiteRequest", {
  code: "cross_site_request",
  status: 403,
  title: "Cross-site request refused",
  detail: "The request comes from another site.",
  remedy: "Open the dashboard at the broker's own address. Behind a proxy, set PUBLIC_URL to the address people use."
}) {}
