/** What the pages show of verification, and changing keys at an admin's word (V3, V4). */
import { Challenges } from "@broker/core/challenges/Challenges"
import { Groups } from "@broker/core/groups/Groups"
import { Installation } from "@broker/core/Installation"
import { Servers } from "@broker/core/servers/Servers"
import { Verification } from "@broker/core/verification/Verification"
import { rotateKeyNotice } from "@broker/domain/Heartbeat"
import * as SignedString from "@broker/domain/SignedString"
import type { VerificationList } from "@broker/domain/Verification"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, joined, keyPair, seen, signature, verified } = Fixtures

const query = (list: typeof VerificationList.Type, fields: { limit?: number; cursor?: string | null } = {}) => ({
  list,
  groupId: null,
  limit: 50,
  cursor: null,
  ...fields
})

const rotate = Effect.fnUntraced(function* (server: Fixtures.Joined, next: Fixtures.KeyPair) {
  const { audience } = yield* Installation
  const servers = yield* Servers
  const timestamp = DateTime.formatIso(yield* DateTime.now)
  const text = SignedString.rotation({ audience, serverId: server.id, publicKey: next.publicKey, timestamp })
  return yield* servers.rotateKey(server.organizationId, server.id, {
    publicKey: next.publicKey,
    timestamp,
    signature: server.pair.sign(text),
    proof: next.sign(text)
  })
})

const prove = Effect.fnUntraced(function* (server: Fixtures.Joined, pair = server.pair) {
  const challenges = yield* Challenges
  const challenge = yield* challenges.issue(server.id, "requested")
  yield* TestClock.adjust("250 millis")
  return yield* challenges.answer(server, challenge.id, yield* signature({ ...server, pair }, challenge))
})

