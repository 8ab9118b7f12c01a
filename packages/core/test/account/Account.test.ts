import { Account } from "@broker/core/account/Account"
import { AdminSessions, type SignedInAdmin } from "@broker/core/admin-sessions/AdminSessions"
import type * as Ticket from "@broker/core/admin-sessions/Ticket"
import { Actor } from "@broker/core/audit/Actor"
import { type Member, SecondFactors } from "@broker/core/second-factors/SecondFactors"
import type { AdminName } from "@broker/domain/Admin"
import { authenticator } from "@broker/testing/Authenticator"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { codeOf, demand, enrolPasskey, enrolTotp, member, origin } from "../second-factors/members.ts"

const problemOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

const { browser } = Fixtures

const first = Redacted.make("quartz-lantern-ninety-mossy-otter")
const second = Redacted.make("velvet-anchor-thirty-cloudy-raven")

/** Another who tries, from an address of their own: failures of one test slow down nobody in the next. */
const alone = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.provideService(test, Actor, { ...Fixtures.actor, address: null })

/** Opens a session. */
const session = Effect.fnUntraced(function* ({ id }: Pick<Member, "id">) {
  const sessions = yield* AdminSessions
  const { ticket } = yield* sessions.open(id, { method: "password", factor: true }, browser)
  return { ticket, admin: yield* sessions.authenticate(ticket) }
})

/** Whether a session is one still. */
const isOpen = (ticket: Ticket.Ticket) =>
  AdminSessions.use((sessions) => Effect.map(Effect.result(sessions.authenticate(ticket)), Result.isSuccess))

/** An owner with a password, at work in one browser, and signed in elsewhere too. */
const atWork = Effect.fnUntraced(function* (owner?: Member) {
  const account = yield* Account
  const sessions = yield* AdminSessions
  const admin = owner ?? (yield* member())
  const { ticket } = yield* account.changePassword((yield* session(admin)).admin, null, first)
  return { ticket, admin: yield* sessions.authenticate(ticket), elsewhere: (yield* session(admin)).ticket }
})

const signIn = (name: AdminName, password: Redacted.Redacted<string>) =>
  AdminSessions.use((sessions) => sessions.signIn({ name, password }, browser))

/** Enrols a passkey as a browser does. */
const addPasskey = Effect.fnUntraced(function* (admin: SignedInAdmin, device = authenticator(origin)) {
  const account = yield* Account
  const { asked, ticket } = yield* account.beginPasskey(admin)
  return yield* account.enrolPasskey(admin, ticket, "phone", device.create(asked.passkey ?? {}))
})

