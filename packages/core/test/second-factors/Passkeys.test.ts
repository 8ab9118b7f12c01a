import { Passkeys } from "@broker/core/second-factors/Passkeys"
import { PasskeyId } from "@broker/domain/SecondFactor"
import { type Asked, authenticator, type Flaws } from "@broker/testing/Authenticator"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Option, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { audited, demand, enrolPasskey, enrolTotp, member, origin, signBy } from "./members.ts"

const problemOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

/** What a browser may send instead of an honest answer, and what is wrong with it. */
const flaws: ReadonlyArray<readonly [string, Flaws]> = [
  ["another challenge", { challenge: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }],
  ["another origin", { origin: "https://broker.example" }],
  ["another port of the host", { origin: "http://localhost:3001" }],
  ["another rpId", { rpId: "broker.example" }],
  ["nobody verified", { userVerified: false }],
  ["nobody present", { userPresent: false }],
  ["another kind of ceremony", { type: "payment.get" }],
  ["a page that shows ours in a frame", { crossOrigin: true }]
]

const signingFlaws: ReadonlyArray<readonly [string, Flaws]> = [
  ...flaws,
  [
    "a signature with one bit turned",
    { signature: (bytes) => Buffer.from(bytes.map((byte, at) => (at === 9 ? byte ^ 1 : byte))) }
  ],
  ["no signature", { signature: () => Buffer.alloc(0) }],
  ["the handle of somebody else", { userHandle: "AAAAAAAAAAAAAAAAAAAAAA" }],
  ["a passkey that nobody has", { credentialId: "AAAAAAAAAAAAAAAAAAAAAA" }]
]

