import { Actor } from "@broker/core/audit/Actor"
import { Challenges } from "@broker/core/challenges/Challenges"
import { Installation } from "@broker/core/Installation"
import { Servers } from "@broker/core/servers/Servers"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import type { Challenge } from "@broker/domain/Challenge"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, joined, keyPair, seen, signature, verified } = Fixtures

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

/** A server with its first challenge. */
const asked = Effect.gen(function* () {
  const server = yield* joined()
  const challenges = yield* Challenges
  return { ...server, challenge: yield* challenges.issue(server.id, "requested") }
})

const answer = Effect.fnUntraced(function* (
  server: Fixtures.Joined,
  challenge: Pick<Challenge, "id" | "nonce" | "expiresAt">,
  pair = server.pair
) {
  const challenges = yield* Challenges
  return yield* challenges.answer(server, challenge.id, yield* signature({ ...server, pair }, challenge))
})

/** The states of a server's challenges, the oldest first. */
const states = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ state: string }>`select state from challenges where server_id = ${id} order by id`
  return rows.map(({ state }) => state)
})

const events = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select kind, severity, host(address) as address from security_events where server_id = ${id}`
})

layer(Fixtures.layer)("Challenges", (it) => {
  it.effect("V1 the right signature verifies the server", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const verification = yield* answer(server, server.challenge)
      const { verified, verifiedAt } = yield* seen(server)
      assert.isTrue(verified)
      assert.deepStrictEqual(verifiedAt, verification.verifiedAt)
    })
  )

  it.effect("V1 a challenge holds 32 random bytes and lives for 60 seconds", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const challenges = yield* Challenges
      const one = yield* challenges.issue(server.id, "requested")
      const two = yield* challenges.issue(server.id, "requested")
      assert.strictEqual(Buffer.from(one.nonce, "base64url").length, 32)
      assert.notStrictEqual(one.nonce, two.nonce)
      assert.deepStrictEqual(DateTime.distance(one.issuedAt, one.expiresAt), Duration.seconds(60))
    })
  )

  it.effect("V1 an answer in the last moment counts", () =>
    Effect.gen(function* () {
      const server = yield* asked
      yield* TestClock.adjust("59999 millis")
      assert.isTrue((yield* answer(server, server.challenge)).verified)
    })
  )

  it.effect("V1 a late answer fails, before anybody has swept", () =>
    Effect.gen(function* () {
      const server = yield* asked
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* codeOf(answer(server, server.challenge)), "challenge_gone")
      assert.isFalse((yield* seen(server)).verified)
    })
  )

  it.effect("V1 of 20 answers at once, one counts", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const results = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.result(answer(server, server.challenge)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(results.filter(Result.isSuccess).length, 1)
      const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
      assert.deepStrictEqual([...new Set(codes)], ["challenge_gone"])
    })
  )

  it.effect("V1 of right and wrong answers at once, one counts", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const stranger = keyPair()
      yield* Effect.forEach(
        Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? server.pair : stranger)),
        (pair) => Effect.result(answer(server, server.challenge, pair)),
        { concurrency: "unbounded" }
      )
      const [, state] = yield* states(server.id)
      const { admission, verified } = yield* seen(server)
      const expected = state === "passed" ? ["approved", true] : ["suspended", false]
      assert.deepStrictEqual([admission, verified], expected)
    })
  )

  it.effect("V1 an answer to a superseded challenge fails", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* asked
      yield* challenges.issue(server.id, "requested")
      assert.strictEqual(yield* codeOf(answer(server, server.challenge)), "challenge_gone")
      assert.deepStrictEqual(yield* states(server.id), ["superseded", "superseded", "open"])
    })
  )

  it.effect("V1 another server's answer fails, and harms neither", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const [server, thief] = [yield* asked, yield* joined()]
      const stolen = challenges.answer(thief, server.challenge.id, yield* signature(server, server.challenge))
      assert.strictEqual(yield* codeOf(stolen), "challenge_gone")
      assert.strictEqual((yield* seen(thief)).admission, "approved")
      assert.isTrue((yield* answer(server, server.challenge)).verified)
    })
  )

  it.effect("V1 of 20 questions at once, one stays open", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* joined()
      yield* Effect.forEach(Array.from({ length: 20 }), () => challenges.issue(server.id, "requested"), {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* states(server.id)).filter((state) => state === "open").length, 1)
    })
  )

  it.effect("V1 the database refuses a second open challenge", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const server = yield* asked
      const refused = yield* Effect.flip(sql`
        insert into challenges (id, server_id, purpose, nonce, state, issued_at, expires_at)
        select gen_random_uuid(), server_id, purpose, nonce, 'open', issued_at, expires_at
          from challenges
         where id = ${server.challenge.id}`)
      assert.strictEqual(refused.reason._tag, "UniqueViolation")
    })
  )

  const misused: ReadonlyArray<
    readonly [
      what: string,
      (fields: Parameters<typeof SignedString.challenge>[0]) => Parameters<typeof SignedString.challenge>[0]
    ]
  > = [
    ["broker", (fields) => ({ ...fields, audience: "https://broker.example" })],
    ["server", (fields) => ({ ...fields, serverId: fields.challengeId })],
    ["challenge", (fields) => ({ ...fields, challengeId: fields.serverId })],
    ["nonce", (fields) => ({ ...fields, nonce: "A".repeat(43) })],
    ["expiry", (fields) => ({ ...fields, expiresAt: fields.expiresAt.replace("2026", "2027") })]
  ]
  it.effect.each(misused)("V1 a signature for another %s fails", ([, misuse]) =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const { audience } = yield* Installation
      const { challenge, ...server } = yield* asked
      const text = SignedString.challenge(
        misuse({
          audience,
          serverId: server.id,
          challengeId: challenge.id,
          nonce: challenge.nonce,
          expiresAt: DateTime.formatIso(challenge.expiresAt)
        })
      )
      assert.strictEqual(
        yield* codeOf(challenges.answer(server, challenge.id, server.pair.sign(text))),
        "challenge_failed"
      )
    })
  )

  it.effect("V2 a wrong signature suspends at once", () =>
    Effect.gen(function* () {
      const server = yield* asked
      assert.strictEqual(yield* codeOf(answer(server, server.challenge, keyPair())), "challenge_failed")
      const { admission, available, statusReason } = yield* seen(server)
      assert.deepStrictEqual([admission, available, statusReason], ["suspended", false, "challenge_failed"])
    })
  )

  it.effect("V2 a wrong signature is a critical security event, with the address it came from", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const from = { ...Fixtures.actor, kind: "server" as const, address: "198.51.100.9" }
      yield* Effect.flip(Effect.provideService(answer(server, server.challenge, keyPair()), Actor, from))
      assert.deepStrictEqual(yield* events(server.id), [
        { kind: "challenge_failed", severity: "critical", address: "198.51.100.9" }
      ])
    })
  )

  it.effect("V2 a wrong signature has no second try", () =>
    Effect.gen(function* () {
      const server = yield* asked
      yield* Effect.flip(answer(server, server.challenge, keyPair()))
      assert.strictEqual(yield* codeOf(answer(server, server.challenge)), "challenge_gone")
    })
  )

  it.effect.each(["suspend", "retire"] as const)(
    "V2 after %s there is nothing to answer, rightly or wrongly",
    (shutOut) =>
      Effect.gen(function* () {
        const servers = yield* Servers
        const server = yield* asked
        yield* servers[shutOut](defaultOrganizationId, server.id, "")
        assert.strictEqual(yield* codeOf(answer(server, server.challenge, keyPair())), "challenge_gone")
        assert.strictEqual(yield* codeOf(answer(server, server.challenge)), "challenge_gone")
        assert.deepStrictEqual(yield* states(server.id), ["superseded", "superseded"])
        assert.isFalse((yield* seen(server)).verified)
      })
  )

  it.effect("V2 an answer that comes while the server is being shut out proves nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const servers = yield* Servers
      const server = yield* asked
      yield* servers.suspend(defaultOrganizationId, server.id, "")
      // As it is for whoever asked for the question before that.
      yield* sql`update challenges set state = 'open' where id = ${server.challenge.id}`
      assert.strictEqual(yield* codeOf(answer(server, server.challenge)), "challenge_gone")
      assert.isFalse((yield* servers.approve(defaultOrganizationId, server.id)).verified)
    })
  )

  it.effect("V2 after a wrong signature the server has to prove itself anew, also once approved again", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const challenges = yield* Challenges
      const server = yield* verified()
      const challenge = yield* challenges.issue(server.id, "requested")
      yield* Effect.flip(answer(server, challenge, keyPair()))
      const approved = yield* servers.approve(defaultOrganizationId, server.id)
      assert.isFalse(approved.verified)
    })
  )

  it.effect("V2 the challenge comes with the answer to a heartbeat", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const reply = yield* beat(server, boot(), 1)
      assert.strictEqual(reply.challenge?.id, server.challenge.id)
      assert.isNotNull(reply.challenge)
      if (reply.challenge !== null) assert.isTrue((yield* answer(server, reply.challenge)).verified)
    })
  )

  it.effect("V2 a challenge that is over comes with no heartbeat", () =>
    Effect.gen(function* () {
      const server = yield* asked
      const bootId = boot()
      yield* TestClock.adjust("60 seconds")
      assert.isNull((yield* beat(server, bootId, 1)).challenge)
    })
  )

  it.effect("V2 silence is asked again after 1, 2, 4 … minutes, and an hour at most", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const sql = yield* SqlClient.SqlClient
      const policy = yield* ServersPolicy
      // Of all servers only this one can be asked.
      yield* sql`update server_presence set liveness = 'offline' where liveness <> 'never_seen'`
      const server = yield* joined()
      const bootId = boot()
      yield* beat(server, bootId, 1)
      const waits: Array<number> = []
      for (let silence = 0; silence < 8; silence++) {
        yield* TestClock.adjust(policy.challengeLifetime)
        assert.strictEqual((yield* challenges.renew).wanted, 0)
        let waited = 0
        while ((yield* challenges.renew).wanted === 0) {
          yield* TestClock.adjust("30 seconds")
          waited += 30
        }
        waits.push(waited / 60)
        assert.isNotNull((yield* beat(server, bootId, 2 + silence)).challenge)
      }
      assert.deepStrictEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60])
    })
  )

  it.effect("V2 whoever is verified, unheard of, shut out or asked already is not asked again", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const servers = yield* Servers
      const quiet = [yield* verified(), yield* joined(), yield* joined()] as const
      const asking = yield* joined()
      for (const server of [quiet[0], quiet[2], asking]) yield* beat(server, boot(), 1)
      // A quarter of the period after its last proof nobody is due again.
      yield* TestClock.adjust("80 minutes")
      yield* servers.suspend(defaultOrganizationId, quiet[2].id, "")
      yield* challenges.renew
      yield* Effect.forEach([...quiet, asking], ({ id }) => challenges.take(id))
      const counts = yield* Effect.forEach(quiet, ({ id }) => Effect.map(states(id), (all) => all.length))
      assert.deepStrictEqual(counts, [1, 1, 1])
      assert.deepStrictEqual(yield* states(asking.id), ["expired", "open"])
    })
  )

  it.effect("V2 two nodes that renew at once leave one question open", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* joined()
      yield* beat(server, boot(), 1)
      yield* TestClock.adjust("3 hours")
      yield* Effect.all([challenges.renew, challenges.renew], { concurrency: "unbounded" })
      yield* Effect.all([challenges.take(server.id), challenges.take(server.id)], { concurrency: "unbounded" })
      assert.strictEqual((yield* states(server.id)).filter((state) => state === "open").length, 1)
    })
  )

  it.effect.each(["suspend", "retire"] as const)("after %s a server can't be asked", (shutOut) =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const servers = yield* Servers
      const server = yield* joined()
      yield* servers[shutOut](defaultOrganizationId, server.id, "")
      assert.strictEqual(yield* codeOf(challenges.request(defaultOrganizationId, server.id)), "admission_conflict")
    })
  )

  it.effect("another organization can't ask", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* joined()
      assert.strictEqual(yield* codeOf(challenges.request(yield* Fixtures.organization, server.id)), "server_not_found")
    })
  )
})

/** What a server sends to change its key pair, signed now by both. */
const rotation = Effect.fnUntraced(function* (server: Fixtures.Joined, next: Fixtures.KeyPair) {
  const { audience } = yield* Installation
  const timestamp = DateTime.formatIso(yield* DateTime.now)
  const text = SignedString.rotation({ audience, serverId: server.id, publicKey: next.publicKey, timestamp })
  return { publicKey: next.publicKey, timestamp, signature: server.pair.sign(text), proof: next.sign(text) }
})

const rotate = Effect.fnUntraced(function* (server: Fixtures.Joined, next: Fixtures.KeyPair) {
  const servers = yield* Servers
  return yield* servers.rotateKey(server.organizationId, server.id, yield* rotation(server, next))
})

/** Asks, and answers by a key pair. */
const prove = Effect.fnUntraced(function* (server: Fixtures.Joined, pair: Fixtures.KeyPair) {
  const challenges = yield* Challenges
  return yield* answer(server, yield* challenges.issue(server.id, "requested"), pair)
})

layer(Fixtures.layer)("Key rotation", (it) => {
  it.effect("V4 until the new key is used, the old one is the server's", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* rotate(server, keyPair())
      yield* prove(server, server.pair)
      assert.strictEqual((yield* seen(server)).publicKey, server.pair.publicKey)
    })
  )

  it.effect("V4 the first use of the new key makes it the server's, and ends the old one", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const next = keyPair()
      yield* rotate(server, next)
      yield* prove(server, next)
      assert.strictEqual((yield* seen(server)).publicKey, next.publicKey)
      assert.strictEqual(yield* codeOf(prove(server, server.pair)), "challenge_failed")
    })
  )

  it.effect("V4 a rotation whose answer was lost may be sent again", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const next = keyPair()
      yield* rotate(server, next)
      yield* rotate(server, next)
      yield* prove(server, next)
      yield* rotate({ ...server, pair: next }, next)
      assert.strictEqual((yield* seen(server)).publicKey, next.publicKey)
    })
  )

  it.effect("V4 a second rotation takes the place of the first", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const [first, second] = [keyPair(), keyPair()]
      yield* rotate(server, first)
      yield* rotate(server, second)
      yield* prove(server, second)
      assert.strictEqual(yield* codeOf(prove(server, first)), "challenge_failed")
    })
  )

  it.effect.each(["signature", "proof"] as const)("V4 a wrong %s is refused", (field) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* joined()
      const sent = yield* rotation(server, keyPair())
      const forged = { ...sent, [field]: keyPair().sign("something else") }
      assert.strictEqual(
        yield* codeOf(servers.rotateKey(server.organizationId, server.id, forged)),
        "invalid_signature"
      )
    })
  )

  it.effect("V4 a rotation that was overheard is worth nothing 5 minutes later", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* joined()
      const sent = yield* rotation(server, keyPair())
      yield* TestClock.adjust(300_001)
      assert.strictEqual(
        yield* codeOf(servers.rotateKey(server.organizationId, server.id, sent)),
        "timestamp_out_of_range"
      )
    })
  )

  it.effect("B10 a public key that is or was another server's is refused", () =>
    Effect.gen(function* () {
      const [server, other] = [yield* joined(), yield* joined()]
      assert.strictEqual(yield* codeOf(rotate(server, other.pair)), "public_key_in_use")
    })
  )

  it.effect("B10 of two servers that race for a public key, one gets it", () =>
    Effect.gen(function* () {
      const servers = [yield* joined(), yield* joined()]
      const next = keyPair()
      const results = yield* Effect.forEach(servers, (server) => Effect.result(rotate(server, next)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(results.filter(Result.isSuccess).length, 1)
    })
  )

  it.effect("V4 a former key can't come back", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const next = keyPair()
      yield* rotate(server, next)
      yield* prove(server, next)
      assert.strictEqual(yield* codeOf(rotate({ ...server, pair: next }, server.pair)), "public_key_in_use")
    })
  )
})
