/** The people who connect: each owns personal keys and devices. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant, MaybeInstant, Page, PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { isVisible } from "./Server.ts"

export const UserId = Uuid.pipe(Schema.brand("UserId"))
export type UserId = typeof UserId.Type

/** What people call them. Two users may share a name. */
export const UserName = Schema.String.check(
  Schema.isTrimmed(),
  Schema.isBetweenLength(1, 128, { message: "must be 1 to 128 characters" }),
  isVisible
).pipe(Schema.brand("UserName"))
export type UserName = typeof UserName.Type

/** Unique in its organization, whatever its case. Nothing is sent to it yet. */
export const Email = Text(254).check(
  Schema.isPattern(/^[^\s@]+@[^\s@.]+(\.[^\s@.]+)*$/u, { message: "must be an e-mail address" })
)

/** A suspended user can't sign in or connect, until an admin lets them again. */
export const UserState = Schema.Literals(["active", "suspended"])
export type UserState = typeof UserState.Type

const Note = Text(2_000)

/** One row of `users`. */
export class User extends Model.Class<User>("User")({
  id: Model.UuidV7Insert(UserId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  name: UserName,
  nameKey: Model.FieldOnly(["insert"])(Schema.String),
  email: Schema.NullOr(Email),
  note: Note,
  state: UserState,
  /** Why, where an admin said so. */
  stateReason: Model.FieldExcept(["insert"])(Schema.NullOr(Schema.String)),
  stateSince: Instant,
  createdAt: Instant,
  /** When one of their devices last signed in. */
  lastSeenAt: MaybeInstant
}) {}

/** A user as lists show them. */
export class ListedUser extends Model.Class<ListedUser>("ListedUser")({
  ...Model.fields(User),
  /** Keys that can still be used. */
  keys: Count,
  devices: Count,
  /** Intents and active connections. */
  liveConnections: Count
}) {}

/** What an admin says of a new user. */
export const UserRequest = Schema.Struct({ name: UserName, email: Schema.NullOr(Email), note: Note })
export type UserRequest = typeof UserRequest.Type

/** What is left out stays. */
export const UserPatch = Schema.Struct({
  name: Schema.optionalKey(UserName),
  email: Schema.optionalKey(Schema.NullOr(Email)),
  note: Schema.optionalKey(Note)
})
export type UserPatch = typeof UserPatch.Type

export const UserSort = Schema.Literals(["name", "-name", "lastSeen", "-lastSeen", "created", "-created"])
export type UserSort = typeof UserSort.Type

export const UsersQuery = Schema.Struct({
  /** Part of a name or an e-mail address, or the whole of an id. */
  text: Text(128),
  states: Schema.Array(UserState),
  sort: UserSort,
  limit: PageLimit,
  cursor: Schema.NullOr(Text(1_024))
})
export type UsersQuery = typeof UsersQuery.Type

export const UsersPage = Page(ListedUser.json)

/** What happened around a user: an admin's act on them, their keys or devices, or a sign-in. */
export const UserActivity = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  /** `noun:verb`; `clients:sign-in` for a sign-in. */
  action: Schema.String,
  outcome: Schema.Literals(["done", "refused"]),
  /** The admin, or the device that signed in. */
  by: Schema.String,
  address: Schema.NullOr(Schema.String),
  /** What it was about, such as the key's name. */
  subject: Schema.NullOr(Schema.String),
  details: Schema.Record(Schema.String, Schema.Unknown)
})
export type UserActivity = typeof UserActivity.Type

export class UserNotFound extends Problem<UserNotFound>()("UserNotFound", {
  code: "user_not_found",
  status: 404,
  title: "User not found",
  detail: "There is no such user.",
  remedy: "Check the id."
}) {}

export class EmailTaken extends Problem<EmailTaken>()("EmailTaken", {
  code: "email_taken",
  status: 409,
  title: "E-mail address taken",
  detail: "Another user of the organization has this e-mail address.",
  remedy: "Use another address, or the user who has it."
}) {}

/** A suspended user gets no new keys. */
export class UserSuspended extends Problem<UserSuspended>()("UserSuspended", {
  code: "user_suspended",
  status: 409,
  title: "User suspended",
  detail: "The user is suspended.",
  remedy: "Let the user connect again first."
}) {}