/** Security events of an organization. */
const alarms = Effect.fnUntraced(function* (organizationId: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select kind, severity, details from security_events where organization_id = ${organizationId}`
})

layer(Fixtures.layer)("Passkeys", (it) => {
  it.effect("A2 a passkey is asked for that says itself whose it is, with the person verified", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      const { device } = yield* enrolPasskey(admin)
      const [listed] = yield* passkeys.list(admin.id)
      const enrolment = yield* passkeys.beginEnrolment(admin)
      const request = yield* passkeys.request(null)
      assert.deepInclude(enrolment.options, {
        rp: { name: "localhost", id: "localhost" },
        user: {
          id: Buffer.from(admin.id.replaceAll("-", ""), "hex").toString("base64url"),
          name: admin.name,
          displayName: admin.name
        },
        attestation: "none",
        authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
        excludeCredentials: [
          {
            id: Buffer.from(listed?.credentialId ?? []).toString("base64url"),
            type: "public-key",
            transports: ["internal", "hybrid"]
          }
        ]
      })
      assert.deepInclude(request.options, { rpId: "localhost", userVerification: "required", allowCredentials: [] })
      assert.throws(() => device.create(enrolment.options), "InvalidStateError")
    })
  )

  it.effect("what browsers are asked survives the way to them, as JSON", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      yield* enrolPasskey(admin)
      const asked = [yield* passkeys.beginEnrolment(admin), yield* passkeys.request(admin.id)]
      assert.deepStrictEqual(JSON.parse(JSON.stringify(asked)), asked)
    })
  )

  it.effect("A2 who made a passkey does not matter: it may vouch for itself, and certificates are refused unread", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      const enrol = Effect.fnUntraced(function* (attestation: NonNullable<Flaws["attestation"]>) {
        const { challenge, options } = yield* passkeys.beginEnrolment(admin)
        const response = authenticator(origin).create(options, { attestation })
        return yield* Effect.result(passkeys.enrol(admin, attestation, response, challenge, null))
      })
      const results = yield* Effect.forEach(["none", "self", "certificate"] as const, enrol)
      assert.deepStrictEqual(results.map(Result.isSuccess), [true, true, false])
    })
  )

  it.effect("A2 every challenge is another: 32 bytes", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const requests = yield* Effect.replicateEffect(passkeys.request(null), 20)
      const challenges = new Set(requests.map(({ challenge }) => Buffer.from(challenge, "base64url").toString("hex")))
      assert.deepStrictEqual(
        [challenges.size, new Set([...challenges].map(({ length }) => length))],
        [20, new Set([64])]
      )
    })
  )

  it.effect("A2 whoever enrolled a passkey is known by it, with and without being named", () =>
    Effect.gen(function* () {
      const admin = yield* member()
      const { device } = yield* enrolPasskey(admin)
      assert.deepStrictEqual(
        [yield* signBy(device), yield* signBy(device, {}, admin.id)],
        [Option.some(admin.id), Option.some(admin.id)]
      )
    })
  )

  it.effect("A2 a passkey is listed with its name and its last use", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      const { device } = yield* enrolPasskey(admin)
      const [before] = yield* passkeys.list(admin.id)
      yield* signBy(device)
      const [after] = yield* passkeys.list(admin.id)
      assert.deepStrictEqual(
        [before?.name, before?.backedUp, before?.lastUsedAt === null, after?.lastUsedAt === null],
        ["phone", true, true, false]
      )
    })
  )

  for (const [what, flaw] of flaws) {
    it.effect(`A2 no passkey is enrolled with ${what}`, () =>
      Effect.gen(function* () {
        const passkeys = yield* Passkeys
        const admin = yield* member()
        const { challenge, options } = yield* passkeys.beginEnrolment(admin)
        const response = authenticator(origin).create(options, flaw)
        assert.strictEqual(
          yield* problemOf(passkeys.enrol(admin, "phone", response, challenge, null)),
          "factor_unconfirmed"
        )
        assert.lengthOf(yield* passkeys.list(admin.id), 0)
      })
    )
  }

  for (const [what, flaw] of signingFlaws) {
    it.effect(`A2 nobody is known by a passkey with ${what}, and it goes on to work`, () =>
      Effect.gen(function* () {
        const admin = yield* member()
        const { device } = yield* enrolPasskey(admin)
        assert.deepStrictEqual(
          [yield* signBy(device, flaw), yield* signBy(device)],
          [Option.none(), Option.some(admin.id)]
        )
      })
    )
  }

  it.effect("A2 an enrolment is no sign-in, nor a sign-in an enrolment", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      const { device } = yield* enrolPasskey(admin)
      const enrolment = yield* passkeys.beginEnrolment(admin)
      const request = yield* passkeys.request(null)
      const signed = device.get(request.options)
      const created = authenticator(origin).create(enrolment.options)
      assert.deepStrictEqual(
        [
          yield* passkeys.verify(created, enrolment.challenge),
          yield* problemOf(passkeys.enrol(admin, "phone", signed, request.challenge, null))
        ],
        [Option.none(), "factor_unconfirmed"] as const
      )
    })
  )

  it.effect("A2 the answer to one request is no answer to the next", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const { device } = yield* enrolPasskey(yield* member())
      const { options } = yield* passkeys.request(null)
      const { challenge } = yield* passkeys.request(null)
      assert.deepStrictEqual(yield* passkeys.verify(device.get(options), challenge), Option.none())
    })
  )

  it.effect("A2 a passkey of one admin never stands for another", () =>
    Effect.gen(function* () {
      const [admin, other] = [yield* member(), yield* member()]
      const { device } = yield* enrolPasskey(admin)
      const { device: others } = yield* enrolPasskey(other)
      const swapped = others.get((yield* Passkeys.use((passkeys) => passkeys.request(null))).options)
      assert.deepStrictEqual(
        [
          yield* signBy(device, { credentialId: swapped.id }),
          yield* signBy(device, { userHandle: swapped.response.userHandle })
        ],
        [Option.none(), Option.none()]
      )
    })
  )

  it.effect("A2 nobody enrols a passkey that somebody has", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const [admin, thief] = [yield* member(), yield* member()]
      yield* enrolPasskey(admin)
      const [taken] = yield* passkeys.list(admin.id)
      const credentialId = Buffer.from(taken?.credentialId ?? []).toString("base64url")
      const { challenge, options } = yield* passkeys.beginEnrolment(thief)
      const response = authenticator(origin).create(options, { credentialId })
      assert.strictEqual(
        yield* problemOf(passkeys.enrol(thief, "mine", response, challenge, null)),
        "factor_unconfirmed"
      )
      assert.deepStrictEqual(
        (yield* passkeys.list(admin.id)).map(({ adminId }) => adminId),
        [admin.id]
      )
    })
  )

  it.effect("A2 the longest id of a passkey is taken, and none beyond", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const admin = yield* member()
      const enrol = Effect.fnUntraced(function* (bytes: number) {
        const credentialId = Buffer.alloc(bytes, Fixtures.unique("id")).toString("base64url")
        const { challenge, options } = yield* passkeys.beginEnrolment(admin)
        return yield* passkeys.enrol(
          admin,
          "key",
          authenticator(origin).create(options, { credentialId }),
          challenge,
          null
        )
      })
      const sizes = [1, 1_022, 1_023, 1_024, 4_000]
      const results = yield* Effect.forEach(sizes, (bytes) => Effect.result(enrol(bytes)))
      assert.deepStrictEqual(results.map(Result.isSuccess), [true, true, true, false, false])
    })
  )

  it.effect("A2 a counter that goes back, or stays, is refused and is a security event; others go on", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const admin = yield* member(organizationId)
      const { device } = yield* enrolPasskey(admin, authenticator(origin, { counts: true }))
      const answers = [
        yield* signBy(device, { counter: 7 }),
        yield* signBy(device, { counter: 7 }),
        yield* signBy(device, { counter: 3 }),
        yield* signBy(device, { counter: 0 }),
        yield* signBy(device, { counter: 8 })
      ]
      const rung = yield* alarms(organizationId)
      assert.deepStrictEqual(answers.map(Option.isSome), [true, false, false, false, true])
      assert.deepStrictEqual(
        rung.map(({ kind, severity }) => [kind, severity]),
        [7, 3, 0].map(() => ["passkey_cloned", "high"])
      )
      assert.deepInclude(rung[1]?.["details"], { admin: admin.id, name: admin.name, expectedAbove: 7, counter: 3 })
    })
  )

  it.effect("A2 of one that counts, used 20 times at once with the same count, one use is right", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const { device } = yield* enrolPasskey(yield* member(), authenticator(origin, { counts: true }))
      const { challenge, options } = yield* passkeys.request(null)
      const response = device.get(options)
      const answers = yield* Effect.replicateEffect(passkeys.verify(response, challenge), 20, {
        concurrency: "unbounded"
      })
      assert.lengthOf(answers.filter(Option.isSome), 1)
    })
  )

  it.effect("A2 a forged counter rings no alarm: the signature comes first", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const { device } = yield* enrolPasskey(yield* member(organizationId), authenticator(origin, { counts: true }))
      yield* signBy(device, { counter: 0, signature: (bytes) => Buffer.from(bytes).reverse() })
      assert.lengthOf(yield* alarms(organizationId), 0)
    })
  )

  it.effect("A2 a passkey that is removed stands for nobody; one of another admin is not there", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const [admin, other] = [yield* member(), yield* member()]
      const { device } = yield* enrolPasskey(admin)
      const [passkey] = yield* passkeys.list(admin.id)
      const id = passkey?.id ?? PasskeyId.make(admin.id)
      const strange = [
        yield* problemOf(passkeys.remove(other, id)),
        yield* problemOf(passkeys.rename(other, id, "mine")),
        yield* problemOf(passkeys.remove(admin, PasskeyId.make(admin.id)))
      ]
      const renamed = yield* passkeys.rename(admin, id, "tablet")
      yield* passkeys.remove(admin, id)
      assert.deepStrictEqual(strange, ["passkey_not_found", "passkey_not_found", "passkey_not_found"])
      assert.deepStrictEqual(
        [renamed.name, yield* signBy(device, {}, null), yield* passkeys.list(admin.id)],
        ["tablet", Option.none(), []]
      )
      assert.deepStrictEqual(
        (yield* audited(id)).map(({ action, details }) => [action, details["name"]]),
        [
          ["passkeys:enrol", "phone"],
          ["passkeys:rename", "tablet"],
          ["passkeys:remove", "tablet"]
        ]
      )
    })
  )

  it.effect("A2 of two factors that are removed at once, one stays while the organization demands one", () =>
    Effect.gen(function* () {
      const passkeys = yield* Passkeys
      const organizationId = yield* Fixtures.organization
      yield* demand(organizationId)
      for (let round = 0; round < 5; round += 1) {
        const admin = yield* member(organizationId)
        yield* enrolPasskey(admin, authenticator(origin), "one")
        yield* enrolPasskey(admin, authenticator(origin), "two")
        const results = yield* Effect.forEach(
          yield* passkeys.list(admin.id),
          ({ id }) => Effect.result(passkeys.remove(admin, id)),
          { concurrency: "unbounded" }
        )
        const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
        assert.deepStrictEqual([codes, (yield* passkeys.list(admin.id)).length], [["factor_demanded"], 1])
      }
    })
  )

  it.effect("A2 a passkey may go where an app stays, and the app's recovery codes stay too", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const passkeys = yield* Passkeys
      const organizationId = yield* Fixtures.organization
      yield* demand(organizationId)
      const admin = yield* member(organizationId)
      yield* enrolTotp(admin)
      yield* enrolPasskey(admin)
      const [passkey] = yield* passkeys.list(admin.id)
      yield* passkeys.remove(admin, passkey?.id ?? PasskeyId.make(admin.id))
      const codes = yield* sql`select 1 from recovery_codes where admin_id = ${admin.id}`
      assert.deepStrictEqual([(yield* passkeys.list(admin.id)).length, codes.length], [0, 10])
    })
  )

  /** One admin for all runs of a property. */
  const shared = Effect.runSync(
    Effect.cached(
      Effect.gen(function* () {
        const admin = yield* member()
        return { admin, ...(yield* enrolPasskey(admin)) }
      })
    )
  )

  /** Whether answers that somebody meddled with are refused, or right: the admin's own, after all. */
  const withstands = Effect.fnUntraced(function* (meddle: (honest: Asked) => Asked) {
    const passkeys = yield* Passkeys
    const { admin, device } = yield* shared
    const enrolment = yield* passkeys.beginEnrolment(admin)
    const request = yield* passkeys.request(null)
    const created = meddle(authenticator(origin).create(enrolment.options))
    const signed = meddle(device.get(request.options))
    const enrolled = yield* Effect.result(passkeys.enrol(admin, "other", created, enrolment.challenge, null))
    const known = yield* passkeys.verify(signed, request.challenge)
    return (
      (Result.isSuccess(enrolled) || enrolled.failure.code === "factor_unconfirmed") &&
      (Option.isNone(known) || known.value === admin.id)
    )
  })

  /** Changes one of the places of an answer. */
  const changed = (honest: Asked, at: number, change: (value: unknown) => unknown): Asked => {
    const { response } = honest
    const inner: Asked = typeof response === "object" ? { ...response } : {}
    const places = [...Object.keys(honest), ...Object.keys(inner).map((key) => `response.${key}`)]
    const place = places[at % places.length] ?? "id"
    const [outer, key = ""] = place.split(".")
    return outer === "response" && key !== ""
      ? { ...honest, response: { ...inner, [key]: change(inner[key]) } }
      : { ...honest, [place]: change(honest[place]) }
  }

  const natural = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_000 })))
  const anything = Arbitrary.schema(
    Schema.Union([
      Schema.String,
      Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{0,200}$/)),
      Schema.Number,
      Schema.Boolean,
      Schema.Null,
      Schema.Array(Schema.String),
      Schema.Record(Schema.String, Schema.String)
    ])
  )

  it.effect.prop(
    "A2 whatever is sent for a passkey is refused or right, and never a fault",
    [natural, anything],
    ([at, value]) => withstands((honest) => changed(honest, at, () => value)),
    { arbitrary: { runs: 100 } }
  )

  it.effect.prop(
    "A2 whatever byte is changed in what is sent for a passkey, it is refused or right, and never a fault",
    [natural, natural, natural, Arbitrary.schema(Schema.Boolean)],
    ([at, position, mask, cut]) =>
      withstands((honest) =>
        changed(honest, at, (value) => {
          if (typeof value !== "string") return value
          const bytes = Buffer.from(value, "base64url")
          if (cut) return bytes.subarray(0, position % (bytes.length + 1)).toString("base64url")
          const where = position % Math.max(1, bytes.length)
          bytes[where] = (bytes[where] ?? 0) ^ ((mask % 255) + 1)
          return bytes.toString("base64url")
        })
      ),
    { arbitrary: { runs: 200 } }
  )
})
