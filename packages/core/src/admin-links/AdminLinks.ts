/** One-time links that let somebody in: invitations of admins, and resets of passwords. */
import { AdminId, AdminNameTaken, AdminNotFound, NotYourself, type WeakPassword } from "@broker/domain/Admin"
import {
  AdminLinkId,
  type CreatedLink,
  type Invitation,
  InvitationNotFound,
  type InvitationRequest,
  LinkGone,
  type LinkUse,
  type OpenLink
} from "@broker/domain/AdminLink"
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld, Permission } from "@broker/domain/Permission"
import { isBuiltIn, type RoleNotFound } from "@broker/domain/Role"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import type { SchemaError } from "effect/Schema"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { AdminSessions, type Browser, type SignInStep } from "../admin-sessions/AdminSessions.ts"
import * as Ticket from "../admin-sessions/Ticket.ts"
import { type Authority, within } from "../admins/Authority.ts"
import { PasswordStrength } from "../admins/PasswordStrength.ts"
import { Passwords } from "../admins/Passwords.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Installation } from "../Installation.ts"
import { givenBy } from "../roles/permissionsOf.ts"
import { Roles } from "../roles/Roles.ts"
import * as AdminLinksSql from "./AdminLinksSql.ts"

type Link = AdminLinksSql.Link

/** How long a link is good. A reset goes to somebody who waits for it. */
const lifetimes = { invitation: Duration.days(7), reset: Duration.hours(1) }

/** What whoever made a link has to hold for as long as it is open (A5). */
const neededFor = {
  invitation: "admins:invite",
  reset: "admins:reset"
} as const satisfies Record<Link["kind"], Permission>

const roleIdOf = ({ customRoleId, role }: Link) => customRoleId ?? role
const roleNameOf = ({ role, roleName }: Link) => roleName ?? role

