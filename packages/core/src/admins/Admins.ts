/** The people who sign in, what they may do, and the first run in which there is nobody yet. */
import {
  type Admin,
  AdminId,
  type AdminName,
  AdminNameTaken,
  AdminNotFound,
  LastOwner,
  type ListedAdmin,
  type NewPassword,
  NotYourself,
  SetupClosed,
  type SetupRequest,
  type WeakPassword
} from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { type BuiltInRole, type MoreThanHeld, Permission } from "@broker/domain/Permission"
import { isBuiltIn, type RoleEffect, type RoleId, type RoleNotFound } from "@broker/domain/Role"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { AdminSessions, type Browser, type OpenSession } from "../admin-sessions/AdminSessions.ts"
import * as Ticket from "../admin-sessions/Ticket.ts"
import { ApiTokens } from "../api-tokens/ApiTokens.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { brokenConstraint } from "../database/SqlFailure.ts"
import { Roles } from "../roles/Roles.ts"
import { SecondFactors } from "../second-factors/SecondFactors.ts"
import * as AdminsSql from "./AdminsSql.ts"
import { type Authority, within } from "./Authority.ts"
import { PasswordStrength } from "./PasswordStrength.ts"
import { Passwords } from "./Passwords.ts"
import * as StandingSql from "./StandingSql.ts"

/** Somebody new, with a role that comes with the broker. */
interface NewAdmin {
  readonly organizationId: OrganizationId
  readonly name: AdminName
  readonly password: NewPassword
  readonly role: BuiltInRole
}

/** The same, with the hash of the password: it takes its time, and so is worked out before a transaction begins. */
type HashedAdmin = Omit<NewAdmin, "password"> & { readonly passwordHash: string }

export class Admins extends Context.Service<
  Admins,
  {
    /** Also closes the first run, whoever creates the first admin. */
    create(admin: NewAdmin): Effect.Effect<Admin, AdminNameTaken | WeakPassword, Actor>
    /** Whether the first admin has yet to be created. */
    readonly isSetupOpen: Effect.Effect<boolean>
    /** A secret for the link to the first run; none once it is closed (A1). */
    readonly setupTicket: Effect.Effect<Option.Option<Ticket.Ticket>>
    /** A1: creates the first admin and signs in; of two at once, one wins. */
    setup(
      request: SetupRequest,
      browser: Browser
    ): Effect.Effect<OpenSession, SetupClosed | AdminNameTaken | WeakPassword, Actor>
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<ListedAdmin>>
    get(organizationId: OrganizationId, id: AdminId): Effect.Effect<ListedAdmin, AdminNotFound>
    /** What a change of role would come to. */
    previewRole(
      organizationId: OrganizationId,
      id: AdminId,
      role: RoleId
    ): Effect.Effect<RoleEffect, AdminNotFound | RoleNotFound>
    /** Ends their sessions (A4). A5: neither the role they had nor the one they get is more than one holds. */
    changeRole(
      by: Authority,
      id: AdminId,
      role: RoleId
    ): Effect.Effect<ListedAdmin, AdminNotFound | RoleNotFound | MoreThanHeld | LastOwner | NotYourself, Actor>
    /** Ends their sessions; their API tokens do nothing as long as it lasts. */
    disable(
      by: Authority,
      id: AdminId
    ): Effect.Effect<ListedAdmin, AdminNotFound | MoreThanHeld | LastOwner | NotYourself, Actor>
    enable(by: Authority, id: AdminId): Effect.Effect<ListedAdmin, AdminNotFound | MoreThanHeld, Actor>
    /** A2: takes away every second factor of somebody else, and ends their sessions. */
    resetFactors(
      by: Authority,
      id: AdminId
    ): Effect.Effect<ListedAdmin, AdminNotFound | MoreThanHeld | NotYourself, Actor>
  }
