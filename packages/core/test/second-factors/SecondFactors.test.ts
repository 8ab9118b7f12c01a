import { type Member, SecondFactors } from "@broker/core/second-factors/SecondFactors"
import { AdminName } from "@broker/domain/Admin"
import { RecoveryCode } from "@broker/domain/SecondFactor"
import { totpCode } from "@broker/testing/Authenticator"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { audited, codeOf, demand, enrolPasskey, enrolTotp, member } from "./members.ts"

const problemOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

/** As `Account` does: the codes first, then the transaction. */
const confirm = Effect.fnUntraced(function* (admin: Member, code: string) {
  const factors = yield* SecondFactors
  return yield* factors.confirmTotp(admin, code, yield* factors.firstCodes(admin.id))
})

const renew = Effect.fnUntraced(function* (admin: Member) {
  const factors = yield* SecondFactors
  return yield* factors.renewRecoveryCodes(admin, yield* factors.freshCodes(admin.id))
})

const isRecoveryCode = Schema.is(RecoveryCode)

/** All that the database has of somebody, as text. */
const everythingOf = Effect.fnUntraced(function* (adminId: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ row: string }>`
    select to_jsonb(a)::text as row from admins a where id = ${adminId}
     union all select to_jsonb(c)::text from recovery_codes c where admin_id = ${adminId}
     union all select to_jsonb(e)::text from audit_entries e where subject_id = ${adminId}`
  return rows.map(({ row }) => row).join("\n")
})

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.replicateEffect(effect, count, { concurrency: "unbounded" })

describe("totpCode", () => {
  it("tells the codes of RFC 6238, appendix B", () => {
    const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    const seconds = [59, 1_111_111_109, 1_111_111_111, 1_234_567_890, 2_000_000_000, 20_000_000_000]
    assert.deepStrictEqual(
      seconds.map((second) => totpCode(secret, second * 1_000)),
      ["287082", "081804", "050471", "005924", "279037", "353130"]
    )
  })
})

