import { AdminSessions, prove } from "@broker/core/admin-sessions/AdminSessions"
import * as Ticket from "@broker/core/admin-sessions/Ticket"
import { Passwords } from "@broker/core/admins/Passwords"
import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import { Secrets } from "@broker/core/crypto/Secrets"
import * as Database from "@broker/core/Database"
import { SecondFactors } from "@broker/core/second-factors/SecondFactors"
import { SignInDefence } from "@broker/core/sign-in-defence/SignInDefence"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { builtInPermissions } from "@broker/domain/Permission"
import { totpCode } from "@broker/testing/Authenticator"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it, layer } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Layer, Option, Redacted, Result, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { admin, adminSession, browser, password, unique } = Fixtures

const wrong = Redacted.make("wrong")

let addresses = 0
/** One that no other test uses. */
const freshAddress = () => {
  addresses += 1
  return `10.7.${(addresses >> 8) & 255}.${addresses & 255}`
}

/** What a sign-in from an address comes to: "in", a problem's code, or for how long it has to wait. */
const attempt = Effect.fnUntraced(function* (
  name: string,
  secret = password,
  from: { readonly address?: string; readonly browser?: typeof browser } = {}
) {
  const sessions = yield* AdminSessions
  return yield* sessions.signIn({ name, password: secret }, from.browser ?? browser).pipe(
    Effect.map(({ _tag }) => (_tag === "Open" ? "in" : "factor")),
    Effect.catchTag("TooManyAttempts", ({ retryAfterSeconds }) => Effect.succeed(retryAfterSeconds)),
    Effect.catch((problem) => Effect.succeed(problem.code)),
    Effect.provideService(Actor, { ...Fixtures.actor, kind: "stranger", address: from.address ?? freshAddress() })
  )
})

const guess = (name: string, times: number, from?: Parameters<typeof attempt>[2]) =>
  Effect.forEach(Array.from({ length: times }), () => attempt(name, wrong, from))

const isOpen = Effect.fnUntraced(function* (ticket: Redacted.Redacted<string>) {
  const sessions = yield* AdminSessions
  return yield* Effect.match(sessions.authenticate(ticket), { onFailure: () => false, onSuccess: () => true })
})

const session = Effect.map(adminSession(), ({ ticket }) => ticket)

const refused = "sign_in_refused"