layer(Fixtures.audited)("verification", (it) => {
  it.effect(
    "lists tell who passed, failed and kept silent, and why, page by page, and to their organization only",
    () =>
      Effect.gen(function* () {
        const challenges = yield* Challenges
        const verification = yield* Verification
        const organizationId = yield* Fixtures.organization
        const server = (name: string) => verified(name, { organizationId })
        const passed = [yield* server("p1"), yield* server("p2"), yield* server("p3")]
        const failed = yield* server("failed")
        yield* TestClock.adjust("1 second")
        yield* Effect.flip(prove(failed, keyPair()))
        const silent = yield* joined("silent", { organizationId })
        yield* beat(silent, boot(), 1)
        yield* TestClock.adjust("1 minute")
        yield* challenges.renew

        const names = Effect.fnUntraced(function* (list: typeof VerificationList.Type) {
          const { items } = yield* verification.list(organizationId, query(list))
          return items.map(({ name }) => String(name))
        })
        assert.sameMembers(yield* names("passed"), ["p1", "p2", "p3"])
        assert.deepStrictEqual(yield* names("failed"), ["failed"])
        assert.deepStrictEqual(yield* names("silent"), ["silent"])
        const [one] = (yield* verification.list(organizationId, query("failed"))).items
        assert.strictEqual(one?.reason, "It signed with a key that is not its own.")
        const last = (yield* verification.ofServer(organizationId, failed.id)).last
        assert.deepStrictEqual([last?.state, last?.latencyMillis], ["failed", 250])

        const first = yield* verification.list(organizationId, query("passed", { limit: 2 }))
        const second = yield* verification.list(organizationId, query("passed", { limit: 2, cursor: first.nextCursor }))
        assert.sameMembers(
          [...first.items, ...second.items].map(({ serverId }) => serverId),
          passed.map(({ id }) => id)
        )
        assert.isNull(second.nextCursor)
        const other = yield* Fixtures.organization
        assert.deepStrictEqual((yield* verification.list(other, query("passed"))).items, [])
        const { code } = yield* Effect.flip(verification.ofServer(other, failed.id))
        assert.strictEqual(code, "server_not_found")
        const cursor = yield* Effect.flip(verification.list(organizationId, query("passed", { cursor: "nonsense" })))
        assert.strictEqual(cursor.code, "invalid_cursor")
      })
  )

  it.effect("who is due comes soonest first, in a group and those below it", () =>
    Effect.gen(function* () {
      const groups = yield* Groups
      const servers = yield* Servers
      const challenges = yield* Challenges
      const verification = yield* Verification
      const organizationId = yield* Fixtures.organization
      const policy = { heartbeatIntervalSeconds: null, verificationPeriodSeconds: null, connectionLimit: null }
      const top = yield* groups.create(organizationId, { ...policy, parentId: null, name: "eu" })
      const below = yield* groups.create(organizationId, { ...policy, parentId: top.id, name: "lab" })
      const all = yield* Effect.forEach(["a", "b", "c", "d"], (name) => verified(name, { organizationId }))
      for (const server of all) yield* beat(server, boot(), 1)
      const [one, two] = all
      if (one === undefined || two === undefined) return assert.fail("no servers")
      yield* servers.assign(organizationId, one.id, { groupId: top.id })
      yield* servers.assign(organizationId, two.id, { groupId: below.id })
      yield* challenges.renew
      const { items } = yield* verification.list(organizationId, query("due"))
      const times = items.map(({ dueAt }) => (dueAt === null ? 0 : DateTime.toEpochMillis(dueAt)))
      assert.lengthOf(times, 4)
      assert.deepStrictEqual(
        times,
        times.toSorted((a, b) => a - b)
      )
      const { groups: figures } = yield* verification.figures(organizationId)
      assert.deepStrictEqual(
        figures.map(({ group, groupId, unverified, verified }) => [groupId, group, verified, unverified]),
        [
          [top.id, "eu", 1, 0],
          [below.id, "eu/lab", 1, 0],
          [null, null, 2, 0]
        ]
      )
      const grouped = yield* verification.list(organizationId, { ...query("due"), groupId: top.id })
      assert.sameMembers(
        grouped.items.map(({ group }) => group),
        ["eu", "eu/lab"]
      )
    })
  )

  it.effect("figures are of the last day: how many passed, how fast, and who is next", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const verification = yield* Verification
      const organizationId = yield* Fixtures.organization
      const servers = yield* Effect.forEach(["a", "b", "c"], (name) => verified(name, { organizationId }))
      for (const server of servers) yield* beat(server, boot(), 1)
      for (const server of servers) yield* prove(server)
      const [failing] = servers
      if (failing === undefined) return assert.fail("no server")
      yield* Effect.flip(prove(failing, keyPair()))
      const quiet = yield* joined("quiet", { organizationId })
      yield* beat(quiet, boot(), 1)
      yield* TestClock.adjust("1 minute")
      yield* challenges.renew
      const figures = yield* verification.figures(organizationId)
      assert.deepInclude(figures, { passed: 6, failed: 1, expired: 1, passRate: 0.75, verified: 2, unverified: 1 })
      assert.strictEqual(figures.latencyP95Millis, 250)
      assert.lengthOf(figures.hours, 25)
      assert.strictEqual(
        figures.hours.reduce((sum, { passed }) => sum + passed, 0),
        6
      )
      yield* TestClock.adjust("25 hours")
      assert.deepInclude(yield* verification.figures(organizationId), {
        passed: 0,
        passRate: null,
        latencyP50Millis: null
      })
    })
  )

  it.effect("V4 an admin's wish for a new key comes with heartbeats until the server has offered one", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const verification = yield* Verification
      const server = yield* verified()
      const bootId = boot()
      assert.deepStrictEqual((yield* beat(server, bootId, 1)).notices, [])
      yield* verification.requestRotation(server.organizationId, server.id)
      assert.deepStrictEqual((yield* beat(server, bootId, 2)).notices, [rotateKeyNotice])
      assert.deepStrictEqual((yield* beat(server, bootId, 3)).notices, [rotateKeyNotice])
      const next = keyPair()
      yield* rotate(server, next)
      assert.deepStrictEqual((yield* beat(server, bootId, 4)).notices, [])
      // It is asked soon, and the new key's first use ends the old one.
      yield* challenges.renew
      yield* TestClock.adjust("1 second")
      const { challenge } = yield* beat(server, bootId, 5)
      if (challenge === null) return assert.fail("it is not asked")
      yield* challenges.answer(server, challenge.id, yield* signature({ ...server, pair: next }, challenge))
      assert.strictEqual((yield* seen(server)).publicKey, next.publicKey)
    })
  )

  it.effect("V4 a new key that is offered while a question is open is asked for right after that one", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* verified()
      const bootId = boot()
      yield* beat(server, bootId, 1)
      yield* challenges.request(server.organizationId, server.id)
      const { challenge } = yield* beat(server, bootId, 2)
      if (challenge === null) return assert.fail("it is not asked")
      yield* TestClock.adjust("1 second")
      const next = keyPair()
      yield* rotate(server, next)
      yield* challenges.renew
      assert.strictEqual((yield* beat(server, bootId, 3)).challenge?.id, challenge.id)
      yield* challenges.answer(server, challenge.id, yield* signature(server, challenge))
      yield* TestClock.adjust("5 seconds")
      yield* challenges.renew
      const again = (yield* beat(server, bootId, 4)).challenge
      if (again === null) return assert.fail("it is not asked again")
      // A server that answers by the old one after all is asked at its own moments again.
      yield* challenges.answer(server, again.id, yield* signature(server, again))
      yield* challenges.renew
      assert.isNull((yield* beat(server, bootId, 5)).challenge)
    })
  )

  it.effect("V4 who took up the new key and went away is let in with it", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* verified()
      const next = keyPair()
      yield* rotate(server, next)
      // The answer to its offer was lost: it proves the old key once more before it offers the new one again.
      yield* TestClock.adjust("12 hours")
      yield* prove(server)
      yield* TestClock.adjust("1 hour")
      yield* rotate(server, next)
      for (const _ of Array.from({ length: 8 })) {
        yield* TestClock.adjust("20 hours")
        assert.strictEqual((yield* challenges.renew).keysDropped, 0)
      }
      yield* prove(server, next)
      assert.strictEqual((yield* seen(server)).publicKey, next.publicKey)
    })
  )

  it.effect("V4 a server that is shut out, or another organization's, is not told", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const verification = yield* Verification
      const server = yield* verified()
      const strange = yield* Effect.flip(verification.requestRotation(yield* Fixtures.organization, server.id))
      assert.strictEqual(strange.code, "server_not_found")
      yield* servers.suspend(server.organizationId, server.id, "")
      const refused = yield* Effect.flip(verification.requestRotation(server.organizationId, server.id))
      assert.strictEqual(refused.code, "admission_conflict")
    })
  )

  it.effect("V4 a new key that is not used within 7 days is dropped, of a server that proves the old one", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const [using, switched] = [yield* verified(), yield* verified()]
      const [unused, only] = [keyPair(), keyPair()]
      yield* rotate(using, unused)
      yield* rotate(switched, only)
      yield* TestClock.adjust("7 days")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* challenges.renew).keysDropped, 0)
      yield* prove(using)
      assert.strictEqual((yield* challenges.renew).keysDropped, 1)
      const { code } = yield* Effect.flip(prove(using, unused))
      assert.strictEqual(code, "challenge_failed")
      const entries =
        yield* sql`select 1 from audit_entries where action = 'servers:drop-key' and subject_id = ${using.id}`
      assert.lengthOf(entries, 1)
      // Whoever has only the new one by now, and was away, is let in with it.
      yield* prove(switched, only)
      assert.strictEqual((yield* seen(switched)).publicKey, only.publicKey)
    })
  )

  it.effect("figures are the same once they are counted by spans, and span by span", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const verification = yield* Verification
      const organizationId = yield* Fixtures.organization
      const server = yield* verified("a", { organizationId })
      yield* beat(server, boot(), 1)
      for (const wait of ["5 minutes", "7 minutes", "50 minutes", "3 hours"] as const) {
        yield* TestClock.adjust(wait)
        yield* challenges.renew
        yield* prove(server)
      }
      const { hours: _, ...counted } = yield* verification.figures(organizationId)
      assert.deepInclude(counted, { passed: 5, passRate: 1 })
      const spans = Effect.map(
        sql<{ readonly passed: number }>`
          select passed from verification_spans where organization_id = ${organizationId} order by since`,
        (rows) => rows.map(({ passed }) => passed)
      )
      yield* TestClock.adjust("9 minutes")
      yield* challenges.renew
      const before = yield* spans
      assert.isAtLeast(before.length, 3)
      assert.deepInclude(yield* verification.figures(organizationId), counted)
      yield* TestClock.adjust("2 minutes")
      yield* prove(server)
      yield* TestClock.adjust("20 minutes")
      yield* challenges.renew
      yield* challenges.renew
      assert.strictEqual(
        (yield* spans).reduce((sum, passed) => sum + passed, 0),
        6
      )
      const figures = yield* verification.figures(organizationId)
      assert.deepInclude(figures, { passed: 6, passRate: 1 })
      assert.strictEqual(
        figures.hours.reduce((sum, { passed }) => sum + passed, 0),
        6
      )
      // What ends while a question of before is open yet is not left out.
      const open = yield* challenges.issue(server.id, "requested")
      yield* TestClock.adjust("30 minutes")
      yield* challenges.renew
      assert.strictEqual((yield* verification.figures(organizationId)).expired, 1)
      yield* TestClock.adjust("20 minutes")
      yield* challenges.renew
      assert.strictEqual((yield* verification.figures(organizationId)).expired, 1)
      assert.isDefined(open)
    })
  )

  it.effect("questions are kept for 30 days, also those that gave way to others", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const verification = yield* Verification
      const server = yield* verified()
      yield* challenges.issue(server.id, "requested")
      yield* prove(server)
      yield* TestClock.adjust("29 days")
      yield* challenges.prune
      const servers = yield* Servers
      assert.lengthOf((yield* servers.history(server.organizationId, server.id)).challenges, 3)
      yield* TestClock.adjust("2 days")
      assert.isAtLeast(yield* challenges.prune, 1)
      assert.lengthOf((yield* servers.history(server.organizationId, server.id)).challenges, 0)
      // How it ended is still known.
      assert.strictEqual((yield* verification.ofServer(server.organizationId, server.id)).last?.state, "passed")
    })
  )
})
