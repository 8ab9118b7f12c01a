/** Who is asked again when, and what follows where nobody answers (V2, V3). */
import { Challenges } from "@broker/core/challenges/Challenges"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { Verification } from "@broker/core/verification/Verification"
import { VerificationPolicy } from "@broker/core/verification/VerificationPolicy"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, seen, signature, verified } = Fixtures

/** Of all servers only those that are heard from now on can be asked. */
const alone = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`update server_presence set liveness = 'offline' where liveness <> 'never_seen'`
  yield* Effect.flatMap(Challenges, ({ renew }) => renew)
})

/** Lets so much time pass after proofs that what is new is reason enough to ask again. */
const rested = Effect.flatMap(VerificationPolicy, ({ rest }) => TestClock.adjust(rest))

/** A verified server that reports, and nobody else does. */
const reporting = Effect.gen(function* () {
  yield* alone
  const server = { ...(yield* verified()), bootId: boot() }
  yield* beat({ ...server, address: "203.0.113.7" }, server.bootId, 1)
  yield* rested
  yield* Effect.flatMap(Challenges, ({ renew }) => renew)
  return server
})

const standing = Effect.fnUntraced(function* (id: ServerId) {
  const verification = yield* Verification
  return yield* verification.ofServer(defaultOrganizationId, id)
})

/** Whether a server is asked with its next heartbeat, or already. */
const isOut = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const rows =
    yield* sql`select 1 from server_verifications where server_id = ${id} and (wanted is not null or state = 'open')`
  return rows.length > 0
})

/** Lets the scheduler run, and tells whether this server is asked. */
const isAsked = Effect.fnUntraced(function* (id: ServerId) {
  const challenges = yield* Challenges
  yield* challenges.renew
  return yield* isOut(id)
})

/** Of what boot it was heard last. */
const presence = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly bootId: string }>`select boot_id from server_presence where server_id = ${id}`
  return row ?? (yield* Effect.die("no such server"))
})

const answer = Effect.fnUntraced(function* (server: Fixtures.Joined) {
  const sql = yield* SqlClient.SqlClient
  const challenges = yield* Challenges
  const reply = yield* beat(server, boot(), 1)
  if (reply.challenge === null) return yield* Effect.die("no question is open")
  yield* challenges.answer(server, reply.challenge.id, yield* signature(server, reply.challenge))
  // What the boot of this helper brings forward is none of the test's business.
  yield* sql`delete from verification_hints where server_id = ${server.id}`
})