>()("@broker/core/admins/Admins") {
  static readonly layerNoDeps = Layer.effect(
    Admins,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AdminsSql.make
      const passwords = yield* Passwords
      const strength = yield* PasswordStrength
      const secrets = yield* Secrets
      const sessions = yield* AdminSessions
      const standing = yield* StandingSql.make
      const roles = yield* Roles
      const tokens = yield* ApiTokens
      const factors = yield* SecondFactors
      const audit = yield* Audit

      const insert = Effect.fnUntraced(function* (admin: HashedAdmin) {
        const row = yield* statements
          .insert({
            id: AdminId.make(yield* secrets.id),
            name: admin.name,
            nameKey: nameKey(admin.name),
            passwordHash: admin.passwordHash,
            organizationId: admin.organizationId,
            role: admin.role,
            now: yield* DateTime.now
          })
          .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new AdminNameTaken()))
        yield* audit.record({
          organizationId: admin.organizationId,
          action: "admins:create",
          subjectKind: "admin",
          subjectId: row.id,
          details: { name: row.name, role: admin.role }
        })
        return row
      })

      const create = Effect.fn("Admins.create")(
        function* ({ password, ...admin }: NewAdmin) {
          yield* strength.check(password, [admin.name])
          const passwordHash = yield* passwords.hash(password)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              const row = yield* insert({ ...admin, passwordHash })
              yield* statements.finishSetup(yield* DateTime.now)
              return row
            })
          )
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const isSetupOpen = statements.isSetupOpen(undefined).pipe(
        Effect.map(({ open }) => open),
        Effect.orDie,
        Effect.withSpan("Admins.isSetupOpen")
      )

      const setupTicket = Effect.gen(function* () {
        if (!(yield* isSetupOpen)) return Option.none()
        const link = yield* Ticket.mint(secrets)
        yield* statements.insertSetupLink({ digest: Ticket.digestOf(link), now: yield* DateTime.now })
        return Option.some(link)
      }).pipe(Effect.orDie, Effect.withSpan("Admins.setupTicket"))

      const setup = Effect.fn("Admins.setup")(
        function* (request: SetupRequest, browser: Browser) {
          const link = yield* statements.findSetupLink(Ticket.digestOf(request.token))
          // Whoever has no link, or one that is spent, costs no work.
          if (Option.isNone(link) || !(yield* isSetupOpen)) return yield* new SetupClosed()
          yield* strength.check(request.password, [request.name])
          const passwordHash = yield* passwords.hash(request.password)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              if (Option.isNone(yield* statements.finishSetup(yield* DateTime.now))) return yield* new SetupClosed()
              const { id } = yield* insert({
                organizationId: defaultOrganizationId,
                name: request.name,
                passwordHash,
                role: "owner"
              })
              return yield* sessions.open(id, { method: "link", factor: false }, browser)
            })
          )
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("Admins.list")(function* (organizationId: OrganizationId) {
        return yield* statements.list({ organizationId, now: yield* DateTime.now })
      }, Effect.orDie)

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: AdminId) {
        return yield* statements.get({ organizationId, id, now: yield* DateTime.now })
      })

      const get = Effect.fn("Admins.get")(
        read,
        Effect.catchTag("NoSuchElementError", () => new AdminNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const previewRole = Effect.fn("Admins.previewRole")(function* (
        organizationId: OrganizationId,
        id: AdminId,
        role: RoleId
      ) {
        const admin = yield* get(organizationId, id)
        const before = yield* roles.permissions(organizationId, admin.role)
        const after = yield* roles.permissions(organizationId, role)
        const gained = Permission.literals.filter((permission) => after.has(permission) && !before.has(permission))
        const lost = Permission.literals.filter((permission) => before.has(permission) && !after.has(permission))
        return {
          gained,
          lost,
          sessions: role === admin.role ? 0 : admin.sessions,
          apiTokens: yield* tokens.concernedBy(organizationId, id, [...gained, ...lost])
        }
      })

      /** Somebody to act on, and what else they may be given: nothing of it is more than one holds oneself (A5). */
      const subject = Effect.fnUntraced(function* (by: Authority, id: AdminId, role?: RoleId) {
        const { organizationId } = by
        yield* standing.hold(organizationId)
        const admin = yield* read(organizationId, id)
        const had = yield* Effect.orDie(roles.given(organizationId, admin.role))
        const gets = role === undefined ? [] : yield* roles.given(organizationId, role)
        yield* within(yield* standing.remaining(by), new Set([...had, ...gets]))
        return admin
      })

      /** What makes of the last owner something else is refused by the database (A2). */
      const keepingAnOwner = <A, E, R>(change: Effect.Effect<A, E | SqlError, R>) =>
        Effect.catchIf(
          change,
          (error): error is SqlError => isSqlError(error) && brokenConstraint(error) === "memberships_last_owner",
          () => Effect.fail(new LastOwner())
        )

      const done = Effect.fnUntraced(function* (
        { organizationId }: Authority,
        { id, name }: ListedAdmin,
        action: `admins:${string}`,
        details: Readonly<Record<string, string>> = {}
      ) {
        yield* audit.record({
          organizationId,
          action,
          subjectKind: "admin",
          subjectId: id,
          details: { name, ...details }
        })
        yield* tokens.forget
        return yield* read(organizationId, id)
      })

      const changeRole = Effect.fn("Admins.changeRole")(
        function* (by: Authority, id: AdminId, role: RoleId) {
          if (by.id === id) return yield* new NotYourself()
          const admin = yield* subject(by, id, role)
          if (admin.role === role) return admin
          const { organizationId } = by
          const after = yield* roles.get(organizationId, role)
          yield* keepingAnOwner(
            statements.setRole(
              isBuiltIn(role)
                ? { organizationId, id, role, customRoleId: null }
                : // Brokers of the release before know no such role.
                  { organizationId, id, role: "viewer", customRoleId: role }
            )
          )
          yield* sessions.end(id)
          return yield* done(by, admin, "admins:change-role", { from: admin.roleName, to: after.name })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new AdminNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const disable = Effect.fn("Admins.disable")(
        function* (by: Authority, id: AdminId) {
          if (by.id === id) return yield* new NotYourself()
          const admin = yield* subject(by, id)
          if (admin.state === "disabled") return admin
          const { organizationId } = by
          yield* keepingAnOwner(statements.setDisabled({ organizationId, id, since: yield* DateTime.now }))
          yield* sessions.end(id)
          return yield* done(by, admin, "admins:disable")
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new AdminNotFound()),
        Effect.catchTag(["RoleNotFound", "SchemaError", "SqlError"], Effect.die)
      )

      const enable = Effect.fn("Admins.enable")(
        function* (by: Authority, id: AdminId) {
          const admin = yield* subject(by, id)
          if (admin.state === "active") return admin
          yield* statements.setDisabled({ organizationId: by.organizationId, id, since: null })
          return yield* done(by, admin, "admins:enable")
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new AdminNotFound()),
        Effect.catchTag(["RoleNotFound", "SchemaError", "SqlError"], Effect.die)
      )

      const resetFactors = Effect.fn("Admins.resetFactors")(
        function* (by: Authority, id: AdminId) {
          if (by.id === id) return yield* new NotYourself()
          const admin = yield* subject(by, id)
          yield* factors.reset(id)
          yield* sessions.end(id)
          return yield* done(by, admin, "admins:reset-factors")
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new AdminNotFound()),
        Effect.catchTag(["RoleNotFound", "SchemaError", "SqlError"], Effect.die)
      )

      return Admins.of({
        create,
        isSetupOpen,
        setupTicket,
        setup,
        list,
        get,
        previewRole,
        changeRole,
        disable,
        enable,
        resetFactors
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([Passwords.layer, PasswordStrength.layer, Secrets.layer, Audit.layer])
  )
}
