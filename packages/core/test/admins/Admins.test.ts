import { Admins } from "@broker/core/admins/Admins"
import { AdminName, type NewPassword, type Password, type Role } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Option, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { unique } = Fixtures

const password = Redacted.make("correct horse battery staple") satisfies NewPassword & Password

/** The form of the first run, as it is sent. */
const form = (token: Redacted.Redacted<string>, name = unique("ada")) => ({
  token,
  name: AdminName.make(name),
  password
})

const ticketOf = Effect.flatMap(Admins, ({ setupTicket }) => Effect.map(setupTicket, Option.getOrThrow))

const setUp = Effect.fnUntraced(function* (token: Redacted.Redacted<string>, name?: string) {
  const admins = yield* Admins
  return yield* admins.setup(form(token, name), null)
})

const owners = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ name: string }>`
    select a.name from admins a join memberships m on m.admin_id = a.id where m.role = 'owner'`
  return rows.map(({ name }) => name)
})

/** On an installation that nobody has set up yet. */
const onFresh = <A, E>(test: Effect.Effect<A, E, Layer.Success<typeof Fixtures.layer>>) =>
  Effect.provide(test, Layer.fresh(Fixtures.layer))

describe("The first run", () => {
  it.effect("A1 of 20 who finish it at once, one becomes the owner", () =>
    Effect.gen(function* () {
      const tickets = [yield* ticketOf, yield* ticketOf]
      const results = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, at) => tickets[at % 2] ?? Redacted.make("")),
        (ticket) => Effect.result(setUp(ticket)),
        { concurrency: "unbounded" }
      )
      const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
      assert.deepStrictEqual([results.filter(Result.isSuccess).length, new Set(codes)], [1, new Set(["setup_closed"])])
      assert.lengthOf(yield* owners, 1)
    }).pipe(onFresh)
  )

  it.effect("A1 of 20 who finish it at once under one name, one becomes the owner", () =>
    Effect.gen(function* () {
      const ticket = yield* ticketOf
      yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.result(setUp(ticket, "ada")), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* owners, ["ada"])
    }).pipe(onFresh)
  )

  it.effect("A1 whoever finishes it is signed in as the owner", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const { ticket } = yield* setUp(yield* ticketOf, "ada")
      const { name, organizationId, role } = yield* admins.authenticate(ticket)
      assert.deepStrictEqual([name, organizationId, role] as ReadonlyArray<string>, [
        "ada",
        defaultOrganizationId,
        "owner"
      ])
    }).pipe(onFresh)
  )

  it.effect("A1 it is closed for ever after, to every link that was printed", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const [used, other] = [yield* ticketOf, yield* ticketOf]
      yield* setUp(used)
      const again = yield* Effect.forEach([used, other], (ticket) => Effect.flip(setUp(ticket)))
      assert.deepStrictEqual(
        again.map(({ code }) => code),
        ["setup_closed", "setup_closed"]
      )
      assert.isFalse(yield* admins.isSetupOpen)
      assert.isTrue(Option.isNone(yield* admins.setupTicket))
    }).pipe(onFresh)
  )

  it.effect("A1 a link that the broker did not print opens nothing, and closes nothing", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const refused = yield* Effect.flip(setUp(Redacted.make("guessed")))
      assert.strictEqual(refused.code, "setup_closed")
      assert.isTrue(yield* admins.isSetupOpen)
    }).pipe(onFresh)
  )

  it.effect("A1 an admin that was created otherwise closes it too", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const ticket = yield* ticketOf
      yield* admins.create({
        organizationId: defaultOrganizationId,
        name: AdminName.make("ada"),
        password,
        role: "owner"
      })
      assert.strictEqual((yield* Effect.flip(setUp(ticket))).code, "setup_closed")
    }).pipe(onFresh)
  )
})

const create = Effect.fnUntraced(function* (name: string, role: Role = "admin") {
  const admins = yield* Admins
  return yield* admins.create({ organizationId: defaultOrganizationId, name: AdminName.make(name), password, role })
})

/** A session of a new admin. */
const session = Effect.gen(function* () {
  const admins = yield* Admins
  const name = unique("ada")
  yield* create(name)
  return yield* admins.signIn({ name, password }, "Firefox")
})

