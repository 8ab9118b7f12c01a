/** The people who sign in, their sessions, and the first run in which there is nobody yet. */

import { hash } from "node:crypto"
import {
  type Admin,
  AdminId,
  type AdminName,
  AdminNameTaken,
  type NewPassword,
  NotSignedIn,
  type Role,
  SetupClosed,
  type SetupRequest,
  SignedIn,
  SignInRefused,
  type SignInRequest
} from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as AdminsSql from "./AdminsSql.ts"
import { Passwords } from "./Passwords.ts"

/** However busy, a session ends after a day; idle, after two hours. */
const sessionLifetime = Duration.days(1)
const sessionIdle = Duration.hours(2)

/** A session's last use is written down at most this often. */
const touchEvery = Duration.minutes(1)

/** The secret in a session's cookie, or in a setup link: 256 bits, of which only the digest is kept. */
export type Ticket = Redacted.Redacted<string>

const digestOf = (ticket: Ticket) => hash("sha256", Redacted.value(ticket), "buffer")

/** An open session and when it ends at the latest. */
export interface OpenSession {
  readonly ticket: Ticket
  readonly expiresAt: DateTime.Utc
}

export class Admins extends Context.Service<
  Admins,
  {
    /** Also closes the first run, whoever creates the first admin. */
    create(admin: {
      readonly organizationId: OrganizationId
      readonly name: AdminName
      readonly password: NewPassword
      readonly role: Role
    }): Effect.Effect<Admin, AdminNameTaken, Actor>
    /** Whether the first admin has yet to be created. */
    readonly isSetupOpen: Effect.Effect<boolean>
    /** A secret for the link to the first run; none once it is closed (A1). */
    readonly setupTicket: Effect.Effect<Option.Option<Ticket>>
    /** A1: creates the first admin and signs in; of two at once, one wins. */
    setup(
      request: SetupRequest,
      userAgent: string | null
    ): Effect.Effect<OpenSession, SetupClosed | AdminNameTaken, Actor>
    /** One answer, after the same time, for a wrong name and a wrong password. */
    signIn(request: SignInRequest, userAgent: string | null): Effect.Effect<OpenSession, SignInRefused, Actor>
    signOut(ticket: Ticket): Effect.Effect<void>
    /** Who holds a session. */
    authenticate(ticket: Ticket): Effect.Effect<SignedIn, NotSignedIn>
    /** Deletes sessions that are over; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admins/Admins") {
  static readonly layerNoDeps = Layer.effect(
    Admins,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AdminsSql.make
      const passwords = yield* Passwords
      const secrets = yield* Secrets
      const audit = yield* Audit

      const ticket = Effect.map(secrets.bytes(32), (bytes) =>
        Redacted.make(Base64Url.encode(bytes), { label: "ticket" })
      )

      const insert = Effect.fnUntraced(function* (admin: {
        readonly organizationId: OrganizationId
        readonly name: AdminName
        readonly password: NewPassword
        readonly role: Role
      }) {
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
        function* (admin: {
          readonly organizationId: OrganizationId
          readonly name: AdminName
          readonly password: NewPassword
          readonly role: Role
        }) {
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
        const link = yield* ticket
        yield* statements.insertSetupLink({ digest: digestOf(link), now: yield* DateTime.now })
        return Option.some(link)
      }).pipe(Effect.orDie, Effect.withSpan("Admins.setupTicket"))

      const open = Effect.fnUntraced(function* (adminId: AdminId, userAgent: string | null) {
        const { address } = yield* Actor
        const now = yield* DateTime.now
        const expiresAt = DateTime.addDuration(now, sessionLifetime)
        const session = yield* ticket
        yield* statements.insertSession({
          digest: digestOf(session),
          adminId,
          now,
          expiresAt,
          address,
          userAgent: userAgent === null ? null : userAgent.slice(0, 256)
        })
        return { ticket: session, expiresAt }
      })

      const setup = Effect.fn("Admins.setup")(
        function* (request: SetupRequest, userAgent: string | null) {
          const link = yield* statements.findSetupLink(digestOf(request.token))
          if (Option.isNone(link)) return yield* new SetupClosed()
          if (Option.isNone(yield* statements.finishSetup(yield* DateTime.now))) return yield* new SetupClosed()
          const { id } = yield* insert({
            organizationId: defaultOrganizationId,
            name: request.name,
            password: request.password,
            role: "owner"
          })
          return yield* open(id, userAgent)
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const signIn = Effect.fn("Admins.signIn")(
        function* (request: SignInRequest, userAgent: string | null) {
          const admin = Option.getOrUndefined(yield* statements.findByName(nameKey(request.name)))
          const matches = yield* passwords.matches(admin?.passwordHash, request.password)
          const known = {
            organizationId: admin?.organizationId ?? null,
            action: "admins:sign-in",
            subjectKind: "admin",
            subjectId: admin?.id ?? null,
            // Not what was typed: people type their password into the wrong field.
            details: { name: admin?.name ?? null }
          } as const
          if (admin === undefined || !matches) {
            yield* audit.record({ ...known, outcome: "refused" })
            return yield* new SignInRefused()
          }
          return yield* sql.withTransaction(Effect.tap(open(admin.id, userAgent), audit.record(known)))
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const signOut = Effect.fn("Admins.signOut")((session: Ticket) =>
        Effect.orDie(statements.deleteSession(digestOf(session)))
      )

      const authenticate = Effect.fn("Admins.authenticate")(
        function* (session: Ticket) {
          const digest = digestOf(session)
          const now = yield* DateTime.now
          const found = yield* statements.findSession({
            digest,
            now,
            idleSince: DateTime.subtractDuration(now, sessionIdle)
          })
          if (Option.isNone(found)) return yield* new NotSignedIn()
          const { lastUsedAt, ...admin } = found.value
          if (Duration.isGreaterThan(DateTime.distance(lastUsedAt, now), touchEvery)) {
            yield* statements.touchSession({ digest, now })
          }
          return SignedIn.make(admin)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const prune = Effect.gen(function* () {
        const now = yield* DateTime.now
        const gone = yield* statements.pruneSessions({ now, idleSince: DateTime.subtractDuration(now, sessionIdle) })
        return gone.length
      }).pipe(Effect.orDie, Effect.withSpan("Admins.prune"))

      return Admins.of({ create, isSetupOpen, setupTicket, setup, signIn, signOut, authenticate, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Passwords.layer, Secrets.layer, Audit.layer]))
}
