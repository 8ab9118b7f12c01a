/** How admins sign in and stay signed in: a password or a passkey, a second factor, and a session that can be ended. */
import { hash } from "node:crypto"
import { AdminId, type Factors, type SignedIn, WrongPassword } from "@broker/domain/Admin"
import {
  type AdminSession,
  type AdminSessionId,
  AdminSessionNotFound,
  type FactorAsked,
  NotSignedIn,
  type SignInMethod,
  SignInRefused,
  type SignInRequest
} from "@broker/domain/AdminSession"
import type { TooManyAttempts } from "@broker/domain/ClientSession"
import { builtInPermissions, Permission, StepUpRequired } from "@broker/domain/Permission"
import { isBuiltIn } from "@broker/domain/Role"
import {
  type FactorAnswer,
  type FactorKind,
  FactorRefused,
  type PasskeyResponse,
  type StepUpAnswer
} from "@broker/domain/SecondFactor"
import { nameKey } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Option, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Passwords } from "../admins/Passwords.ts"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { Passkeys } from "../second-factors/Passkeys.ts"
import { SecondFactors } from "../second-factors/SecondFactors.ts"
import { type Account, SignInDefence } from "../sign-in-defence/SignInDefence.ts"
import * as AdminSessionsSql from "./AdminSessionsSql.ts"
import { adminSessionTopic } from "./AdminSessionTopic.ts"
import { type Begun, Ceremonies } from "./Ceremonies.ts"
import * as Ticket from "./Ticket.ts"

/** A session's last use is written down at most this often. */
const touchEvery = Duration.minutes(1)

/** How long a node goes by what it read of a session, unless a signal comes before. */
const freshness = Duration.seconds(10)

/** Sessions that a node remembers; others are looked up again. */
const capacity = 10_000

/** How many browsers of an admin are known, and for how long after they were used last. */
const knownBrowsers = { count: 20, lifetime: Duration.days(365) }

const isPermission = Schema.is(Permission)

const none: ReadonlySet<Permission> = new Set()

/** The browser that signs in. */
export interface Browser {
  readonly userAgent: string | null
  /** The secret of its long-lived cookie, by which it is known again (A3). */
  readonly known: Option.Option<Ticket.Ticket>
  /** The session that it had, which ends when another opens. */
  readonly former: Option.Option<Ticket.Ticket>
}

/** How somebody proved who they are. */
export interface Proof {
  readonly method: SignInMethod
  /** Whether a second factor, or a passkey, was given. */
  readonly factor: boolean
}

/** A session that was just opened. */
export interface OpenSession {
  readonly ticket: Ticket.Ticket
  readonly expiresAt: DateTime.Utc
  /** What the browser is known by from now on; null where that stays as it is. */
  readonly browser: Ticket.Ticket | null
}

/** What has to be answered before anything opens. */
export interface Ceremony {
  readonly ticket: Ticket.Ticket
  readonly asked: FactorAsked
}

export type SignInStep =
  | { readonly _tag: "Open"; readonly session: OpenSession }
  | { readonly _tag: "FactorAsked"; readonly ceremony: Ceremony }

/** An admin at work: who it is, by which session, and what they may do right now. */
export interface SignedInAdmin extends SignedIn {
  readonly sessionId: AdminSessionId
  /** Empty as long as a second factor is demanded and none is enrolled (A2). */
  readonly permissions: ReadonlySet<Permission>
  readonly mustEnrol: boolean
  readonly factors: Factors
  readonly method: SignInMethod
  /** When they last proved who they are (A4). */
  readonly provenAt: DateTime.Utc
}

/** How long after proving who they are an admin may do what is dangerous. */
const provenFor = Duration.minutes(10)

/** A4: refuses what is dangerous to whoever has not proven of late who they are. */
export const prove = Effect.fnUntraced(function* ({ provenAt }: Pick<SignedInAdmin, "provenAt">) {
  const since = DateTime.distance(provenAt, yield* DateTime.now)
  if (Duration.isGreaterThan(since, provenFor)) return yield* new StepUpRequired()
})

const has = (enrolled: Pick<Factors, "totp" | "passkeys">) => enrolled.totp || enrolled.passkeys > 0