layer(Fixtures.layer)("AdminSessions", (it) => {
  it.effect("A3 a wrong name and a wrong password get one answer", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const { name } = yield* admin()
      const answers = yield* Effect.forEach(
        [
          { name: unique("nobody"), password },
          { name, password: wrong }
        ],
        (request) => Effect.map(Effect.flip(sessions.signIn(request, browser)), (refused) => JSON.stringify(refused))
      )
      assert.strictEqual(answers[0], answers[1])
      assert.include(answers[0], refused)
    })
  )

  it.effect("A3 a sign-in works out one hash, whether the name is known or not", () =>
    Effect.gen(function* () {
      let checks = 0
      const counting = Layer.effect(
        Passwords,
        Effect.map(Passwords, (passwords) =>
          Passwords.of({
            ...passwords,
            matches: (...given) =>
              Effect.suspend(() => {
                checks += 1
                return passwords.matches(...given)
              })
          })
        )
      ).pipe(Layer.provide(Passwords.layer))
      const counted = AdminSessions.layerNoDeps.pipe(Layer.provide([counting, Secrets.layer]))
      const { name } = yield* admin()
      const tell = (request: { readonly name: string; readonly password: typeof password }) =>
        Effect.gen(function* () {
          const before = checks
          const sessions = yield* AdminSessions
          yield* Effect.result(sessions.signIn(request, browser))
          return checks - before
        })
      const counts = yield* Effect.all([
        tell({ name, password }),
        tell({ name, password: wrong }),
        tell({ name: unique("nobody"), password })
      ]).pipe(Effect.provide(Layer.fresh(counted)))
      assert.deepStrictEqual(counts, [1, 1, 1])
    })
  )

  it.effect("A6 an attempt that was refused is in the audit log, without what was typed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const name = unique("nobody")
      const address = freshAddress()
      yield* attempt(name, password, { address })
      const entries = yield* sql`
        select action, outcome, details from audit_entries where host(address) = ${address}`
      assert.deepStrictEqual(entries, [{ action: "admins:sign-in", outcome: "refused", details: { name: null } }])
    })
  )

  it.effect("signs in by the name in any case", () =>
    Effect.gen(function* () {
      const { name } = yield* admin()
      assert.strictEqual(yield* attempt(` ${name.toUpperCase()} `), "in")
    })
  )

  it.effect(
    "A3 after five failures a name waits a second, then twice as long, half a minute at most; known or not",
    () =>
      Effect.gen(function* () {
        for (const name of [(yield* admin()).name, unique("nobody")]) {
          assert.deepStrictEqual(
            yield* guess(name, 5),
            Array.from({ length: 5 }, () => refused)
          )
          const waits: Array<string | number> = []
          for (let failure = 0; failure < 7; failure++) {
            const wait = yield* attempt(name, wrong)
            waits.push(wait)
            yield* TestClock.adjust(Number(wait) * 1_000)
            assert.strictEqual(yield* attempt(name, wrong), refused)
          }
          assert.deepStrictEqual(waits, [1, 2, 4, 8, 16, 30, 30])
        }
      })
  )

  it.effect("A3 a name that waits refuses the right password too, so that guesses tell nothing", () =>
    Effect.gen(function* () {
      const { name } = yield* admin()
      yield* guess(name, 6)
      assert.strictEqual(yield* attempt(name), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* attempt(name), "in")
      assert.strictEqual(yield* attempt(name, wrong), refused, "what failed before no longer counts")
    })
  )

  it.effect("A3 nobody is locked out of a browser in which they signed in before", () =>
    Effect.gen(function* () {
      const owner = yield* admin()
      const { browser: known } = yield* adminSession(owner)
      const own = { browser: { ...browser, known: Option.fromNullishOr(known) } }
      for (let round = 0; round < 40; round++) yield* guess(owner.name, 1)
      assert.isNumber(yield* attempt(owner.name), "others wait")
      assert.strictEqual(yield* attempt(owner.name, password, own), "in")
      yield* guess(owner.name, 6, own)
      assert.strictEqual(yield* attempt(owner.name, password, own), 1, "its own failures count for it")
    })
  )

  it.effect("A3 a browser that somebody else is known by is of no use", () =>
    Effect.gen(function* () {
      const { name } = yield* admin()
      const { browser: known } = yield* adminSession()
      yield* guess(name, 6)
      const foreign = { browser: { ...browser, known: Option.fromNullishOr(known) } }
      assert.strictEqual(yield* attempt(name, password, foreign), 1)
    })
  )

  it.effect("A3 an address that failed too often waits, whatever name it tries", () =>
    Effect.gen(function* () {
      const { name } = yield* admin()
      const address = freshAddress()
      for (let failure = 0; failure < 5; failure++) yield* attempt(unique("nobody"), wrong, { address })
      yield* attempt(unique("nobody"), wrong, { address })
      assert.isNumber(yield* attempt(name, password, { address }))
      assert.strictEqual(yield* attempt(name), "in")
    })
  )

  it.effect("A3 of 30 guesses at once no more than the free ones are tried", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id, name } = yield* admin()
      yield* Effect.forEach(Array.from({ length: 30 }), () => attempt(name, wrong), { concurrency: "unbounded" })
      const [row] = yield* sql<{ failures: number }>`
        select failures from sign_in_failures where subject = ${`admin:${id}`}`
      assert.strictEqual(row?.failures, 5)
      assert.isNumber(yield* attempt(name), "the next one waits")
    })
  )

  it.effect("A3 a right guess at the end of a burst is not tried either", () =>
    Effect.gen(function* () {
      const { name } = yield* admin()
      const burst = yield* Effect.forEach(
        [...Array.from({ length: 60 }, () => wrong), password],
        (secret) => attempt(name, secret),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(burst.filter((answer) => answer === refused).length, 5)
      assert.isFalse(burst.includes("in"))
    })
  )

  it.effect("A3 whoever has only the password cannot clear by it what they guessed of the factor", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const factors = yield* SecondFactors
      const owner = yield* admin()
      const { secret } = yield* factors.beginTotp(owner)
      yield* factors.confirmTotp(owner, totpCode(secret, yield* Clock.currentTimeMillis), null)
      const answers: Array<string> = []
      for (let guess = 0; guess < 8; guess++) {
        const step = yield* Effect.result(sessions.signIn({ name: owner.name, password }, browser))
        if (Result.isFailure(step)) answers.push(step.failure.code)
        else if (step.success._tag === "FactorAsked") {
          const answer = { kind: "totp", code: "000000" } as const
          const code = yield* Effect.flip(sessions.answerFactor(step.success.ceremony.ticket, answer, browser))
          answers.push(code.code)
        }
      }
      assert.deepStrictEqual(answers, [
        ...Array.from({ length: 5 }, () => "factor_refused"),
        ...Array.from({ length: 3 }, () => "too_many_attempts")
      ])
    }).pipe(Effect.provideService(Actor, { ...Fixtures.actor, kind: "stranger", address: "10.9.9.9" }))
  )

  it.effect("A4 a session that was begun with the password before opens no more", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* AdminSessions
      const factors = yield* SecondFactors
      const owner = yield* admin()
      const { secret } = yield* factors.beginTotp(owner)
      yield* factors.confirmTotp(owner, totpCode(secret, yield* Clock.currentTimeMillis), null)
      const step = yield* sessions.signIn({ name: owner.name, password }, browser)
      if (step._tag !== "FactorAsked") return assert.fail("no factor was asked for")
      yield* sql`update admins set password_hash = 'another' where id = ${owner.id}`
      yield* TestClock.adjust("60 seconds")
      const code = totpCode(secret, yield* Clock.currentTimeMillis)
      const late = yield* Effect.flip(sessions.answerFactor(step.ceremony.ticket, { kind: "totp", code }, browser))
      assert.strictEqual(late.code, "factor_refused")
    })
  )

  it.effect("A2 a session that a broker of the release before opened without the factor is none", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const factors = yield* SecondFactors
      const owner = yield* admin()
      const insert = (ticket: Redacted.Redacted<string>) =>
        Effect.flatMap(DateTime.now, (now) => {
          const at = DateTime.toDateUtc(now)
          return sql`
            insert into admin_sessions (digest, admin_id, created_at, last_used_at, expires_at, address, user_agent)
            values (${Ticket.digestOf(ticket)}, ${owner.id}, ${at}, ${at}, ${new Date(at.getTime() + 3_600_000)}, null, null)`
        })
      const before = Redacted.make(unique("ticket"))
      yield* insert(before)
      assert.isTrue(yield* isOpen(before))
      const { secret } = yield* factors.beginTotp(owner)
      yield* factors.confirmTotp(owner, totpCode(secret, yield* Clock.currentTimeMillis), null)
      const after = Redacted.make(unique("ticket"))
      yield* insert(after)
      assert.isFalse(yield* isOpen(after))
    })
  )

  it.effect("a shorter life of sessions holds for those that are open, and signing in ends what the browser had", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* AdminSessions
      const organizationId = yield* Fixtures.organization
      const owner = yield* admin({ organizationId })
      const { ticket } = yield* adminSession(owner)
      const next = yield* sessions.open(
        owner.id,
        { method: "password", factor: false },
        { ...browser, former: Option.some(ticket) }
      )
      assert.deepStrictEqual([yield* isOpen(ticket), yield* isOpen(next.ticket)], [false, true])
      yield* sql`
        insert into security_policies
          (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, updated_at)
        values (${organizationId}, false, 7200, 3600, now())`
      yield* sessions.forget
      yield* TestClock.adjust("3599 seconds")
      const late = yield* isOpen(next.ticket)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([late, yield* isOpen(next.ticket)], [true, false])
    })
  )

  it.effect("A3 who failed is listed with who has to wait first, and an admin can lift it", () =>
    Effect.gen(function* () {
      const defence = yield* SignInDefence
      const { name } = yield* admin()
      const nobody = unique("nobody")
      yield* guess(nobody, 1)
      yield* guess(name, 6)
      const listed = yield* defence.list(defaultOrganizationId)
      const mine = listed.find(({ subject }) => subject === name)
      assert.deepInclude(mine, { kind: "admin", failures: 5 })
      assert.isFalse(JSON.stringify(listed).includes(nobody), "what was typed is not kept")
      const organizationId = yield* Fixtures.organization
      const elsewhere = yield* Effect.flip(defence.lift(organizationId, mine?.id ?? ""))
      assert.strictEqual(elsewhere.code, "sign_in_failure_not_found")
      yield* defence.lift(defaultOrganizationId, mine?.id ?? "")
      assert.strictEqual(yield* attempt(name), "in")
      const again = yield* Effect.flip(defence.lift(defaultOrganizationId, mine?.id ?? ""))
      assert.strictEqual(again.code, "sign_in_failure_not_found")
    })
  )

  it.effect("A2 an admin who is disabled is answered like one who does not exist, and their sessions are over", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* AdminSessions
      yield* admin()
      const disabled = yield* admin({ role: "admin" })
      const { ticket } = yield* adminSession(disabled)
      yield* sql`update memberships set disabled_at = now() where admin_id = ${disabled.id}`
      yield* sessions.forget
      assert.deepStrictEqual([yield* attempt(disabled.name), yield* isOpen(ticket)], [refused, false])
    })
  )

  it.effect("a session that nobody opened is none", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* isOpen(Redacted.make("guessed")))
    })
  )

  it.effect("a session that is not used ends after 2 hours", () =>
    Effect.gen(function* () {
      const [used, idle] = [yield* session, yield* session]
      yield* TestClock.adjust("7199999 millis")
      const late = yield* isOpen(used)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([late, yield* isOpen(used), yield* isOpen(idle)], [true, true, false])
    })
  )

  it.effect("asking whether a session goes on is no use of it", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const ticket = yield* session
      yield* TestClock.adjust("7199999 millis")
      assert.isTrue(Option.isSome(yield* sessions.look(ticket)))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Option.isNone(yield* sessions.look(ticket)))
    })
  )

  it.effect("a session ends after a day, however busy", () =>
    Effect.gen(function* () {
      const { expiresAt, ticket } = yield* adminSession()
      assert.deepStrictEqual(DateTime.distance(yield* DateTime.now, expiresAt), Duration.days(1))
      for (let hour = 0; hour < 23; hour++) {
        yield* TestClock.adjust("1 hour")
        yield* isOpen(ticket)
      }
      yield* TestClock.adjust("3599999 millis")
      const last = yield* isOpen(ticket)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([last, yield* isOpen(ticket)], [true, false])
    })
  )

  it.effect("sessions last and idle as the organization's policy says", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      yield* sql`
            insert into security_policies
              (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, updated_at)
            values (${organizationId}, false, 600, 3600, now())`
      const owner = yield* admin({ organizationId })
      const { expiresAt, ticket } = yield* adminSession(owner)
      assert.deepStrictEqual(DateTime.distance(yield* DateTime.now, expiresAt), Duration.hours(1))
      yield* TestClock.adjust("600 seconds")
      assert.isFalse(yield* isOpen(ticket))
    })
  )

  it.effect("whoever signs out is out, and nobody else", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const [left, stays] = [yield* session, yield* session]
      yield* sessions.signOut(left)
      assert.deepStrictEqual([yield* isOpen(left), yield* isOpen(stays)], [false, true])
    })
  )

  it.effect("A4 a step-up by the password moves the session to a new id, and is good for ten minutes", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const { admin: owner, ticket } = yield* adminSession()
      yield* TestClock.adjust("601 seconds")
      assert.strictEqual((yield* Effect.flip(prove(owner))).code, "step_up_required")
      const step = (secret: typeof password) =>
        sessions.stepUp(owner, Option.none(), { kind: "password", password: secret }, browser)
      assert.strictEqual((yield* Effect.flip(step(wrong))).code, "wrong_password")
      const moved = yield* step(password)
      assert.deepStrictEqual([yield* isOpen(ticket), yield* isOpen(moved.ticket)], [false, true])
      const fresh = yield* sessions.authenticate(moved.ticket)
      yield* prove(fresh)
      assert.strictEqual(fresh.sessionId, owner.sessionId)
      yield* TestClock.adjust("601 seconds")
      assert.strictEqual((yield* Effect.flip(prove(fresh))).code, "step_up_required")
    })
  )

  it.effect("A4 a renewed session goes on under a new id, and all others end", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const owner = yield* admin()
      const [one, two] = [yield* adminSession(owner), yield* adminSession(owner)]
      const foreign = yield* session
      const renewed = yield* sessions.renew(one.admin, true)
      assert.deepStrictEqual(yield* Effect.forEach([one.ticket, two.ticket, foreign, renewed.ticket], isOpen), [
        false,
        false,
        true,
        true
      ])
    })
  )

  it.effect("lists an admin's own sessions, ends one of them or all others, and nobody else's", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const owner = yield* admin()
      const [one, two, three] = [yield* adminSession(owner), yield* adminSession(owner), yield* adminSession(owner)]
      const foreign = yield* adminSession()
      const listed = yield* sessions.list(one.admin)
      assert.strictEqual(listed.length, 3)
      assert.deepStrictEqual(
        listed.filter(({ current }) => current).map(({ id }) => id),
        [one.admin.sessionId]
      )
      const notMine = yield* Effect.flip(sessions.revoke(one.admin, foreign.admin.sessionId))
      assert.strictEqual(notMine.code, "admin_session_not_found")
      yield* sessions.revoke(one.admin, two.admin.sessionId)
      assert.strictEqual(yield* sessions.revokeOthers(one.admin), 1)
      assert.deepStrictEqual(yield* Effect.forEach([one, two, three, foreign], ({ ticket }) => isOpen(ticket)), [
        true,
        false,
        false,
        true
      ])
    })
  )

  it.effect("holds the permissions of the role, and none while a second factor is demanded and missing (A2)", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* AdminSessions
      const organizationId = yield* Fixtures.organization
      const owner = yield* admin({ organizationId })
      const { admin: signedIn, ticket } = yield* adminSession(owner)
      assert.deepStrictEqual(signedIn.permissions, builtInPermissions.owner)
      yield* sql`
            insert into security_policies
              (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, updated_at)
            values (${organizationId}, true, 7200, 86400, now())`
      yield* sessions.forget
      const demanded = yield* sessions.authenticate(ticket)
      assert.deepStrictEqual([demanded.mustEnrol, demanded.permissions.size], [true, 0])
    })
  )

  it.effect("sessions that are over are deleted, and no others", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      yield* TestClock.adjust("2 days")
      yield* sessions.prune
      yield* session
      yield* TestClock.adjust("1 hour")
      const ticket = yield* session
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* sessions.prune, 1)
      assert.isTrue(yield* isOpen(ticket))
    })
  )
})

/** Another node of the broker on the same database. */
const another = (url: Redacted.Redacted) =>
  Core.layer.pipe(
    Layer.provideMerge(Database.layer({ url, maxConnections: 4 })),
    Layer.provide(TestEncryption.layer),
    Layer.orDie
  )

describe("on two nodes", () => {
  it.live("a session that ended on one is over on the other within a second", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const on = yield* Layer.build(Layer.fresh(another(url)))
      const off = yield* Layer.build(Layer.fresh(another(url)))
      const { admin: owner, ticket } = yield* adminSession().pipe(
        Effect.provideService(Actor, Fixtures.actor),
        Effect.provide(on)
      )
      const elsewhere = isOpen(ticket).pipe(Effect.provide(off))
      assert.isTrue(yield* elsewhere)
      yield* AdminSessions.use((sessions) => sessions.end(owner.id)).pipe(Effect.provide(on))
      const over = yield* Effect.result(
        elsewhere.pipe(
          Effect.repeat({ while: (open) => open, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("1 second")
        )
      )
      assert.isTrue(Result.isSuccess(over))
    }).pipe(Effect.scoped)
  )
})
