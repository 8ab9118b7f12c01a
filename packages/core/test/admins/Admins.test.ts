import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { AdminName } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"

const { browser, password, unique } = Fixtures

/** The form of the first run, as it is sent. */
const form = (token: Redacted.Redacted<string>, name = unique("ada")) => ({
  token,
  name: AdminName.make(name),
  password
})

const ticketOf = Effect.flatMap(Admins, ({ setupTicket }) => Effect.map(setupTicket, Option.getOrThrow))

const setUp = Effect.fnUntraced(function* (token: Redacted.Redacted<string>, name?: string) {
  const admins = yield* Admins
  return yield* admins.setup(form(token, name), browser)
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
      const sessions = yield* AdminSessions
      const { ticket } = yield* setUp(yield* ticketOf, "ada")
      const { name, organizationId, role } = yield* sessions.authenticate(ticket)
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

const create = Effect.fnUntraced(function* (name: string, role: BuiltInRole = "admin") {
  const admins = yield* Admins
  return yield* admins.create({ organizationId: defaultOrganizationId, name: AdminName.make(name), password, role })
})

layer(Fixtures.layer)("Admins", (it) => {
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