/** Which password was checked, to see later whether it still is the one. */
const fingerprint = (passwordHash: string | null) => hash("sha256", passwordHash ?? "", "hex")

/** What a session says of its holder. */
const signedIn = (session: AdminSessionsSql.FoundSession): SignedInAdmin => {
  const { customPermissions, id, name, organizationId, passkeys, recoveryCodes, role, roleName, totp } = session
  const factors = { totp, passkeys, recoveryCodes }
  const mustEnrol = session.requireFactor && !has(factors)
  const allowed = isBuiltIn(role) ? builtInPermissions[role] : new Set(customPermissions?.filter(isPermission))
  return {
    sessionId: session.sessionId,
    id,
    name,
    organizationId,
    role,
    roleName: roleName ?? role,
    permissions: mustEnrol ? none : allowed,
    mustEnrol,
    factors,
    method: session.method,
    provenAt: session.provenAt
  }
}

export class AdminSessions extends Context.Service<
  AdminSessions,
  {
    /** One answer, after the same time, for a wrong name and a wrong password (A3). */
    signIn(request: SignInRequest, browser: Browser): Effect.Effect<SignInStep, SignInRefused | TooManyAttempts, Actor>
    /** The second step, by whatever of the factors. Opens a session of its own: no id is older than the factor. */
    answerFactor(
      ceremony: Ticket.Ticket,
      answer: FactorAnswer,
      browser: Browser
    ): Effect.Effect<OpenSession, FactorRefused | TooManyAttempts, Actor>
    /** A sign-in by a passkey alone, which says itself whose it is. */
    readonly beginPasskey: Effect.Effect<Ceremony>
    signInByPasskey(
      ceremony: Ticket.Ticket,
      response: PasskeyResponse,
      browser: Browser
    ): Effect.Effect<OpenSession, FactorRefused | TooManyAttempts, Actor>
    /** For whoever proved who they are in another way; asks for a factor where there is one, unless `factor` was given. */
    begin(adminId: AdminId, proof: Proof, browser: Browser): Effect.Effect<SignInStep, never, Actor>
    /** Opens a session at once, for whoever has just been made or has just proven who they are. Joins the caller's transaction. */
    open(adminId: AdminId, proof: Proof, browser: Browser): Effect.Effect<OpenSession, never, Actor>
    /** Who holds a session. Looked up once per node, and kept until a signal says that something changed. */
    authenticate(ticket: Ticket.Ticket): Effect.Effect<SignedInAdmin, NotSignedIn>
    /** Who holds a session, if it goes on; asking is no use of it. */
    look(ticket: Ticket.Ticket): Effect.Effect<Option.Option<SignedInAdmin>>
    /** What a step-up can be answered with. No method where only a password will do. */
    beginStepUp(admin: SignedInAdmin): Effect.Effect<Ceremony>
    /** A4: proves once more who it is, and moves the session to a new id. */
    stepUp(
      admin: SignedInAdmin,
      ceremony: Option.Option<Ticket.Ticket>,
      answer: StepUpAnswer,
      browser: Browser
    ): Effect.Effect<OpenSession, NotSignedIn | FactorRefused | WrongPassword | TooManyAttempts, Actor>
    /** A4: moves a session to a new id, and ends all others of the admin. Joins the caller's transaction. */
    renew(admin: SignedInAdmin, factor: boolean): Effect.Effect<OpenSession, never, Actor>
    /** Ends every session of an admin, on all nodes; tells how many. Joins the caller's transaction. */
    end(adminId: AdminId, except?: AdminSessionId): Effect.Effect<number>
    /** Something about admins changed that sessions show: nodes look again. Joins the caller's transaction. */
    readonly forget: Effect.Effect<void>
    list(admin: SignedInAdmin): Effect.Effect<ReadonlyArray<AdminSession>>
    revoke(admin: SignedInAdmin, id: AdminSessionId): Effect.Effect<void, AdminSessionNotFound, Actor>
    /** Tells how many. */
    revokeOthers(admin: SignedInAdmin): Effect.Effect<number, never, Actor>
    signOut(ticket: Ticket.Ticket): Effect.Effect<void, never, Actor>
    /** Deletes sessions, ceremonies and browsers past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admin-sessions/AdminSessions") {
  static readonly layerNoDeps = Layer.effect(
    AdminSessions,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AdminSessionsSql.make
      const passwords = yield* Passwords
      const factors = yield* SecondFactors
      const passkeys = yield* Passkeys
      const defence = yield* SignInDefence
      const signals = yield* Signals
      const ceremonies = yield* Ceremonies
      const secrets = yield* Secrets
      const audit = yield* Audit

      /** A session as it was read, by the digest of its secret in hex. What is none is not remembered. */
      const known = yield* Cache.makeWith(
        (digest: string) =>
          Effect.flatMap(DateTime.now, (now) => statements.find({ digest: Buffer.from(digest, "hex"), now })),
        {
          capacity,
          timeToLive: (exit) => (Exit.isSuccess(exit) && Option.isSome(exit.value) ? freshness : Duration.zero)
        }
      )

      /** When this node last wrote down that a session was used. */
      const touched = new Map<AdminSessionId, DateTime.Utc>()

      yield* signals.subscribe(adminSessionTopic).pipe(
        Stream.runForEach(() => Cache.invalidateAll(known)),
        Effect.forkScoped
      )

      const forget = Effect.gen(function* () {
        yield* signals.notify(adminSessionTopic, "")
        yield* sql.afterCommit(Cache.invalidateAll(known))
      }).pipe(Effect.orDie, Effect.withSpan("AdminSessions.forget"))

      const entry = (adminId: AdminId | null, organizationId: SignedInAdmin["organizationId"] | null) =>
        ({
          organizationId,
          action: "admins:sign-in",
          subjectKind: "admin",
          subjectId: adminId
        }) as const

      /**
       * None where what was proven is not enough any more: under the admin's row, so that whoever changes the password,
       * enrols a factor or disables them comes before, or ends this session too.
       */
      const enter = Effect.fn("AdminSessions.enter")(
        function* (
          adminId: AdminId,
          { factor, method, password }: Proof & { readonly password?: string | undefined },
          { former, known, userAgent }: Browser
        ) {
          const { address } = yield* Actor
          const { name, passwordHash } = yield* statements.hold(adminId)
          const standing = yield* statements.factorsOf(adminId)
          const isEnough =
            standing.organizationId !== null &&
            (factor || !has(standing)) &&
            (password === undefined || password === fingerprint(passwordHash))
          if (!isEnough) return Option.none()
          const now = yield* DateTime.now
          const ticket = yield* Ticket.mint(secrets)
          const { expiresAt } = yield* statements.insert({
            digest: Ticket.digestOf(ticket),
            adminId,
            method,
            factor,
            now,
            address,
            userAgent: userAgent === null ? null : userAgent.slice(0, 256).toWellFormed()
          })
          // Whoever was signed in by this browser is so no more.
          if (Option.isSome(former) && Option.isSome(yield* statements.signOut(Ticket.digestOf(former.value)))) {
            yield* forget
          }
          // The browser's secret stays when it is one that we know; whatever else stands there is replaced.
          const stays = Option.isSome(known) && (yield* isKnown(known.value, adminId))
          const browser = stays ? known.value : yield* Ticket.mint(secrets)
          yield* statements.knowBrowser({
            digest: Ticket.digestOf(browser),
            adminId,
            now,
            limit: knownBrowsers.count
          })
          yield* audit.record({ ...entry(adminId, standing.organizationId), details: { name, method, factor } })
          return Option.some<OpenSession>({ ticket, expiresAt, browser })
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const open = Effect.fn("AdminSessions.open")((adminId: AdminId, proof: Proof, browser: Browser) =>
        Effect.flatMap(
          enter(adminId, proof, browser),
          Option.match({
            onNone: () => Effect.die(new Error("What was proven is not enough for a session")),
            onSome: (session) => Effect.succeed(session)
          })
        )
      )

      const isKnown = Effect.fnUntraced(function* (browser: Ticket.Ticket, adminId: AdminId) {
        const { known } = yield* statements.isKnownBrowser({ digest: Ticket.digestOf(browser), adminId })
        return known
      })

      /** Asks for any one of the factors that there are. */
      const ask = Effect.fnUntraced(function* (
        kind: "factor" | "step-up",
        about: { readonly adminId: AdminId; readonly method: SignInMethod | null },
        enrolled: Factors,
        password?: string
      ) {
        const request = enrolled.passkeys > 0 ? yield* passkeys.request(about.adminId) : null
        const methods: ReadonlyArray<FactorKind> = [
          ...(enrolled.totp ? (["totp"] as const) : []),
          ...(enrolled.passkeys > 0 ? (["passkey"] as const) : []),
          ...(enrolled.recoveryCodes > 0 ? (["recovery-code"] as const) : [])
        ]
        const expected: Begun["expected"] = {
          ...(request === null ? {} : { challenge: request.challenge }),
          ...(password === undefined ? {} : { password })
        }
        const ticket = yield* ceremonies.begin(kind, { ...about, expected })
        return { ticket, asked: { methods, passkey: request?.options ?? null } } satisfies Ceremony
      })

      const begin = Effect.fn("AdminSessions.begin")(function* (
        adminId: AdminId,
        proof: Proof,
        browser: Browser
      ): Effect.fn.Return<SignInStep, unknown, Actor> {
        const enrolled = yield* statements.factorsOf(adminId)
        return proof.factor || !has(enrolled)
          ? { _tag: "Open", session: yield* open(adminId, proof, browser) }
          : { _tag: "FactorAsked", ceremony: yield* ask("factor", { adminId, method: proof.method }, enrolled) }
      }, Effect.orDie)

      /** In whose name it counts: a browser in which the admin signed in before answers for itself alone (A3). */
      const accountOf = Effect.fnUntraced(function* (
        admin: Pick<SignedInAdmin, "id" | "organizationId">,
        { known }: Browser
      ): Effect.fn.Return<Account, unknown> {
        const { id, organizationId } = admin
        return Option.isSome(known) && (yield* isKnown(known.value, id))
          ? { kind: "browser", digest: Ticket.digestOf(known.value), id, organizationId }
          : { kind: "admin", id, organizationId }
      }, Effect.orDie)

      /** A name that nobody has, by as many statements as one that somebody has (A3). */
      const nobody = Effect.fnUntraced(function* (
        name: string,
        { known }: Browser
      ): Effect.fn.Return<Account, unknown> {
        if (Option.isSome(known)) yield* isKnown(known.value, AdminId.make("00000000-0000-0000-0000-000000000000"))
        return { kind: "name", name: nameKey(name) }
      }, Effect.orDie)

      const signIn = Effect.fn("AdminSessions.signIn")(
        function* (request: SignInRequest, browser: Browser) {
          const { address } = yield* Actor
          const admin = Option.getOrUndefined(yield* statements.findByName(nameKey(request.name)))
          const account = admin === undefined ? yield* nobody(request.name, browser) : yield* accountOf(admin, browser)
          // Nobody is kept out of a browser of theirs by others at the same address (A3).
          if (account.kind !== "browser") yield* defence.admit("dashboard", address)
          yield* defence.attempt(account, "password")
          const matches = yield* passwords.matches(admin?.passwordHash ?? undefined, request.password)
          if (admin === undefined || !matches) {
            yield* audit.record({
              ...entry(admin?.id ?? null, admin?.organizationId ?? null),
              outcome: "refused",
              // Not what was typed: people type their password into the wrong field.
              details: { name: admin?.name ?? null }
            })
            yield* defence.failed({ realm: "dashboard", address, account: Option.some(account) })
            return yield* new SignInRefused()
          }
          const password = fingerprint(admin.passwordHash)
          const enrolled = yield* statements.factorsOf(admin.id)
          if (has(enrolled)) {
            // Whoever has only the password must not clear by it what was counted of their guesses at the factor.
            yield* defence.released(account)
            const ceremony = yield* ask("factor", { adminId: admin.id, method: "password" }, enrolled, password)
            return { _tag: "FactorAsked", ceremony } as const
          }
          const session = yield* enter(admin.id, { method: "password", factor: false, password }, browser)
          if (Option.isNone(session)) return yield* new SignInRefused()
          yield* defence.succeeded(account)
          return { _tag: "Open", session: session.value } as const
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** Whether a factor was answered rightly. A code that was right is used up by that. */
      const isRight = (adminId: AdminId, answer: FactorAnswer, { challenge }: Begun["expected"]) => {
        switch (answer.kind) {
          case "totp":
            return factors.useTotp(adminId, answer.code)
          case "recovery-code":
            return factors.useRecoveryCode(adminId, answer.code)
          case "passkey":
            return challenge === undefined
              ? Effect.succeed(false)
              : Effect.map(passkeys.verify(answer.response, challenge), Option.contains(adminId))
        }
      }

      /** Checks a factor as slowly as a password: six digits are guessed sooner. */
      const proveFactor = Effect.fnUntraced(function* (
        admin: Pick<SignedInAdmin, "id" | "name" | "organizationId">,
        answer: FactorAnswer,
        expected: Begun["expected"],
        browser: Browser
      ) {
        const { address } = yield* Actor
        const account = yield* accountOf(admin, browser)
        if (account.kind !== "browser") yield* defence.admit("dashboard", address)
        yield* defence.attempt(account, "factor")
        if (yield* isRight(admin.id, answer, expected)) {
          // A recovery code less: other sessions show how many are left.
          if (answer.kind === "recovery-code") yield* forget
          return yield* defence.succeeded(account)
        }
        yield* audit.record({
          ...entry(admin.id, admin.organizationId),
          outcome: "refused",
          details: { name: admin.name, factor: answer.kind }
        })
        yield* defence.failed({ realm: "dashboard", address, account: Option.some(account) })
        return yield* new FactorRefused()
      })

      const answerFactor = Effect.fn("AdminSessions.answerFactor")(
        function* (ceremony: Ticket.Ticket, answer: FactorAnswer, browser: Browser) {
          const begun = yield* ceremonies.find("factor", ceremony)
          if (Option.isNone(begun) || begun.value.adminId === null) return yield* new FactorRefused()
          const { adminId: id, expected, method } = begun.value
          const { name, organizationId } = yield* statements.factorsOf(id)
          // Disabled since the first step.
          if (organizationId === null) return yield* new FactorRefused()
          yield* proveFactor({ id, name, organizationId }, answer, expected, browser)
          const proof = { method: method ?? "password", factor: true, password: expected["password"] }
          return yield* finish(ceremony, id, proof, browser)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** A ceremony opens one session. */
      const finish = Effect.fnUntraced(function* (
        ceremony: Ticket.Ticket,
        adminId: AdminId,
        proof: Proof & { readonly password?: string | undefined },
        browser: Browser
      ) {
        if (!(yield* ceremonies.finish(ceremony))) return yield* new FactorRefused()
        const session = yield* enter(adminId, proof, browser)
        return Option.isSome(session) ? session.value : yield* new FactorRefused()
      }, sql.withTransaction)

      const beginPasskey = Effect.gen(function* () {
        const { challenge, options } = yield* passkeys.request(null)
        const ticket = yield* ceremonies.begin("passkey", { adminId: null, method: "passkey", expected: { challenge } })
        return { ticket, asked: { methods: ["passkey"], passkey: options } } satisfies Ceremony
      }).pipe(Effect.orDie, Effect.withSpan("AdminSessions.beginPasskey"))

      const signInByPasskey = Effect.fn("AdminSessions.signInByPasskey")(
        function* (ceremony: Ticket.Ticket, response: PasskeyResponse, browser: Browser) {
          const { address } = yield* Actor
          const begun = yield* ceremonies.find("passkey", ceremony)
          const challenge = Option.isSome(begun) ? begun.value.expected.challenge : undefined
          const admin = challenge === undefined ? Option.none() : yield* passkeys.verify(response, challenge)
          const home = Option.isNone(admin) ? null : yield* statements.factorsOf(admin.value)
          if (Option.isSome(admin) && home !== null && home.organizationId !== null) {
            return yield* finish(ceremony, admin.value, { method: "passkey", factor: true }, browser)
          }
          yield* audit.record({
            ...entry(Option.getOrNull(admin), home?.organizationId ?? null),
            outcome: "refused",
            details: { name: home?.name ?? null, method: "passkey" }
          })
          yield* defence.failed({ realm: "dashboard", address, account: Option.none() })
          return yield* new FactorRefused()
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** A session that is neither over nor idle for too long. */
      const current = Effect.fnUntraced(function* (digest: string) {
        const session = yield* Cache.get(known, digest)
        const now = yield* DateTime.now
        return Option.filter(session, ({ expiresAt, factor, idleSeconds, lastUsedAt, sessionId, ...enrolled }) => {
          // A broker of the release before asks for no factor, and neither does whoever was quicker than its enrolment.
          if (!factor && has(enrolled)) return false
          const used = DateTime.max(lastUsedAt, touched.get(sessionId) ?? lastUsedAt)
          return (
            DateTime.isGreaterThan(expiresAt, now) &&
            Duration.isLessThan(DateTime.distance(used, now), Duration.seconds(idleSeconds))
          )
        })
      })

      const touch = Effect.fnUntraced(function* (id: AdminSessionId, lastUsedAt: DateTime.Utc) {
        const now = yield* DateTime.now
        const used = DateTime.max(lastUsedAt, touched.get(id) ?? lastUsedAt)
        if (Duration.isLessThan(DateTime.distance(used, now), touchEvery)) return
        if (touched.size >= capacity) touched.clear()
        touched.set(id, now)
        yield* statements.touch({ id, now })
      })

      const look = Effect.fn("AdminSessions.look")(function* (ticket: Ticket.Ticket) {
        return Option.map(yield* current(Ticket.digestOf(ticket).toString("hex")), signedIn)
      }, Effect.orDie)

      const authenticate = Effect.fn("AdminSessions.authenticate")(
        function* (ticket: Ticket.Ticket) {
          const found = yield* current(Ticket.digestOf(ticket).toString("hex"))
          if (Option.isNone(found)) return yield* new NotSignedIn()
          yield* touch(found.value.sessionId, found.value.lastUsedAt)
          return signedIn(found.value)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const beginStepUp = Effect.fn("AdminSessions.beginStepUp")(
        (admin: SignedInAdmin) => ask("step-up", { adminId: admin.id, method: null }, admin.factors),
        Effect.orDie
      )

      /** A new secret for a session: whoever knew the old one is out. */
      const move = Effect.fnUntraced(function* (admin: SignedInAdmin, factor: boolean) {
        const ticket = yield* Ticket.mint(secrets)
        const moved = yield* statements.renew({
          id: admin.sessionId,
          digest: Ticket.digestOf(ticket),
          factor,
          now: yield* DateTime.now
        })
        // Ended meanwhile, by somebody else.
        if (Option.isNone(moved)) return yield* new NotSignedIn()
        yield* forget
        return { ticket, expiresAt: moved.value.expiresAt, browser: null } satisfies OpenSession
      })

      /** The password proves who those are who have no factor. */
      const provePassword = Effect.fnUntraced(function* (
        admin: SignedInAdmin,
        password: Extract<StepUpAnswer, { kind: "password" }>["password"],
        browser: Browser
      ) {
        if (has(admin.factors)) return yield* new FactorRefused()
        const { address } = yield* Actor
        const account = yield* accountOf(admin, browser)
        yield* defence.attempt(account, "password")
        const { passwordHash } = yield* statements.passwordOf(admin.id)
        if (yield* passwords.matches(passwordHash ?? undefined, password)) return yield* defence.succeeded(account)
        yield* audit.record({
          ...entry(admin.id, admin.organizationId),
          outcome: "refused",
          details: { name: admin.name, factor: "password" }
        })
        yield* defence.failed({ realm: "dashboard", address, account: Option.some(account) })
        return yield* new WrongPassword()
      })

      const stepUp = Effect.fn("AdminSessions.stepUp")(
        function* (
          admin: SignedInAdmin,
          ceremony: Option.Option<Ticket.Ticket>,
          answer: StepUpAnswer,
          browser: Browser
        ) {
          if (answer.kind === "password") yield* provePassword(admin, answer.password, browser)
          else {
            const begun = Option.isSome(ceremony) ? yield* ceremonies.find("step-up", ceremony.value) : Option.none()
            const expected = Option.isSome(begun) && begun.value.adminId === admin.id ? begun.value.expected : {}
            yield* proveFactor(admin, answer, expected, browser)
          }
          return yield* proven(admin, ceremony, answer)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const proven = Effect.fnUntraced(function* (
        admin: SignedInAdmin,
        ceremony: Option.Option<Ticket.Ticket>,
        { kind }: StepUpAnswer
      ) {
        const first = Option.isSome(ceremony) && (yield* ceremonies.finish(ceremony.value))
        // An answer of a passkey is good once.
        if (kind === "passkey" && !first) return yield* new FactorRefused()
        yield* audit.record({
          organizationId: admin.organizationId,
          action: "admins:step-up",
          subjectKind: "admin",
          subjectId: admin.id,
          details: { name: admin.name, factor: kind }
        })
        return yield* move(admin, kind !== "password")
      }, sql.withTransaction)

      const end = Effect.fn("AdminSessions.end")(
        function* (adminId: AdminId, except?: AdminSessionId) {
          const ended = yield* statements.end({ adminId, except: except ?? null })
          yield* forget
          return ended.length
        },
        sql.withTransaction,
        Effect.orDie
      )

      const renew = Effect.fn("AdminSessions.renew")(
        function* (admin: SignedInAdmin, factor: boolean) {
          yield* end(admin.id, admin.sessionId)
          return yield* move(admin, factor)
        },
        sql.withTransaction,
        Effect.orDie
      )

      const list = Effect.fn("AdminSessions.list")(function* ({ id, organizationId, sessionId }: SignedInAdmin) {
        const sessions = yield* statements.list({ adminId: id, organizationId, now: yield* DateTime.now })
        return sessions.map((session) => ({ ...session, current: session.id === sessionId }))
      }, Effect.orDie)

      const revoked = (admin: SignedInAdmin, details: { readonly session: string } | { readonly sessions: number }) =>
        audit.record({
          organizationId: admin.organizationId,
          action: "admin-sessions:revoke",
          subjectKind: "admin",
          subjectId: admin.id,
          details: { name: admin.name, ...details }
        })

      const revoke = Effect.fn("AdminSessions.revoke")(
        function* (admin: SignedInAdmin, id: AdminSessionId) {
          const ended = yield* statements.endOne({ adminId: admin.id, id })
          if (ended.length === 0) return yield* new AdminSessionNotFound()
          yield* revoked(admin, { session: id })
          yield* forget
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const revokeOthers = Effect.fn("AdminSessions.revokeOthers")(
        function* (admin: SignedInAdmin) {
          const sessions = yield* end(admin.id, admin.sessionId)
          if (sessions > 0) yield* revoked(admin, { sessions })
          return sessions
        },
        sql.withTransaction,
        Effect.orDie
      )

      const signOut = Effect.fn("AdminSessions.signOut")(
        function* (ticket: Ticket.Ticket) {
          const left = yield* statements.signOut(Ticket.digestOf(ticket))
          if (Option.isNone(left)) return
          const { adminId, name, organizationId } = left.value
          yield* audit.record({
            organizationId,
            action: "admins:sign-out",
            subjectKind: "admin",
            subjectId: adminId,
            details: { name }
          })
          yield* forget
        },
        sql.withTransaction,
        Effect.orDie
      )

      const prune = Effect.gen(function* () {
        const now = yield* DateTime.now
        const { gone } = yield* statements.prune({
          now,
          unused: DateTime.subtractDuration(now, knownBrowsers.lifetime)
        })
        return gone + (yield* ceremonies.prune)
      }).pipe(Effect.orDie, Effect.withSpan("AdminSessions.prune"))

      return AdminSessions.of({
        signIn,
        answerFactor,
        beginPasskey,
        signInByPasskey,
        begin,
        open,
        authenticate,
        look,
        beginStepUp,
        stepUp,
        renew,
        end,
        forget,
        list,
        revoke,
        revokeOthers,
        signOut,
        prune
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Passwords.layer, Secrets.layer, Audit.layer]))
}
