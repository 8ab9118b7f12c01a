/** The people who sign in to the dashboard. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant, isWellFormedText, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { RoleId } from "./Role.ts"

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

/** One row of `admins`. The password hash is read by the statement that checks it, and by nothing else. */
export class Admin extends Model.Class<Admin>("Admin")({
  id: Model.UuidV7Insert(AdminId),
  name: AdminName,
  createdAt: Instant,
  lastSignInAt: MaybeInstant
}) {}

export const AdminState = Schema.Literals(["active", "disabled"])
export type AdminState = typeof AdminState.Type

/** What an admin has enrolled beside a password. */
export const Factors = Schema.Struct({
  totp: Schema.Boolean,
  passkeys: Count,
  /** Recovery codes that are left. */
  recoveryCodes: Count
}).annotate({ title: "Factors" })
export type Factors = typeof Factors.Type

/** A member of an organization, as other admins see them. */
export const ListedAdmin = Schema.Struct({
  id: AdminId,
  name: AdminName,
  role: RoleId,
  roleName: Schema.String,
  state: AdminState,
  factors: Factors,
  /** Whether they ever signed in through the identity provider. */
  singleSignOn: Schema.Boolean,
  /** Sessions that are open. */
  sessions: Count,
  createdAt: Schema.DateTimeUtcFromString,
  lastSignInAt: Schema.NullOr(Schema.DateTimeUtcFromString)
}).annotate({ title: "ListedAdmin" })
export type ListedAdmin = typeof ListedAdmin.Type

/** An admin at work in one organization. */
export const SignedIn = Schema.Struct({
  id: AdminId,
  name: AdminName,
  organizationId: OrganizationId,
  role: RoleId,
  roleName: Schema.String
})
export type SignedIn = typeof SignedIn.Type

/** What the form of the first run sends (A1). */
export const SetupRequest = Schema.Struct({
  token: Schema.RedactedFromValue(Text(128)),
  name: AdminName,
  password: NewPassword
})
export type SetupRequest = typeof SetupRequest.Type

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

/** The password is too easily guessed, or among those that are known to everybody. */
export class WeakPassword extends Problem<WeakPassword>()(
  "WeakPassword",
  {
    code: "weak_password",
    status: 422,
    title: "Password too weak",
    detail: "The password is too easy to guess.",
    remedy: "Take several words that have nothing to do with each other, or let a password manager make one."
  },
  { advice: Schema.Array(Schema.String) }
) {}

/** The current password, asked for once more, is wrong. */
export class WrongPassword extends Problem<WrongPassword>()("WrongPassword", {
  code: "wrong_password",
  status: 422,
  title: "Wrong password",
  detail: "That is not your current password.",
  remedy: "Try again; if you forgot it, ask an owner for a reset link."
}) {}

export class AdminNotFound extends Problem<AdminNotFound>()("AdminNotFound", {
  code: "admin_not_found",
  status: 404,
  title: "Admin not found",
  detail: "There is no such admin.",
  remedy: "Check the id."
}) {}

/** A2: the last owner can't be demoted, disabled or locked out. */
export class LastOwner extends Problem<LastOwner>()("LastOwner", {
  code: "last_owner",
  status: 409,
  title: "Last owner",
  detail: "This is the only owner who can sign in.",
  remedy: "Make somebody else an owner first."
}) {}

/** What is for others to do: nobody changes their own role, disables or resets themselves. */
export class NotYourself extends Problem<NotYourself>()("NotYourself", {
  code: "not_yourself",
  status: 409,
  title: "Not yourself",
  detail: "Nobody can do this to themselves.",
  remedy: "Ask another owner."
}) {}
