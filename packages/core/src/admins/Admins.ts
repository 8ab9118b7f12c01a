/** The people who sign in, what they may do, and the first run in which there is nobody yet. */
import {
  type Admin,
  AdminId,
  type AdminName,
  AdminNameTaken,
  type AdminNotFound,
  type LastOwner,
  type ListedAdmin,
  type NewPassword,
  type NotYourself,
  SetupClosed,
  type SetupRequest,
  type WeakPassword
} from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole, MoreThanHeld } from "@broker/domain/Permission"
import type { RoleEffect, RoleId, RoleNotFound } from "@broker/domain/Role"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { AdminSessions, type Browser, type OpenSession } from "../admin-sessions/AdminSessions.ts"
import * as Ticket from "../admin-sessions/Ticket.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as AdminsSql from "./AdminsSql.ts"
import type { Authority } from "./Authority.ts"
import { Passwords } from "./Passwords.ts"

/** Somebody new, with a role that comes with the broker. */
interface NewAdmin {
  readonly organizationId: OrganizationId
  readonly name: AdminName
  readonly password: NewPassword
  readonly role: BuiltInRole
}

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
      const secrets = yield* Secrets
      const sessions = yield* AdminSessions
      const audit = yield* Audit

      const insert = Effect.fnUntraced(function* (admin: NewAdmin) {
        const row = yield* statements
          .insert({
            id: AdminId.make(yield* secrets.id),
            name: admin.name,
            nameKey: nameKey(admin.name),
            passwordHash: yield* passwords.hash(admin.password),
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
        function* (admin: NewAdmin) {
          const row = yield* insert(admin)
          yield* statements.finishSetup(yield* DateTime.now)
          return row
        },
        sql.withTransaction,
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
          if (Option.isNone(link)) return yield* new SetupClosed()
          if (Option.isNone(yield* statements.finishSetup(yield* DateTime.now))) return yield* new SetupClosed()
          const { id } = yield* insert({
            organizationId: defaultOrganizationId,
            name: request.name,
            password: request.password,
            role: "owner"
          })
          return yield* sessions.open(id, { method: "link", factor: false }, browser)
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const unwritten = Effect.die("unwritten")

      return Admins.of({
        create,
        isSetupOpen,
        setupTicket,
        setup,
        list: () => unwritten,
        get: () => unwritten,
        previewRole: () => unwritten,
        changeRole: () => unwritten,
        disable: () => unwritten,
        enable: () => unwritten,
        resetFactors: () => unwritten
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Passwords.layer, Secrets.layer, Audit.layer]))
}