layer(Fixtures.layer)("Account", (it) => {
  it.effect("A4 a changed password ends the other sessions, and the own one goes on under a new id", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sessions = yield* AdminSessions
      const { admin, elsewhere, ticket } = yield* atWork()
      const renewed = yield* account.changePassword(admin, first, second)
      const after = yield* sessions.authenticate(renewed.ticket)
      assert.deepStrictEqual([yield* isOpen(ticket), yield* isOpen(elsewhere)], [false, false])
      assert.deepStrictEqual([after.id, after.sessionId], [admin.id, admin.sessionId])
    }).pipe(alone)
  )

  it.effect("A4 the new password opens, and the old one no more", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const { admin } = yield* atWork()
      yield* account.changePassword(admin, first, second)
      assert.deepStrictEqual(
        [yield* problemOf(signIn(admin.name, first)), (yield* signIn(admin.name, second))._tag],
        ["sign_in_refused", "Open"]
      )
    }).pipe(alone)
  )

  it.effect("A4 without the current password nothing changes, and the audit log tells of the attempt", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sql = yield* SqlClient.SqlClient
      const { admin, elsewhere, ticket } = yield* atWork()
      const codes = [
        yield* problemOf(account.changePassword(admin, second, second)),
        yield* problemOf(account.changePassword(admin, null, second))
      ]
      const outcomes = yield* sql<{ outcome: string }>`
        select outcome from audit_entries
         where subject_id = ${admin.id} and action = 'admins:change-password' order by id`
      assert.deepStrictEqual(codes, ["wrong_password", "wrong_password"])
      assert.deepStrictEqual([yield* isOpen(ticket), yield* isOpen(elsewhere)], [true, true])
      assert.deepStrictEqual(
        outcomes.map(({ outcome }) => outcome),
        ["done", "refused", "refused"]
      )
    }).pipe(alone)
  )

  it.effect("A3 whoever guesses at the current password has to wait; the same admin elsewhere has not", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const { admin, elsewhere } = yield* atWork()
      for (let failures = 0; failures < 5; failures += 1)
        yield* problemOf(account.changePassword(admin, second, second))
      const slowed = yield* problemOf(account.changePassword(admin, first, second))
      const other = yield* AdminSessions.use((sessions) => sessions.authenticate(elsewhere))
      const renewed = yield* account.changePassword(other, first, second)
      assert.deepStrictEqual([slowed, yield* isOpen(renewed.ticket)], ["too_many_attempts", true])
    }).pipe(alone)
  )

  it.effect("a password that is easily guessed is refused, and so is one's own name", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const { admin, elsewhere } = yield* atWork()
      const codes = yield* Effect.forEach(["password1234", "aaaaaaaaaaaaaaaa", admin.name], (next) =>
        problemOf(account.changePassword(admin, first, Redacted.make(next)))
      )
      assert.deepStrictEqual(
        [codes, yield* isOpen(elsewhere)],
        [["weak_password", "weak_password", "weak_password"], true]
      )
    }).pipe(alone)
  )

  it.effect("A4 of two who change a password at once, one does", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const { admin, elsewhere } = yield* atWork()
      const other = yield* AdminSessions.use((sessions) => sessions.authenticate(elsewhere))
      const results = yield* Effect.forEach(
        [admin, other],
        (one) => Effect.result(account.changePassword(one, first, second)),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(results.filter(Result.isSuccess), 1)
    }).pipe(alone)
  )

  it.effect("B9 no password stands in the database, nor in the audit log", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* atWork()
      yield* account.changePassword(admin, first, second)
      const rows = yield* sql<{ row: string }>`
        select to_jsonb(a)::text as row from admins a where id = ${admin.id}
         union all select to_jsonb(e)::text from audit_entries e where subject_id = ${admin.id}`
      const everything = rows.map(({ row }) => row).join("\n")
      assert.notInclude(everything, Redacted.value(first))
      assert.notInclude(everything, Redacted.value(second))
      assert.include(everything, "$argon2id$v=19$m=19456,t=2,p=1$")
    }).pipe(alone)
  )

  it.effect(
    "A4 a new app ends the other sessions, and shows recovery codes; the own session counts as proven by it",
    () =>
      Effect.gen(function* () {
        const account = yield* Account
        const sessions = yield* AdminSessions
        const factors = yield* SecondFactors
        const { admin, elsewhere, ticket } = yield* atWork()
        const { secret } = yield* factors.beginTotp(admin)
        const enrolled = yield* account.confirmTotp(admin, yield* codeOf(secret))
        const after = yield* sessions.authenticate(enrolled.session.ticket)
        const listed = yield* sessions.list(after)
        assert.deepStrictEqual([yield* isOpen(ticket), yield* isOpen(elsewhere)], [false, false])
        assert.deepStrictEqual(
          [enrolled.recoveryCodes?.length, after.factors, listed.map(({ current, factor }) => [current, factor])],
          [10, { totp: true, passkeys: 0, recoveryCodes: 10 }, [[true, true]]]
        )
      }).pipe(alone)
  )

  it.effect("A4 a wrong code ends no session", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const factors = yield* SecondFactors
      const { admin, elsewhere, ticket } = yield* atWork()
      const { secret } = yield* factors.beginTotp(admin)
      const refused = yield* problemOf(account.confirmTotp(admin, yield* codeOf(secret, 5)))
      assert.deepStrictEqual(
        [refused, yield* isOpen(ticket), yield* isOpen(elsewhere)],
        ["factor_unconfirmed", true, true]
      )
    }).pipe(alone)
  )

  it.effect("A4 an app or codes that are taken away end the other sessions, and move the own one", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sessions = yield* AdminSessions
      const admin = yield* member()
      yield* enrolTotp(admin)
      const { admin: before, elsewhere, ticket } = yield* atWork(admin)
      const renewed = yield* account.renewRecoveryCodes(before)
      const afterCodes = [yield* isOpen(ticket), yield* isOpen(elsewhere)]
      const again = (yield* session(admin)).ticket
      const removed = yield* account.removeTotp(yield* sessions.authenticate(renewed.session.ticket))
      const afterRemoval = [yield* isOpen(renewed.session.ticket), yield* isOpen(again)]
      const after = yield* sessions.authenticate(removed.ticket)
      assert.deepStrictEqual(
        [renewed.recoveryCodes.length, afterCodes, afterRemoval],
        [10, [false, false], [false, false]]
      )
      assert.deepStrictEqual(
        [before.factors, after.factors],
        [
          { totp: true, passkeys: 0, recoveryCodes: 10 },
          { totp: false, passkeys: 0, recoveryCodes: 0 }
        ]
      )
    }).pipe(alone)
  )

  it.effect("while one admin has many sets of codes made, others still reach the database", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sql = yield* SqlClient.SqlClient
      const owner = yield* member()
      yield* enrolTotp(owner)
      const { admin } = yield* session(owner)
      let renewed = 0
      const renewal = Effect.tap(account.renewRecoveryCodes(admin), () =>
        Effect.sync(() => {
          renewed++
        })
      )
      // Twice as many as there are connections; whatever each of them holds, the query comes after.
      yield* Effect.raceFirst(
        Effect.replicateEffect(renewal, 16, { concurrency: "unbounded", discard: true }),
        sql`select 1`
      )
      assert.strictEqual(renewed, 0)
    }).pipe(alone)
  )

  it.effect("A2 A4 where the last factor has to stay, sessions stay too", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const organizationId = yield* Fixtures.organization
      const owner = yield* member(organizationId)
      const { admin, elsewhere, ticket } = yield* atWork(owner)
      yield* enrolTotp(owner)
      yield* demand(organizationId)
      const refused = yield* problemOf(account.removeTotp(admin))
      assert.deepStrictEqual(
        [refused, yield* isOpen(ticket), yield* isOpen(elsewhere)],
        ["factor_demanded", true, true]
      )
    }).pipe(alone)
  )

  it.effect("A2 whoever enrols what is demanded may work from then on", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const organizationId = yield* Fixtures.organization
      yield* demand(organizationId)
      const { admin } = yield* session(yield* member(organizationId))
      const enrolled = yield* addPasskey(admin)
      const after = yield* sessions.authenticate(enrolled.session.ticket)
      assert.deepStrictEqual([admin.mustEnrol, admin.permissions.size], [true, 0])
      assert.deepStrictEqual([after.mustEnrol, after.permissions.has("admins:reset")], [false, true])
    }).pipe(alone)
  )

  it.effect("A2 A4 a new passkey ends the other sessions, and signs in alone", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const { admin, elsewhere, ticket } = yield* atWork()
      const device = authenticator(origin)
      const enrolled = yield* addPasskey(admin, device)
      const { asked, ticket: ceremony } = yield* sessions.beginPasskey
      const opened = yield* sessions.signInByPasskey(ceremony, device.get(asked.passkey ?? {}), browser)
      const signedIn = yield* sessions.authenticate(opened.ticket)
      assert.deepStrictEqual(
        [yield* isOpen(ticket), yield* isOpen(elsewhere), yield* isOpen(enrolled.session.ticket)],
        [false, false, true]
      )
      assert.deepStrictEqual([enrolled.recoveryCodes?.length, signedIn.id, signedIn.method], [10, admin.id, "passkey"])
    }).pipe(alone)
  )

  it.effect("A2 an enrolment is answered once, in time, and by whoever began it", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const { admin } = yield* atWork()
      const { admin: other } = yield* atWork()
      const begin = Effect.map(account.beginPasskey(admin), ({ asked, ticket }) => ({
        ticket,
        response: authenticator(origin).create(asked.passkey ?? {})
      }))
      const [used, stolen, late] = [yield* begin, yield* begin, yield* begin]
      const answer = (by: SignedInAdmin, { response, ticket }: Effect.Success<typeof begin>) =>
        Effect.result(account.enrolPasskey(by, ticket, "phone", response))
      const twice = yield* Effect.replicateEffect(answer(admin, used), 2, { concurrency: "unbounded" })
      const others = yield* answer(other, stolen)
      yield* TestClock.adjust("5 minutes")
      const after = yield* answer(admin, late)
      assert.deepStrictEqual(
        [twice.filter(Result.isSuccess).length, Result.isSuccess(others), Result.isSuccess(after)],
        [1, false, false]
      )
    }).pipe(alone)
  )

  it.effect("A4 a passkey that is removed ends the other sessions, moves the own one, and opens none", () =>
    Effect.gen(function* () {
      const account = yield* Account
      const sessions = yield* AdminSessions
      const owner = yield* member()
      const { device } = yield* enrolPasskey(owner)
      const { admin, elsewhere, ticket } = yield* atWork(owner)
      const { asked, ticket: ceremony } = yield* sessions.beginPasskey
      const sql = yield* SqlClient.SqlClient
      const [passkey] = yield* sql<{ id: Parameters<typeof account.removePasskey>[1] }>`
        select id from passkeys where admin_id = ${owner.id}`
      if (passkey === undefined) return assert.fail("the passkey is not there")
      const removed = yield* account.removePasskey(admin, passkey.id)
      const refused = yield* problemOf(sessions.signInByPasskey(ceremony, device.get(asked.passkey ?? {}), browser))
      assert.deepStrictEqual(
        [yield* isOpen(ticket), yield* isOpen(elsewhere), yield* isOpen(removed.ticket), refused],
        [false, false, true, "factor_refused"]
      )
    }).pipe(alone)
  )

  it.effect("A2 at a sign-in an app's code, a passkey or a recovery code will do, and each works once", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const owner = yield* member()
      const { codes, secret } = yield* enrolTotp(owner)
      const { device } = yield* enrolPasskey(owner)
      const { admin } = yield* atWork(owner)
      yield* TestClock.adjust("1 minute")
      const code = yield* codeOf(secret)
      const step = Effect.gen(function* () {
        const answer = yield* signIn(admin.name, first)
        if (answer._tag === "Open") return yield* Effect.die("no factor was asked for")
        return answer.ceremony
      })
      const open = Effect.fnUntraced(function* (
        answer: Parameters<typeof sessions.answerFactor>[1],
        ceremony: Effect.Success<typeof step>
      ) {
        return Result.isSuccess(yield* Effect.result(sessions.answerFactor(ceremony.ticket, answer, browser)))
      })
      const totp = { kind: "totp", code } as const
      const recovery = { kind: "recovery-code", code: codes[0] ?? "" } as const
      const asked = yield* step
      const passkey = { kind: "passkey", response: device.get(asked.asked.passkey ?? {}) } as const
      assert.deepStrictEqual(asked.asked.methods, ["totp", "passkey", "recovery-code"])
      assert.deepStrictEqual(
        [
          yield* open(totp, yield* step),
          yield* open(totp, yield* step),
          yield* open(recovery, yield* step),
          yield* open(recovery, yield* step),
          yield* open(passkey, asked),
          yield* open(passkey, asked)
        ],
        [true, false, true, false, true, false]
      )
    }).pipe(alone)
  )

  it.effect("A6 what an admin changes of their own stands in the audit log, by whom and from where", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* atWork()
      yield* addPasskey(admin)
      const entries = yield* sql`
          select action, subject_kind, actor_name, request_id, details
            from audit_entries
           where (subject_id = ${admin.id} or subject_id in (select id from passkeys where admin_id = ${admin.id}))
             and action in ('admins:change-password', 'passkeys:enrol')
        order by id`
      const by = { actorName: Fixtures.actor.name, requestId: Fixtures.actor.requestId }
      assert.deepStrictEqual(entries, [
        { ...by, action: "admins:change-password", subjectKind: "admin", details: { name: admin.name } },
        { ...by, action: "passkeys:enrol", subjectKind: "passkey", details: { admin: admin.name, name: "phone" } }
      ])
    }).pipe(alone)
  )
})
