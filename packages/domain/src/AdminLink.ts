/** One-time links: an invitation to become an admin, or a way back in for one who forgot their password. */
import { Schema } from "effect"
import { AdminName, NewPassword } from "./Admin.ts"
import { Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { RoleId } from "./Role.ts"

export const AdminLinkId = Uuid.pipe(Schema.brand("AdminLinkId"))
export type AdminLinkId = typeof AdminLinkId.Type

export const AdminLinkKind = Schema.Literals(["invitation", "reset"])

/** An invitation that is open: nobody used it yet. */
export const Invitation = Schema.Struct({
  id: AdminLinkId,
  name: AdminName,
  role: RoleId,
  roleName: Schema.String,
  invitedBy: Schema.String,
  createdAt: Schema.DateTimeUtcFromString,
  expiresAt: Schema.DateTimeUtcFromString
})
export type Invitation = typeof Invitation.Type

/** Whom to invite. The name is what they will sign in by; with single sign-on, their e-mail address. */
export const InvitationRequest = Schema.Struct({ name: AdminName, role: RoleId })
export type InvitationRequest = typeof InvitationRequest.Type

/** The link as shown to whoever made it, once. */
export const CreatedLink = Schema.Struct({
  id: AdminLinkId,
  url: Schema.RedactedFromValue(Schema.String, { label: "link" }),
  expiresAt: Schema.DateTimeUtcFromString
})
export type CreatedLink = typeof CreatedLink.Type

const token = Schema.RedactedFromValue(Text(128), { label: "link" })

/** Asks what a link is for, before it is used. */
export const LinkToken = Schema.Struct({ token })
export const OpenLink = Schema.Struct({
  kind: AdminLinkKind,
  name: AdminName,
  organization: Schema.String,
  roleName: Schema.String,
  expiresAt: Schema.DateTimeUtcFromString
})
export type OpenLink = typeof OpenLink.Type

/** Uses a link: the password is set, and whoever set it is signed in. */
export const LinkUse = Schema.Struct({ token, password: NewPassword })
export type LinkUse = typeof LinkUse.Type

export class LinkGone extends Problem<LinkGone>()("LinkGone", {
  code: "link_gone",
  status: 410,
  title: "Link no longer valid",
  detail: "The link was used, withdrawn, is too old, or never was one.",
  remedy: "Ask whoever sent it for a new one."
}) {}

export class InvitationNotFound extends Problem<InvitationNotFound>()("InvitationNotFound", {
  code: "invitation_not_found",
  status: 404,
  title: "Invitation not found",
  detail: "There is no such invitation that is still open.",
  remedy: "It may have been used already."
}) {}