export class AdminLinks extends Context.Service<
  AdminLinks,
  {
    /** A5: nobody invites to more than they hold. Good for seven days, once; an earlier one of that name ends. */
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
    look(token: Ticket.Ticket): Effect.Effect<OpenLink, LinkGone>
    /** Of two at once, one wins. An invitation makes the admin; a reset ends every session (A4). A factor is asked for all the same. */
    use(use: LinkUse, browser: Browser): Effect.Effect<SignInStep, LinkGone | WeakPassword | AdminNameTaken, Actor>
    /** The invitation of that name is accepted without a password, by whoever the identity provider says has it. */
    acceptAs(name: string): Effect.Effect<Option.Option<AdminId>, never, Actor>
    /** Deletes links past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admin-links/AdminLinks") {
  static readonly layerNoDeps = Layer.effect(
    AdminLinks,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AdminLinksSql.make
      const standing = yield* StandingSql.make
      const { audience } = yield* Installation
      const passwords = yield* Passwords
      const strength = yield* PasswordStrength
      const sessions = yield* AdminSessions
      const roles = yield* Roles
      const secrets = yield* Secrets
      const audit = yield* Audit

      const invitationEntry = (link: Pick<Link, "id" | "organizationId">) =>
        ({ organizationId: link.organizationId, subjectKind: "invitation", subjectId: link.id }) as const

      /** The secret is behind the `#`: browsers send it to nobody, so it stands in no log. */
      const write = Effect.fnUntraced(function* (
        by: Authority,
        link: Pick<Link, "kind" | "name" | "adminId" | "customRoleId"> & { readonly role: Link["role"] | null }
      ) {
        const { name: createdBy } = yield* Actor
        const id = AdminLinkId.make(yield* secrets.id)
        const ticket = yield* Ticket.mint(secrets)
        const createdAt = yield* DateTime.now
        const expiresAt = DateTime.addDuration(createdAt, lifetimes[link.kind])
        yield* statements.insert({
          ...link,
          id,
          organizationId: by.organizationId,
          digest: Ticket.digestOf(ticket),
          nameKey: nameKey(link.name),
          createdBy,
          createdById: by.id,
          createdAt,
          expiresAt
        })
        const url = Redacted.make(`${audience}/link#${Redacted.value(ticket)}`, { label: "link" })
        return { id, url, expiresAt } satisfies CreatedLink
      })

      /** Takes an invitation back. A5: not by whoever could not have given it. */
      const end = Effect.fnUntraced(function* (held: Authority, link: Link) {
        yield* within(held, givenBy(link.role, link.ownPermissions))
        yield* statements.withdraw({ id: link.id, now: yield* DateTime.now })
        yield* audit.record({
          ...invitationEntry(link),
          action: "invitations:withdraw",
          details: { name: link.name, role: roleNameOf(link) }
        })
      })

      const invite = Effect.fn("AdminLinks.invite")(
        function* (by: Authority, request: InvitationRequest) {
          const { organizationId } = by
          yield* standing.hold(organizationId)
          const held = yield* standing.remaining(by)
          yield* within(held, yield* roles.given(organizationId, request.role))
          const key = nameKey(request.name)
          if ((yield* statements.isTaken(key)).taken) return yield* new AdminNameTaken()
          const now = yield* DateTime.now
          const earlier = yield* statements.invitationsOf({ organizationId, nameKey: key, now })
          yield* Effect.forEach(earlier, (link) => end(held, link), { discard: true })
          const role = isBuiltIn(request.role)
            ? { role: request.role, customRoleId: null }
            : { role: "viewer" as const, customRoleId: request.role }
          const created = yield* write(by, { kind: "invitation", name: request.name, adminId: null, ...role })
          const { name: roleName } = yield* roles.get(organizationId, request.role)
          yield* audit.record({
            ...invitationEntry({ id: created.id, organizationId }),
            action: "admins:invite",
            details: { name: request.name, role: roleName, expiresAt: DateTime.formatIso(created.expiresAt) }
          })
          return created
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("AdminLinks.list")(function* (organizationId: OrganizationId) {
        const links = yield* statements.list({ organizationId, now: yield* DateTime.now })
        return links.map((link) => ({
          id: link.id,
          name: link.name,
          role: roleIdOf(link),
          roleName: roleNameOf(link),
          invitedBy: link.createdBy,
          createdAt: link.createdAt,
          expiresAt: link.expiresAt
        }))
      }, Effect.orDie)

      const withdraw = Effect.fn("AdminLinks.withdraw")(
        function* (by: Authority, id: AdminLinkId) {
          const { organizationId } = by
          yield* standing.hold(organizationId)
          const link = yield* statements.invitation({ organizationId, id, now: yield* DateTime.now })
          if (Option.isNone(link)) return yield* new InvitationNotFound()
          yield* end(yield* standing.remaining(by), link.value)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const reset = Effect.fn("AdminLinks.reset")(
        function* (by: Authority, id: AdminId) {
          const { organizationId } = by
          if (by.id === id) return yield* new NotYourself()
          yield* standing.hold(organizationId)
          const member = yield* statements.member({ organizationId, id })
          if (Option.isNone(member)) return yield* new AdminNotFound()
          const { name, ownPermissions, role } = member.value
          yield* within(yield* standing.remaining(by), givenBy(role, ownPermissions))
          yield* statements.withdrawResets({ adminId: id, now: yield* DateTime.now })
          const created = yield* write(by, { kind: "reset", name, adminId: id, role: null, customRoleId: null })
          yield* audit.record({
            organizationId,
            action: "admins:reset-password",
            subjectKind: "admin",
            subjectId: id,
            details: { name, expiresAt: DateTime.formatIso(created.expiresAt) }
          })
          return created
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** A5: a link is worth what whoever made it may still do. What was taken from them, it does not give. */
      const isGood = Effect.fnUntraced(function* (link: Link) {
        if (link.createdById === null) return true
        const maker = yield* standing.find({ organizationId: link.organizationId, id: link.createdById })
        if (Option.isNone(maker)) return false
        const allowed: ReadonlySet<string> = StandingSql.allowed(maker.value)
        const needed = [neededFor[link.kind], ...givenBy(link.role, link.ownPermissions)]
        return needed.every((permission) => allowed.has(permission))
      })

      const find = Effect.fnUntraced(function* (token: Ticket.Ticket) {
        const link = yield* statements.find({ digest: Ticket.digestOf(token), now: yield* DateTime.now })
        if (Option.isNone(link) || !(yield* isGood(link.value))) return yield* new LinkGone()
        return link.value
      })

      const look = Effect.fn("AdminLinks.look")(
        function* (token: Ticket.Ticket) {
          const link = yield* find(token)
          return {
            kind: link.kind,
            name: link.name,
            organization: link.organizationName,
            roleName: roleNameOf(link),
            expiresAt: link.expiresAt
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Makes the admin that an invitation is for. */
      const accept = Effect.fnUntraced(function* (link: Link, passwordHash: string | null) {
        const { name } = link
        const id = AdminId.make(yield* secrets.id)
        yield* statements
          .insertAdmin({
            id,
            name,
            nameKey: nameKey(name),
            passwordHash,
            organizationId: link.organizationId,
            role: link.role,
            customRoleId: link.customRoleId,
            now: yield* DateTime.now
          })
          .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new AdminNameTaken()))
        yield* audit.record({
          organizationId: link.organizationId,
          action: "admins:accept",
          subjectKind: "admin",
          subjectId: id,
          details: { name, role: roleNameOf(link), invitedBy: link.createdBy, password: passwordHash !== null }
        })
        return id
      })

      /** Uses a link up, with the rights that are behind it at this moment: nobody's change while the organization is held. */
      const spend = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        look: Effect.Effect<Link, LinkGone | SchemaError | SqlError>
      ) {
        yield* standing.hold(organizationId)
        const link = yield* look
        const used = yield* statements.use({ id: link.id, now: yield* DateTime.now })
        if (Option.isNone(used)) return yield* new LinkGone()
        return link
      })

      /** A4: whoever got in with the password before is out. */
      const setPassword = Effect.fnUntraced(function* (link: Link, id: AdminId, passwordHash: string) {
        const now = yield* DateTime.now
        yield* statements.setPassword({ id, passwordHash, now })
        yield* statements.withdrawResets({ adminId: id, now })
        yield* audit.record({
          organizationId: link.organizationId,
          action: "admins:set-password",
          subjectKind: "admin",
          subjectId: id,
          details: { name: link.name, resetBy: link.createdBy, sessions: yield* sessions.end(id) }
        })
      })

      const use = Effect.fn("AdminLinks.use")(
        function* ({ password, token }: LinkUse, browser: Browser) {
          // Whoever has no link costs no work.
          const { name, organizationId } = yield* find(token)
          yield* strength.check(password, [name])
          const passwordHash = yield* passwords.hash(password)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              const link = yield* spend(organizationId, find(token))
              if (link.adminId !== null) {
                yield* setPassword(link, link.adminId, passwordHash)
                return yield* sessions.begin(link.adminId, { method: "link", factor: false }, browser)
              }
              const id = yield* accept(link, passwordHash)
              const session = yield* sessions.open(id, { method: "link", factor: false }, browser)
              return { _tag: "Open", session } satisfies SignInStep
            })
          )
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const acceptAs = Effect.fn("AdminLinks.acceptAs")(
        function* (name: string) {
          const invited = Effect.gen(function* () {
            const link = yield* statements.findInvitation({ nameKey: nameKey(name), now: yield* DateTime.now })
            if (Option.isNone(link) || !(yield* isGood(link.value))) return yield* new LinkGone()
            return link.value
          })
          const { organizationId } = yield* invited
          return Option.some(yield* accept(yield* spend(organizationId, invited), null))
        },
        sql.withTransaction,
        Effect.catchTag(["AdminNameTaken", "LinkGone"], () => Effect.succeedNone),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const prune = Effect.gen(function* () {
        const links = yield* statements.prune(yield* DateTime.now)
        for (const organizationId of new Set(links.map((link) => link.organizationId))) {
          yield* audit.record({
            organizationId,
            action: "invitations:expire",
            subjectKind: "invitation",
            subjectId: null,
            details: { links: links.filter((link) => link.organizationId === organizationId).length }
          })
        }
        return links.length
      }).pipe(
        sql.withTransaction,
        Effect.provideService(Actor, broker),
        Effect.orDie,
        Effect.withSpan("AdminLinks.prune")
      )

      return AdminLinks.of({ invite, list, withdraw, reset, look, use, acceptAs, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([Passwords.layer, PasswordStrength.layer, Secrets.layer, Audit.layer])
  )
}