layer(Fixtures.layer)("SecondFactors", (it) => {
  it.effect("A2 an app enrols by a secret of 160 bits, and by a URI that names the broker and the admin", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret, uri } = yield* factors.beginTotp({ ...admin, name: AdminName.make("ada & bob@example.org") })
      const shown = new URL(Redacted.value(uri))
      assert.match(Redacted.value(secret), /^[A-Z2-7]{32}$/)
      assert.deepStrictEqual(
        [shown.protocol, shown.host, shown.pathname, Object.fromEntries(shown.searchParams)],
        [
          "otpauth:",
          "totp",
          "/localhost:ada%20%26%20bob%40example.org",
          { issuer: "localhost", algorithm: "SHA1", secret: Redacted.value(secret), period: "30", digits: "6" }
        ]
      )
    })
  )

  it.effect("A2 an app counts once a code of it has confirmed it, and not before", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* factors.beginTotp(admin)
      const before = yield* factors.useTotp(admin.id, yield* codeOf(secret))
      yield* confirm(admin, yield* codeOf(secret))
      assert.deepStrictEqual([before, yield* factors.useTotp(admin.id, yield* codeOf(secret, 1))], [false, true])
    })
  )

  it.effect("A2 a secret that never was confirmed is replaced by the next", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const [forgotten, { secret }] = [yield* factors.beginTotp(admin), yield* factors.beginTotp(admin)]
      const refused = yield* problemOf(confirm(admin, yield* codeOf(forgotten.secret)))
      assert.strictEqual(refused, "factor_unconfirmed")
      assert.lengthOf((yield* confirm(admin, yield* codeOf(secret))) ?? [], 10)
    })
  )

  it.effect("A2 a wrong code confirms nothing, nor does one without a secret", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const without = yield* problemOf(confirm(admin, "000000"))
      const { secret } = yield* factors.beginTotp(admin)
      const late = yield* codeOf(secret, -2)
      assert.deepStrictEqual(
        [without, yield* problemOf(confirm(admin, late))],
        ["factor_unconfirmed", "factor_unconfirmed"]
      )
    })
  )

  it.effect("A2 the code that confirmed an app is used up by that", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* enrolTotp(admin)
      assert.isFalse(yield* factors.useTotp(admin.id, yield* codeOf(secret)))
    })
  )

  it.effect("A2 whoever has an app neither begins another nor confirms again", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* enrolTotp(admin)
      const codes = [
        yield* problemOf(factors.beginTotp(admin)),
        yield* problemOf(confirm(admin, yield* codeOf(secret, 1)))
      ]
      assert.deepStrictEqual(codes, ["factor_enrolled", "factor_enrolled"])
    })
  )

  for (const [steps, right] of [
    [-2, false],
    [-1, true],
    [0, true],
    [1, true],
    [2, false]
  ] as const) {
    it.effect(`A2 a code ${steps} steps away is ${right ? "right" : "wrong"}`, () =>
      Effect.gen(function* () {
        const factors = yield* SecondFactors
        const admin = yield* member()
        const { secret } = yield* enrolTotp(admin)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* factors.useTotp(admin.id, yield* codeOf(secret, steps)), right)
      })
    )
  }

  it.effect("A2 a code works once, and none of an earlier step works after it", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* enrolTotp(admin)
      yield* TestClock.adjust("10 minutes")
      const use = (steps: number) => Effect.flatMap(codeOf(secret, steps), (code) => factors.useTotp(admin.id, code))
      assert.deepStrictEqual(
        [yield* use(0), yield* use(0), yield* use(-1), yield* use(1), yield* use(1)],
        [true, false, false, true, false]
      )
    })
  )

  it.effect("A2 of the same code 20 times at once, one is right", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* enrolTotp(admin)
      yield* TestClock.adjust("1 minute")
      const answers = yield* times(20, factors.useTotp(admin.id, yield* codeOf(secret)))
      assert.lengthOf(answers.filter(Boolean), 1)
    })
  )

  it.effect("A2 a code is good for whose app showed it, and for nobody else", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const [admin, other, nobody] = [yield* member(), yield* member(), yield* member()]
      const { secret } = yield* enrolTotp(admin)
      yield* enrolTotp(other)
      yield* TestClock.adjust("1 minute")
      const code = yield* codeOf(secret)
      const answers = [yield* factors.useTotp(other.id, code), yield* factors.useTotp(nobody.id, code)]
      assert.deepStrictEqual(answers, [false, false])
    })
  )

  it.effect("A2 what is no code at all is wrong", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      yield* enrolTotp(admin)
      const answers = yield* Effect.forEach(["", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "\u0000".repeat(6)], (code) =>
        factors.useTotp(admin.id, code)
      )
      assert.isFalse(answers.some(Boolean))
    })
  )

  it.effect("J6 B9 the secret of an app stands nowhere in the database that it could be read", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* enrolTotp(admin)
      const removed = yield* factors.beginTotp(yield* member())
      const everything = yield* everythingOf(admin.id)
      assert.notInclude(everything, Redacted.value(secret))
      const [row] = yield* sql<{ sealed: Uint8Array }>`select totp_secret as sealed from admins where id = ${admin.id}`
      // 160 bits, in base32 five to a letter, as the bytes that they are.
      const bits = Array.from(Redacted.value(secret), (letter) =>
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")
      ).join("")
      const raw = Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)))
      assert.isFalse(Buffer.from(row?.sealed ?? []).includes(raw))
      assert.notStrictEqual(Redacted.value(removed.secret), Redacted.value(secret))
    })
  )

  it.effect("J6 a sealed secret is good for one admin alone: copied to another it does not open", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const factors = yield* SecondFactors
      const [admin, thief] = [yield* member(), yield* member()]
      const { secret } = yield* enrolTotp(admin)
      yield* sql`
        update admins
           set (totp_secret, totp_confirmed_at) = (select totp_secret, totp_confirmed_at from admins where id = ${admin.id})
         where id = ${thief.id}`
      yield* TestClock.adjust("1 minute")
      const exit = yield* Effect.exit(factors.useTotp(thief.id, yield* codeOf(secret)))
      assert.strictEqual(exit._tag, "Failure")
    })
  )

  it.effect("A2 the first factor comes with ten recovery codes, the second with none", () =>
    Effect.gen(function* () {
      const admin = yield* member()
      const first = yield* enrolTotp(admin)
      const second = yield* enrolPasskey(admin)
      assert.deepStrictEqual([first.codes.length, new Set(first.codes).size, second.codes.length], [10, 10, 0])
      assert.isTrue(first.codes.every((code) => isRecoveryCode(code)))
    })
  )

  it.effect("A2 of two first factors at once, one comes with recovery codes", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* factors.beginTotp(admin)
      const code = yield* codeOf(secret)
      const [totp, passkey] = yield* Effect.all([confirm(admin, code), enrolPasskey(admin)], {
        concurrency: "unbounded"
      })
      assert.strictEqual((totp ?? []).length + passkey.codes.length, 10)
    })
  )

  it.effect("A2 B9 recovery codes are shown once, and only slow digests of them are kept", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const admin = yield* member()
      const { codes } = yield* enrolTotp(admin)
      const everything = yield* everythingOf(admin.id)
      for (const code of codes) {
        assert.notInclude(everything, code)
        assert.notInclude(everything, Buffer.from(code).toString("hex"))
      }
      const [kept] = yield* sql<{ digests: number }>`
        select count(distinct digest)::int as digests from recovery_codes where admin_id = ${admin.id}`
      assert.strictEqual(kept?.digests, 10)
    })
  )

  it.effect(
    "A2 of the same recovery code 20 times at once, one is right, and the audit log tells how many are left",
    () =>
      Effect.gen(function* () {
        const factors = yield* SecondFactors
        const admin = yield* member()
        const { codes } = yield* enrolTotp(admin)
        const answers = yield* times(20, factors.useRecoveryCode(admin.id, codes[3] ?? ""))
        yield* factors.useRecoveryCode(admin.id, codes[4] ?? "")
        const uses = (yield* audited(admin.id)).filter(({ action }) => action === "recovery-codes:use")
        assert.lengthOf(answers.filter(Boolean), 1)
        assert.deepStrictEqual(
          uses.map(({ details }) => details.left),
          [9, 8]
        )
      })
  )

  it.effect("A2 a recovery code of somebody else is wrong, and one that was never given out", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const [admin, other] = [yield* member(), yield* member()]
      const { codes } = yield* enrolTotp(admin)
      yield* enrolTotp(other)
      const answers = yield* Effect.forEach([codes[0] ?? "", "22222-22222", "", "x".repeat(1_000)], (code) =>
        factors.useRecoveryCode(other.id, code)
      )
      assert.isFalse(answers.some(Boolean))
      assert.isTrue(yield* factors.useRecoveryCode(admin.id, codes[0] ?? ""))
    })
  )

  it.effect("A2 new recovery codes end the old ones; there are none for whoever has no factor", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const none = yield* renew(admin)
      const { codes } = yield* enrolTotp(admin)
      const renewed = (yield* renew(admin)).map(Redacted.value)
      assert.deepStrictEqual(
        [
          none.length,
          renewed.length,
          yield* factors.useRecoveryCode(admin.id, codes[0] ?? ""),
          yield* factors.useRecoveryCode(admin.id, renewed[0] ?? "")
        ],
        [0, 10, false, true]
      )
    })
  )

  it.effect("A2 an app that is removed is gone with its codes, and recovery codes go with the last factor", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { codes, secret } = yield* enrolTotp(admin)
      yield* TestClock.adjust("1 minute")
      yield* factors.removeTotp(admin)
      yield* factors.removeTotp(admin)
      assert.deepStrictEqual(
        [
          yield* factors.useTotp(admin.id, yield* codeOf(secret)),
          yield* factors.useRecoveryCode(admin.id, codes[0] ?? ""),
          (yield* enrolTotp(admin)).codes.length
        ],
        [false, false, 10]
      )
    })
  )

  it.effect("A2 the last factor stays while the organization demands one, and one that never counted may go", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const organizationId = yield* Fixtures.organization
      yield* demand(organizationId)
      const [admin, beginner] = [yield* member(organizationId), yield* member(organizationId)]
      const { secret } = yield* enrolTotp(admin)
      const { secret: begun } = yield* factors.beginTotp(beginner)
      yield* factors.removeTotp(beginner)
      const refused = yield* problemOf(factors.removeTotp(admin))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        [
          refused,
          yield* factors.useTotp(admin.id, yield* codeOf(secret)),
          yield* problemOf(confirm(beginner, yield* codeOf(begun)))
        ],
        ["factor_demanded", true, "factor_unconfirmed"]
      )
      yield* demand(organizationId, false)
      yield* factors.removeTotp(admin)
    })
  )

  it.effect("A2 a reset takes away everything: app, passkeys and codes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { codes, secret } = yield* enrolTotp(admin)
      yield* enrolPasskey(admin)
      yield* TestClock.adjust("1 minute")
      yield* factors.reset(admin.id)
      const [left] = yield* sql<{ left: number }>`
        select (select count(*) from passkeys where admin_id = ${admin.id})::int
             + (select count(*) from recovery_codes where admin_id = ${admin.id})::int as left`
      assert.deepStrictEqual(
        [
          left?.left,
          yield* factors.useTotp(admin.id, yield* codeOf(secret)),
          yield* factors.useRecoveryCode(admin.id, codes[0] ?? "")
        ],
        [0, false, false]
      )
    })
  )

  it.effect("A6 every change of factors stands in the audit log, without their secrets", () =>
    Effect.gen(function* () {
      const factors = yield* SecondFactors
      const admin = yield* member()
      yield* enrolTotp(admin)
      yield* renew(admin)
      yield* factors.removeTotp(admin)
      assert.deepStrictEqual(yield* audited(admin.id), [
        { action: "second-factors:begin", details: { name: admin.name, factor: "totp" } },
        { action: "second-factors:enrol", details: { name: admin.name, factor: "totp" } },
        { action: "recovery-codes:renew", details: { name: admin.name, codes: 10 } },
        { action: "second-factors:remove", details: { name: admin.name, factor: "totp" } }
      ])
    })
  )

  it.effect("what fails half way leaves nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const factors = yield* SecondFactors
      const admin = yield* member()
      const { secret } = yield* factors.beginTotp(admin)
      const code = yield* codeOf(secret)
      const result = yield* Effect.result(
        confirm(admin, code).pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction)
      )
      assert.isTrue(Result.isFailure(result))
      assert.lengthOf((yield* confirm(admin, code)) ?? [], 10)
    })
  )
})
