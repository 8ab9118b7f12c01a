/** One-time links that let somebody in: invitations of admins, and resets of passwords. */
import type { AdminId, AdminNameTaken, AdminNotFound, NotYourself, WeakPassword } from "@broker/domain/Admin"
import type {
  AdminLinkId,
  CreatedLink,
  Invitation,
  InvitationNotFound,
  InvitationRequest,
  LinkGone,
  LinkUse,
  OpenLink
} from "@broker/domain/AdminLink"
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld } from "@broker/domain/Permission"
import type { RoleNotFound } from "@broker/domain/Role"
import { Context, type Effect, Layer, type Option } from "effect"
import type { Browser, SignInStep } from "../admin-sessions/AdminSessions.ts"
import type { Ticket } from "../admin-sessions/Ticket.ts"
import type { Authority } from "../admins/Authority.ts"
import type { Actor } from "../audit/Actor.ts"

export class AdminLinks extends Context.Service<
  AdminLinks,
  {
    /** A5: nobody invites to more than they hold. Good for seven days, once. */
    invite(
      by: Authority,
      request: InvitationRequest
    ): Effect.Effect<CreatedLink, AdminNameTaken | RoleNotFound | MoreThanHeld, Actor>
    /** Those that are still open, the newest first. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<Invitation>>
    withdraw(by: Authority, id: AdminLinkId): Effect.Effect<void, InvitationNotFound | MoreThanHeld, Actor>
    /** A way back in for somebody who forgot their password. Good for an hour, once; earlier ones end. */
    reset(by: Authority, id: AdminId): Effect.Effect<CreatedLink, AdminNotFound | MoreThanHeld | NotYourself, Actor>
    /** What a link is for. */
    look(token: Ticket): Effect.Effect<OpenLink, LinkGone>
    /** Of two at once, one wins. An invitation makes the admin; a reset ends every session (A4). A factor is asked for all the same. */
    use(use: LinkUse, browser: Browser): Effect.Effect<SignInStep, LinkGone | WeakPassword | AdminNameTaken, Actor>
    /** The invitation of that name is accepted without a password, by whoever the identity provider says has it. */
    acceptAs(name: string): Effect.Effect<Option.Option<AdminId>, never, Actor>
    /** Deletes links past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admin-links/AdminLinks") {
  static readonly layer = Layer.mock(AdminLinks)({})
}