layer(Fixtures.layer)("re-verification", (it) => {
  it.effect("V3 servers that joined together are asked apart, each at its own moment of the period", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{ readonly periods: number }>`
        select extract(epoch from verification_due(gen_random_uuid(), '2026-11-22T10:00:00Z', 21600) - timestamptz '2026-11-22T10:00:00Z')::float8 / 21600 as periods
          from generate_series(1, 4800)`
      const after = rows.map(({ periods }) => periods)
      assert.isAtLeast(Math.min(...after), 0.19)
      assert.isAtMost(Math.max(...after), 1.31)
      // 4,800 over 24 parts of a period: 200 each, give or take what chance does.
      const parts = Array.from({ length: 24 }, () => 0)
      for (const periods of after)
        parts[Math.floor((periods % 1) * 24)] = (parts[Math.floor((periods % 1) * 24)] ?? 0) + 1
      for (const part of parts) assert.isTrue(part > 120 && part < 280, `${parts}`)
    })
  )

  it.effect("V3 a server keeps its moment, and is asked about once in each period", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ readonly shortest: number; readonly longest: number; readonly times: number }>`
        with recursive asked as (
          select gen_random_uuid() as id, timestamptz '2026-11-22T10:00:00Z' as at, 0 as n, 0::float8 as gap
           union all
          select id, verification_due(id, at, 21600), n + 1,
                 extract(epoch from verification_due(id, at, 21600) - at)::float8 / 21600
            from asked
           where n < 200
        )
        select min(gap) filter (where n > 1) as shortest, max(gap) filter (where n > 1) as longest, max(n) as times from asked`
      assert.isAtLeast(row?.shortest ?? 0, 0.89)
      assert.isAtMost(row?.longest ?? 9, 1.11)
    })
  )

  it.effect("V3 a verified server is asked again after its period, and goes on from its answer", () =>
    Effect.gen(function* () {
      const server = yield* reporting
      for (let round = 0; round < 2; round++) {
        const { dueAt } = yield* standing(server.id)
        assert.isNotNull(dueAt)
        const wait = Duration.toMillis(DateTime.distance(yield* DateTime.now, dueAt ?? DateTime.makeUnsafe(0)))
        assert.isTrue(wait > Duration.toMillis("50 minutes") && wait < Duration.toMillis("8 hours"))
        yield* TestClock.adjust(wait - 1_000)
        assert.isFalse(yield* isAsked(server.id))
        yield* TestClock.adjust("1 second")
        assert.isTrue(yield* isAsked(server.id))
        yield* answer(server)
        assert.isTrue((yield* standing(server.id)).verified)
      }
    })
  )

  it.effect("V3 nothing new, nobody asked", () =>
    Effect.gen(function* () {
      const server = yield* reporting
      // The same /24.
      yield* beat({ ...server, address: "203.0.113.99" }, server.bootId, 2)
      assert.isFalse(yield* isAsked(server.id))
    })
  )

  it.effect("V3 a new network, boot, version or capability brings the question forward", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* reporting
      const changes = {
        new_network: beat({ ...server, address: "198.51.100.7" }, server.bootId, 2),
        new_boot: beat({ ...server, address: "198.51.100.7" }, boot(), 1),
        new_version: servers.update(defaultOrganizationId, server.id, { version: "9.9.9" }),
        new_capability: servers.update(defaultOrganizationId, server.id, { capabilities: { relay: {} } })
      }
      for (const [risk, change] of Object.entries(changes)) {
        yield* rested
        assert.isFalse(yield* isAsked(server.id), `before ${risk}`)
        yield* change
        assert.isTrue(yield* isAsked(server.id), risk)
        assert.strictEqual((yield* standing(server.id)).risk, risk)
        yield* answer(server)
        assert.strictEqual((yield* standing(server.id)).risk, "none")
      }
    })
  )

  it.effect("V3 IPv6 networks are /48", () =>
    Effect.gen(function* () {
      const server = yield* reporting
      yield* beat({ ...server, address: "2001:db8:1:1::1" }, server.bootId, 2)
      assert.isTrue(yield* isAsked(server.id))
      yield* answer(server)
      const { bootId } = yield* presence(server.id)
      yield* rested
      yield* beat({ ...server, address: "2001:db8:1:4::1" }, bootId, 2)
      assert.isFalse(yield* isAsked(server.id))
      yield* beat({ ...server, address: "2001:db8:2:4::1" }, bootId, 3)
      assert.isTrue(yield* isAsked(server.id))
    })
  )

  it.effect("V3 a group says how often its servers are asked", () =>
    Effect.gen(function* () {
      const groups = yield* Groups
      const servers = yield* Servers
      const challenges = yield* Challenges
      const server = yield* reporting
      const group = yield* groups.create(defaultOrganizationId, {
        parentId: null,
        name: Fixtures.unique("often"),
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: 600,
        connectionLimit: null
      })
      yield* servers.assign(defaultOrganizationId, server.id, { groupId: group.id })
      yield* challenges.renew
      const { dueAt } = yield* standing(server.id)
      const wait = Duration.toSeconds(DateTime.distance(yield* DateTime.now, dueAt ?? DateTime.makeUnsafe(0)))
      // It proved itself 600 s ago.
      assert.isTrue(wait > -600 && wait < 200, `${wait}`)
    })
  )

  it.effect("V3 of a backlog one run asks what the fleet's pace allows, the riskiest first", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const { leastPerRun } = yield* VerificationPolicy
      yield* alone
      const fleet = yield* Effect.forEach(Array.from({ length: 50 }), () => verified())
      for (const server of fleet) yield* beat(server, boot(), 1)
      yield* challenges.renew
      // The scheduler was paused for a day.
      yield* TestClock.adjust("1 day")
      yield* sql`update server_presence set last_seen_at = ${DateTime.toDateUtc(yield* DateTime.now)} where liveness = 'online'`
      const risky = fleet[49]
      if (risky === undefined) return assert.fail("no server")
      yield* beat(risky, boot(), 1)
      assert.strictEqual((yield* challenges.renew).wanted, leastPerRun)
      assert.isTrue(yield* isOut(risky.id))
      assert.strictEqual((yield* challenges.renew).wanted, leastPerRun)
      assert.strictEqual((yield* challenges.renew).wanted, 50 - 2 * leastPerRun)
      assert.strictEqual((yield* challenges.renew).wanted, 0)
    })
  )

  it.effect("V3 a server that is offline is not asked, and keeps nobody from their turn", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const server = yield* reporting
      yield* sql`update server_presence set liveness = 'offline' where server_id = ${server.id}`
      yield* TestClock.adjust("1 day")
      assert.isFalse(yield* isAsked(server.id))
      assert.isNull((yield* standing(server.id)).dueAt)
      // It is back after a day, and its proof is older than a period.
      yield* beat(server, server.bootId, 2)
      assert.isTrue(yield* isAsked(server.id))
    })
  )

  it.effect("V2 a verified server that reports and does not answer is verified no longer after 5 questions", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const server = yield* reporting
      const bootId = boot()
      yield* beat(server, bootId, 1)
      let seq = 1
      let silences = 0
      for (let minute = 0; silences < 5; minute++) {
        assert.isBelow(minute, 60)
        assert.isTrue((yield* seen(server)).verified)
        yield* challenges.renew
        yield* TestClock.adjust("1 minute")
        yield* beat(server, bootId, ++seq)
        yield* challenges.renew
        silences = (yield* standing(server.id)).silences
      }
      const { reason, verified } = yield* standing(server.id)
      assert.isFalse(verified)
      assert.strictEqual(reason, "It went on reporting, but left 5 questions in a row unanswered.")
      const [transition] = yield* sql`
        select after, reason from server_transitions where server_id = ${server.id} and axis = 'verification' order by id desc limit 1`
      assert.deepStrictEqual(transition, { after: "unverified", reason: "unanswered" })
      const entries =
        yield* sql`select 1 from audit_entries where subject_id = ${server.id} and action = 'servers:doubt'`
      assert.strictEqual(entries.length, 1)
      assert.strictEqual((yield* seen(server)).admission, "approved")
    })
  )

  it.effect("V2 what was asked before the broker was away itself is held against nobody", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const { silencesTolerated } = yield* VerificationPolicy
      const server = yield* reporting
      let seq = 1
      const report = Effect.suspend(() => beat(server, server.bootId, ++seq))
      yield* sql`update server_verifications set silences = ${silencesTolerated - 2} where server_id = ${server.id}`
      yield* challenges.request(server.organizationId, server.id)
      assert.isNotNull((yield* report).challenge)
      yield* TestClock.adjust("50 seconds")
      const now = DateTime.toDateUtc(yield* DateTime.now)
      yield* sql`
        insert into broker_outages (began_at, ended_at) values (${now}::timestamptz - interval '20 seconds', ${now})`
      yield* TestClock.adjust("10 seconds")
      yield* report
      yield* challenges.renew
      assert.deepInclude(yield* standing(server.id), { silences: silencesTolerated - 2, verified: true })
      // It was the broker's fault; the next silence is not, and still is one too few.
      yield* challenges.request(server.organizationId, server.id)
      assert.isNotNull((yield* report).challenge)
      yield* TestClock.adjust("1 minute")
      yield* report
      yield* challenges.renew
      assert.deepInclude(yield* standing(server.id), { silences: silencesTolerated - 1, verified: true })
      yield* sql`delete from broker_outages where ended_at = ${now}`
    })
  )

  it.effect("V2 a question waits for the heartbeat that takes it out, however far heartbeats are apart", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* reporting
      let asked = 0
      for (let seq = 2; seq < 110; seq++) {
        for (const wait of ["5 minutes", "5 minutes"] as const) {
          yield* TestClock.adjust(wait)
          yield* challenges.renew
        }
        const { challenge } = yield* beat(server, server.bootId, seq)
        if (challenge === null) continue
        asked += 1
        yield* TestClock.adjust("59 seconds")
        yield* challenges.answer(server, challenge.id, yield* signature(server, challenge))
      }
      // 18 hours, three periods.
      assert.isTrue(asked >= 2 && asked <= 4, `${asked}`)
      assert.deepInclude(yield* standing(server.id), { silences: 0, verified: true })
      const states = yield* SqlClient.SqlClient.use(
        (sql) => sql`select distinct state from challenges where server_id = ${server.id}`
      )
      assert.deepStrictEqual(states, [{ state: "passed" }])
    })
  )

  it.effect("V2 whoever reports every 10 minutes and never answers is found out as well", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const server = yield* reporting
      yield* challenges.request(server.organizationId, server.id)
      let taken = 0
      for (let seq = 2; (yield* standing(server.id)).verified; seq++) {
        assert.isBelow(seq, 20)
        const { challenge } = yield* beat(server, server.bootId, seq)
        if (challenge !== null) taken += 1
        for (const wait of ["2 minutes", "8 minutes"] as const) {
          yield* TestClock.adjust(wait)
          yield* challenges.renew
        }
      }
      assert.strictEqual(taken, 5)
    })
  )

  it.effect("V2 of two heartbeats at once one takes the question out, and what is shut out is asked nothing", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const servers = yield* Servers
      const server = yield* reporting
      yield* challenges.request(server.organizationId, server.id)
      const taken = yield* Effect.all([challenges.take(server.id), challenges.take(server.id)], {
        concurrency: "unbounded"
      })
      assert.lengthOf(taken.filter(Option.isSome), 1)
      yield* TestClock.adjust("1 minute")
      yield* challenges.renew
      yield* challenges.request(server.organizationId, server.id)
      yield* servers.suspend(server.organizationId, server.id, "")
      assert.isTrue(Option.isNone(yield* challenges.take(server.id)))
      yield* challenges.renew
      yield* servers.approve(server.organizationId, server.id)
      yield* challenges.renew
      assert.isTrue(Option.isNone(yield* challenges.take(server.id)))
    })
  )

  it.effect("V2 an admin's wish waits for a server that is away", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const server = yield* reporting
      yield* challenges.request(server.organizationId, server.id)
      yield* sql`update server_presence set liveness = 'offline' where server_id = ${server.id}`
      yield* sql`insert into verification_hints (server_id) values (${server.id})`
      yield* challenges.renew
      yield* TestClock.adjust("1 hour")
      const { challenge } = yield* beat(server, server.bootId, 2)
      assert.isNotNull(challenge)
      assert.strictEqual((yield* standing(server.id)).last?.purpose, "requested")
    })
  )

  it.effect("V3 something new ends the wait after a silence, once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const challenges = yield* Challenges
      const server = yield* reporting
      yield* challenges.request(server.organizationId, server.id)
      yield* beat(server, server.bootId, 2)
      yield* sql`update server_verifications set silences = 3 where server_id = ${server.id}`
      yield* TestClock.adjust("1 minute")
      // The fourth: 8 minutes.
      assert.isFalse(yield* isAsked(server.id))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* isAsked(server.id))
      const bootId = boot()
      yield* beat(server, bootId, 1)
      assert.isTrue(yield* isAsked(server.id))
      assert.isNotNull((yield* beat(server, bootId, 2)).challenge)
      yield* TestClock.adjust("1 minute")
      yield* beat(server, bootId, 3)
      // It was silent again, which a new boot does not make undone.
      yield* challenges.renew
      assert.deepInclude(yield* standing(server.id), { silences: 5, verified: false })
      assert.isFalse(yield* isAsked(server.id))
    })
  )

  it.effect("V3 who has just proven itself rests, whatever is new", () =>
    Effect.gen(function* () {
      const { rest } = yield* VerificationPolicy
      const server = yield* reporting
      const bootId = boot()
      yield* beat(server, bootId, 1)
      assert.isTrue(yield* isAsked(server.id))
      yield* answer(server)
      yield* beat({ ...server, address: "198.51.100.1" }, boot(), 1)
      assert.isFalse(yield* isAsked(server.id))
      yield* TestClock.adjust(Duration.toMillis(rest) - 1)
      assert.isFalse(yield* isAsked(server.id))
      yield* TestClock.adjust(1)
      assert.isTrue(yield* isAsked(server.id))
    })
  )

  it.effect("V3 going to and fro between networks is new once for each", () =>
    Effect.gen(function* () {
      const server = yield* reporting
      const networks = ["203.0.113.1", "2001:db8:7::1", "198.51.100.1"]
      let asked = 0
      let seq = 1
      const { bootId } = yield* presence(server.id)
      // For less than a fifth of the period after the last proof: its own turn may come from then on.
      for (let round = 0; round < 3; round++) {
        for (const address of networks) {
          yield* rested
          yield* beat({ ...server, address }, bootId, ++seq)
          if (!(yield* isAsked(server.id))) continue
          asked += 1
          const { challenge } = yield* beat({ ...server, address }, bootId, ++seq)
          if (challenge === null) return assert.fail("no question")
          const challenges = yield* Challenges
          yield* challenges.answer(server, challenge.id, yield* signature(server, challenge))
        }
      }
      assert.strictEqual(asked, 3)
    })
  )

  it.effect("V3 however many are at risk, those whose time has come have their share", () =>
    Effect.gen(function* () {
      const challenges = yield* Challenges
      const { catchUp, leastPerRun } = yield* VerificationPolicy
      yield* alone
      const fleet = yield* Effect.forEach(Array.from({ length: 60 }), () => verified())
      for (const server of fleet) yield* beat(server, boot(), 1)
      yield* challenges.renew
      yield* TestClock.adjust("1 day")
      // 40 that were restarted, and 20 whose time has come.
      for (const server of fleet.slice(20)) yield* beat(server, boot(), 1)
      assert.strictEqual((yield* challenges.renew).wanted, leastPerRun)
      const out = yield* Effect.forEach(fleet, ({ id }) => isOut(id))
      assert.lengthOf(
        out.slice(0, 20).filter((is) => is),
        Math.ceil(leastPerRun / catchUp)
      )
    })
  )

  it.effect("V3 nothing of it is indexed where heartbeats are written", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const indexes = yield* sql`select indexname from pg_indexes where tablename = 'server_presence'`
      assert.deepStrictEqual(indexes, [{ indexname: "server_presence_pkey" }])
    })
  )
})