const isOpen = Effect.fnUntraced(function* (ticket: Redacted.Redacted<string>) {
  const admins = yield* Admins
  return yield* Effect.match(admins.authenticate(ticket), { onFailure: () => false, onSuccess: () => true })
})

layer(Fixtures.layer)("Admins", (it) => {
  it.effect("A3 a wrong name and a wrong password get one answer", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const name = unique("ada")
      yield* create(name)
      const wrong = Redacted.make("wrong")
      const answers = yield* Effect.forEach(
        [
          { name: unique("nobody"), password },
          { name, password: wrong }
        ],
        (request) => Effect.map(Effect.flip(admins.signIn(request, null)), (refused) => JSON.stringify({ ...refused }))
      )
      assert.strictEqual(answers[0], answers[1])
      assert.include(answers[0], "sign_in_refused")
    })
  )

  it.effect("A6 an attempt that was refused is in the audit log, without what was typed", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const sql = yield* SqlClient.SqlClient
      const name = unique("nobody")
      const [{ last }] = (yield* sql`select coalesce(max(id), 0)::text as last from audit_entries`) as [
        { last: string }
      ]
      yield* Effect.flip(admins.signIn({ name, password }, null))
      const entries = yield* sql`
        select action, outcome, host(address) as address, details from audit_entries where id > ${last}::bigint`
      assert.deepStrictEqual(entries, [
        { action: "admins:sign-in", outcome: "refused", address: "203.0.113.7", details: { name: null } }
      ])
    })
  )

  it.effect("signs in by the name in any case", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const name = unique("ada")
      yield* create(name)
      const { ticket } = yield* admins.signIn({ name: ` ${name.toUpperCase()} `, password }, null)
      assert.isTrue(yield* isOpen(ticket))
    })
  )

  it.effect("two admins don't share a name, in any case", () =>
    Effect.gen(function* () {
      const name = unique("ada")
      yield* create(name)
      assert.strictEqual((yield* Effect.flip(create(name.toUpperCase()))).code, "admin_name_taken")
    })
  )

  it.effect("of 10 who create one name at once, one does", () =>
    Effect.gen(function* () {
      const name = unique("ada")
      const results = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.result(create(name)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(results.filter(Result.isSuccess).length, 1)
    })
  )

  it.effect("a session that nobody opened is none", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* isOpen(Redacted.make("guessed")))
    })
  )

  it.effect("a session that is not used ends after 2 hours", () =>
    Effect.gen(function* () {
      const [{ ticket: used }, { ticket: idle }] = [yield* session, yield* session]
      yield* TestClock.adjust("7199999 millis")
      const late = yield* isOpen(used)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([late, yield* isOpen(used), yield* isOpen(idle)], [true, true, false])
    })
  )

  it.effect("a session ends after a day, however busy", () =>
    Effect.gen(function* () {
      const { expiresAt, ticket } = yield* session
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

  it.effect("whoever signs out is out, and nobody else", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const [{ ticket: left }, { ticket: stays }] = [yield* session, yield* session]
      yield* admins.signOut(left)
      assert.deepStrictEqual([yield* isOpen(left), yield* isOpen(stays)], [false, true])
    })
  )

  it.effect("sessions that are over are deleted, and no others", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      yield* TestClock.adjust("2 days")
      yield* admins.prune
      yield* session
      yield* TestClock.adjust("1 hour")
      const { ticket } = yield* session
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* admins.prune, 1)
      assert.isTrue(yield* isOpen(ticket))
    })
  )

  it.effect("A3 passwords are kept as argon2id of 19 MiB, 2 rounds, 1 lane, each with a salt of its own", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [one, two] = [yield* create(unique("ada")), yield* create(unique("ada"))]
      const rows = yield* sql<{ hash: string }>`
        select password_hash as hash from admins where id in (${one.id}, ${two.id})`
      assert.isTrue(rows.every(({ hash }) => hash.startsWith("$argon2id$v=19$m=19456,t=2,p=1$")))
      assert.strictEqual(new Set(rows.map(({ hash }) => hash)).size, 2)
    })
  )
})
