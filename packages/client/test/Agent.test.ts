/** The agent against a broker in memory, on a test's clock. */

import { generateKeyPairSync } from "node:crypto"
import { ChallengeFailed, ChallengeGone } from "@broker/domain/Challenge"
import { format, UnknownCredential, WrongCredentialKind } from "@broker/domain/Credential"
import { Overloaded } from "@broker/domain/Heartbeat"
import { InvalidPublicKey, TimestampOutOfRange } from "@broker/domain/Registration"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { NameTaken, PublicKeyInUse, ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Layer, Option, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import type { AgentEvent } from "../src/AgentEvent.ts"
import { AgentStore, type Membership } from "../src/AgentStore.ts"
import { HostMetrics } from "../src/HostMetrics.ts"
import * as KeyPair from "../src/KeyPair.ts"
import { type Answer, FakeBroker, type Fault, key, problem, problemCode, serverId, url } from "./FakeBroker.ts"

/** What survives a restart. */
class Disk {
  keyPair = KeyPair.fromPrivateKey(generateKeyPairSync("ed25519").privateKey)
  nextKeyPair: KeyPair.KeyPair | undefined
  membership: Membership | undefined
  saves = 0

  readonly layer = Layer.succeed(AgentStore, {
    keyPair: Effect.sync(() => this.keyPair),
    nextKeyPair: Effect.sync(() => {
      this.nextKeyPair ??= KeyPair.fromPrivateKey(generateKeyPairSync("ed25519").privateKey)
      return this.nextKeyPair
    }),
    pendingKeyPair: Effect.sync(() => Option.fromUndefinedOr(this.nextKeyPair)),
    adoptNext: Effect.sync(() => {
      this.keyPair = this.nextKeyPair ?? this.keyPair
      this.nextKeyPair = undefined
    }),
    dropNext: Effect.sync(() => {
      this.nextKeyPair = undefined
    }),
    membership: Effect.sync(() => Option.fromUndefinedOr(this.membership)),
    save: (membership) =>
      Effect.sync(() => {
        this.membership = membership
        this.saves++
      })
  })
}

const host = Layer.succeed(HostMetrics, { read: Effect.succeed({ cpu: 0.25, load1: 1 }) })

/** Starts an agent, and lets it go as far as it gets without time passing. */
const start = Effect.fnUntraced(function* (
  broker: FakeBroker,
  options?: Partial<Agent.Options> & { readonly disk?: Disk }
) {
  const { disk = new Disk(), ...rest } = options ?? {}
  const events: Array<AgentEvent> = []
  const fiber = yield* Agent.run({
    url,
    key,
    name: "aurora",
    onEvent: (event) => Effect.sync(() => events.push(event)),
    ...rest
  }).pipe(
    Effect.provide([
      disk.layer,
      host,
      SecureRandom.layerWebCrypto,
      Layer.succeed(HttpClient.HttpClient, broker.client)
    ]),
    Effect.forkChild
  )
  yield* TestClock.adjust(0)
  return { disk, events, fiber }
})

const tags = (events: ReadonlyArray<AgentEvent>) => events.map(({ _tag }) => _tag)

const waits = (events: ReadonlyArray<AgentEvent>) => events.filter((event) => event._tag === "Waiting")

/** How the agent ended; it must have. */
const errorOf = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>) {
  const exit = yield* Fiber.await(fiber).pipe(
    Effect.timeoutOrElse({
      duration: 0,
      orElse: () => Effect.die("the agent still runs")
    })
  )
  if (Exit.isSuccess(exit)) return assert.fail("the agent ended well")
  return Cause.squash(exit.cause) as E
})

const isRunning = (fiber: Fiber.Fiber<unknown, unknown>) => fiber.pollUnsafe() === undefined

describe("Agent", () => {
  it.effect("B4 V1 H1 registers, answers the challenge at once, then reports life as often as it is told", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.challengeNow(1, 0)
      const { disk, events } = yield* start(broker, { version: "1.4.2", tags: ["eu"] })

      assert.deepStrictEqual(
        broker.received.map(({ route }) => route),
        ["wellKnown", "register", "wellKnown", "challenge", "heartbeat"]
      )
      assert.deepStrictEqual(tags(events), ["Registered", "Verified", "Heartbeat"])
      assert.strictEqual(broker.of("register")[0]?.bearer, Redacted.value(key))
      assert.deepInclude(broker.of("register")[0]?.body, { name: "aurora", version: "1.4.2", tags: ["eu"] })
      assert.strictEqual(disk.membership?.serverId, serverId)

      broker.interval = 12.5
      yield* TestClock.adjust("30 seconds")
      yield* TestClock.adjust("12 seconds")
      assert.lengthOf(broker.of("heartbeat"), 2)
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(
        broker.of("heartbeat").map(({ at }) => at),
        [0, 30_000, 42_500]
      )
    })
  )

  it.effect("H3 numbers its heartbeats within one boot", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const first = yield* start(broker)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.interrupt(first.fiber)
      yield* start(broker, { disk: first.disk })

      const sent = broker.of("heartbeat").map(({ body }) => body as { bootId: string; seq: number })
      assert.deepStrictEqual(
        sent.map(({ seq }) => seq),
        [1, 2, 3, 4, 5, 1]
      )
      const boots = [...new Set(sent.map(({ bootId }) => bootId))]
      assert.lengthOf(boots, 2)
      for (const boot of boots)
        assert.match(boot, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    })
  )

  it.effect("reports what the machine measures and what the gateway adds", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      yield* start(broker, { report: Effect.succeed({ activeConnections: 3, metrics: { load1: 2, rttMs: 7 } }) })
      const { activeConnections, metrics, sentAt } = broker.of("heartbeat")[0]?.body ?? {}
      assert.strictEqual(activeConnections, 3)
      assert.deepStrictEqual(metrics, { cpu: 0.25, load1: 2, rttMs: 7 })
      assert.strictEqual(sentAt, "1970-01-01T00:00:00.000Z")
    })
  )

  it.effect("B2 repeats a registration whose answer was lost, by the same key pair", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.register.push("lost", "lost")
      const { disk, events } = yield* start(broker)
      assert.lengthOf(broker.of("register"), 1)
      assert.strictEqual(disk.saves, 0)

      yield* TestClock.adjust("5 seconds")
      const keys = broker.of("register").map(({ body }) => body["publicKey"])
      assert.deepStrictEqual(keys, [disk.keyPair.publicKey, disk.keyPair.publicKey, disk.keyPair.publicKey])
      assert.deepInclude(
        events.find(({ _tag }) => _tag === "Registered"),
        { again: true, serverId }
      )
      assert.deepStrictEqual(disk.membership?.token, broker.token)
      assert.isTrue(broker.of("heartbeat").every((beat) => broker.knows(beat)))
    })
  )

  it.effect("goes on after a restart without the registration key", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const first = yield* start(broker)
      yield* Fiber.interrupt(first.fiber)
      const { events } = yield* start(broker, { disk: first.disk, key: undefined })
      assert.deepStrictEqual(tags(events), ["Resumed", "Heartbeat"])
      assert.lengthOf(broker.of("register"), 1)
    })
  )

  it.effect("tells after a restart what it says differently of itself, and no more", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const first = yield* start(broker, { version: "1", tags: ["eu"] })
      yield* Fiber.interrupt(first.fiber)

      broker.next.update.push("unreachable")
      const { events } = yield* start(broker, { disk: first.disk, version: "2", tags: ["eu"] })
      assert.deepStrictEqual(tags(events), ["Resumed", "Heartbeat", "Waiting"])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(
        broker.of("update").map(({ body }) => body),
        [{ version: "2" }]
      )
      assert.deepStrictEqual(first.disk.membership?.description, { version: "2", tags: ["eu"] })
    })
  )

  it.effect("leaves a request that is under way when it is stopped", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push("silent")
      const { fiber } = yield* start(broker)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(broker.aborted, 1)
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(broker.of("heartbeat"), 1)
    })
  )

  it.effect("never lets a secret into an event", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push("unreachable", problem(ServerSuspended))
      const { events } = yield* start(broker)
      yield* TestClock.adjust("20 minutes")
      assert.notMatch(JSON.stringify(events), /brk_/)
    })
  )
})

describe("Agent: what it is given", () => {
  const refused = [
    ["a misspelled registration key", { key: Redacted.make(`${Redacted.value(key).slice(0, -1)}!`) }, /misspelled/],
    [
      "a credential of another kind",
      { key: format("serverToken", serverId, new Uint8Array(24)) },
      /no registration key/
    ],
    ["no registration key at all", { key: undefined }, /not registered yet/],
    ["an address that is none", { url: "broker.example" }, /no address/],
    ["a tag that the broker would refuse", { tags: ["no spaces allowed"] }, /tags/]
  ] as const

  for (const [what, options, message] of refused) {
    it.effect(`refuses ${what} before anything is sent`, () =>
      Effect.gen(function* () {
        const broker = new FakeBroker()
        const { fiber } = yield* start(broker, options)
        const error = yield* errorOf(fiber)
        assert.strictEqual(error._tag, "InvalidOptions")
        assert.match(error.message, message)
        assert.isEmpty(broker.received)
      })
    )
  }

  it.effect("never sends a token to another broker than the one that gave it", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const first = yield* start(broker)
      yield* Fiber.interrupt(first.fiber)
      const other = new FakeBroker()
      const { fiber } = yield* start(other, { disk: first.disk, url: "http://elsewhere.test" })
      const error = yield* errorOf(fiber)
      assert.strictEqual(error._tag, "UnusableState")
      assert.isEmpty(other.received)
    })
  )

  it.effect("V2 does not answer challenges by another key pair than it registered with", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, fiber } = yield* start(broker)
      yield* Fiber.interrupt(fiber)
      disk.keyPair = new Disk().keyPair
      const restarted = yield* start(broker, { disk })
      const error = yield* errorOf(restarted.fiber)
      assert.strictEqual(error._tag, "UnusableState")
      assert.lengthOf(broker.of("heartbeat"), 1)
    })
  )
})

describe("Agent: refusals", () => {
  const final = [
    RegistrationKeyRefused,
    NameTaken,
    PublicKeyInUse,
    InvalidPublicKey,
    TimestampOutOfRange,
    UnknownCredential,
    WrongCredentialKind,
    ServerRetired
  ]
  for (const Final of final) {
    it.effect(`H8 stops when registration is refused: ${Final.name}`, () =>
      Effect.gen(function* () {
        const broker = new FakeBroker()
        broker.next.register.push(problem(Final))
        const { events, fiber } = yield* start(broker)
        const error = yield* errorOf(fiber)
        assert(error instanceof Agent.Refused)
        assert.strictEqual(error.code, new Final({}).code)
        assert.isTrue(error.message.length > error.detail.length, error.message)
        assert.deepStrictEqual(tags(events), ["Stopped"])
      })
    )
  }

  it.effect("H8 says which field the broker refuses", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const answer = problemCode(400, "validation_failed")
      broker.next.register.push({
        ...answer,
        body: { ...(answer.body as object), errors: [{ pointer: "/labels/rack", message: "must be short" }] }
      })
      const { fiber } = yield* start(broker)
      const error = yield* errorOf(fiber)
      assert.match(error.message, /\/labels\/rack must be short/)
    })
  )

  it.effect("H8 stops for good when the server is retired", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { events, fiber } = yield* start(broker)
      broker.next.heartbeat.push(problem(ServerRetired))
      yield* TestClock.adjust("30 seconds")
      const error = yield* errorOf(fiber)
      assert(error instanceof Agent.Refused)
      assert.strictEqual(error.code, "server_retired")
      assert.strictEqual(events.at(-1)?._tag, "Stopped")
      yield* TestClock.adjust("1 day")
      assert.lengthOf(broker.of("heartbeat"), 2)
    })
  )

  it.effect("H8 waits long while it is suspended, then goes on", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(problem(ServerSuspended), problem(ServerSuspended))
      const { events } = yield* start(broker)
      yield* TestClock.adjust("12 minutes")
      const [first, second, third] = broker.of("heartbeat").map(({ at }) => at)
      for (const [from, to] of [
        [first, second],
        [second, third]
      ] as const) {
        assert.isAtLeast((to ?? 0) - (from ?? 0), 270_000)
        assert.isAtMost((to ?? 0) - (from ?? 0), 330_000)
      }
      assert.strictEqual(events.findLast(({ _tag }) => _tag !== "Heartbeat")?._tag, "Waiting")
      assert.strictEqual(events.at(-1)?._tag, "Heartbeat")
    })
  )

  it.effect("H8 waits as long as it was configured to while it is suspended", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(problem(ServerSuspended))
      yield* start(broker, { pause: "20 seconds" })
      yield* TestClock.adjust("22 seconds")
      assert.lengthOf(broker.of("heartbeat"), 2)
    })
  )

  it.effect("H8 registers again when its token is unknown", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, events } = yield* start(broker)
      broker.next.heartbeat.push(problem(UnknownCredential))
      yield* TestClock.adjust("31 seconds")
      assert.lengthOf(broker.of("register"), 2)
      assert.deepStrictEqual(tags(events), ["Registered", "Heartbeat", "Waiting", "Registered", "Heartbeat"])
      assert.deepStrictEqual(disk.membership?.token, broker.token)
      assert.isTrue(broker.knows(broker.of("heartbeat")[2] ?? assert.fail("no heartbeat")))
    })
  )

  it.effect("H8 does not race round when every new token is unknown, too", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(...Array.from({ length: 100 }, () => problem(UnknownCredential)))
      yield* start(broker)
      yield* TestClock.adjust("10 minutes")
      assert.isBelow(broker.of("register").length, 25)
    })
  )

  it.effect("H8 ends when its token is unknown and it has no registration key", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const first = yield* start(broker)
      yield* Fiber.interrupt(first.fiber)
      broker.next.heartbeat.push(problem(UnknownCredential))
      const { fiber } = yield* start(broker, { disk: first.disk, key: undefined })
      const error = yield* errorOf(fiber)
      assert(error instanceof Agent.Refused)
      assert.strictEqual(error.code, "unknown_credential")
    })
  )

  const passing: ReadonlyArray<readonly [string, Answer | Fault]> = [
    ["503 of the broker", problem(Overloaded)],
    ["500 of the broker", problemCode(500, "internal_error")],
    ["429 of the broker", problemCode(429, "too_many_requests")],
    ["502 of a proxy", { status: 502, body: "<html>bad gateway</html>", headers: { "content-type": "text/html" } }],
    ["403 of a proxy", { status: 403, body: "<html>forbidden</html>", headers: { "content-type": "text/html" } }],
    ["401 of a proxy", { status: 401, body: "{}" }],
    ["404 of a proxy", { status: 404, body: "" }],
    ["410 of a proxy", { status: 410, body: "null" }],
    ["redirect", { status: 301, body: "", headers: { location: "https://login.example/" } }],
    [
      "200 of a captive portal",
      { status: 200, body: "<html>welcome</html>", headers: { "content-type": "text/html" } }
    ],
    ["200 with another shape", { status: 200, body: { ok: true } }],
    ["broken connection", "unreachable"],
    ["lost answer", "lost"],
    ["silence", "silent"]
  ]
  for (const [what, answer] of passing) {
    for (const route of ["wellKnown", "register", "heartbeat"] as const) {
      it.effect(`H8 tries again after a ${what} (${route})`, () =>
        Effect.gen(function* () {
          const broker = new FakeBroker()
          broker.next[route].push(answer)
          const { events, fiber } = yield* start(broker)
          yield* TestClock.adjust(answer === "silent" ? "11 seconds" : "1 second")
          assert.isTrue(isRunning(fiber))
          assert.lengthOf(waits(events), 1)
          assert.strictEqual(events.at(-1)?._tag, "Heartbeat")
        })
      )
    }
  }

  it.effect("H8 never sends a heartbeat's lost request again as it was, but the next one", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push("lost")
      yield* start(broker)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        broker.of("heartbeat").map(({ body }) => body["seq"]),
        [1, 2]
      )
    })
  )

  it.effect("H10 tries ever more slowly, up to once a minute, and quickly again after a success", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(...Array.from({ length: 12 }, () => "unreachable" as const))
      const { events } = yield* start(broker)
      yield* TestClock.adjust("10 minutes")
      const seconds = waits(events).map(({ retryInSeconds }) => retryInSeconds)
      assert.lengthOf(seconds, 12)
      for (const [failure, wait] of seconds.entries()) {
        const most = Math.min(60, 2 ** failure)
        assert.isAtLeast(wait, most / 2)
        assert.isAtMost(wait, most)
      }

      broker.next.heartbeat.push("unreachable")
      yield* TestClock.adjust("1 minute")
      assert.isAtMost(waits(events).at(-1)?.retryInSeconds ?? 60, 1)
    })
  )

  it.effect("H10 heeds Retry-After, in seconds and as a date", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(
        problem(Overloaded, { "retry-after": "17" }),
        problem(Overloaded, { "retry-after": "Thu, 01 Jan 1970 00:01:00 GMT" })
      )
      yield* start(broker)
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(
        broker.of("heartbeat").map(({ at }) => at),
        [0, 17_000, 60_000]
      )
    })
  )

  it.effect("H10 is not silenced by a senseless Retry-After", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.heartbeat.push(
        problem(Overloaded, { "retry-after": "86400" }),
        problem(Overloaded, { "retry-after": "x" })
      )
      yield* start(broker)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(
        broker.of("heartbeat").map(({ at }) => at),
        [0, 300_000]
      )
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(broker.of("heartbeat"), 3)
    })
  )
})

describe("Agent: challenges", () => {
  it.effect("V1 V2 answers a challenge that comes with a heartbeat", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { events } = yield* start(broker)
      broker.challengeNow(2, 30_000)
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(broker.verified, 1)
      assert.deepStrictEqual(tags(events), ["Registered", "Heartbeat", "Heartbeat", "Verified"])
    })
  )

  it.effect("V1 signs for the audience that the broker has now, as a stale one would suspend the server", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      yield* start(broker)
      broker.audience = "https://moved.test.example"
      broker.challengeNow(3, 30_000)
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(broker.verified, 1)
    })
  )

  for (const fault of ["wellKnown", "challenge"] as const) {
    it.effect(`V2 answers after the next heartbeat when the way was broken (${fault})`, () =>
      Effect.gen(function* () {
        const broker = new FakeBroker()
        const { events } = yield* start(broker)
        broker.challengeNow(4, 30_000)
        broker.next[fault].push("unreachable")
        yield* TestClock.adjust("30 seconds")
        assert.isEmpty(broker.verified)
        yield* TestClock.adjust("30 seconds")
        assert.lengthOf(broker.verified, 1)
        assert.lengthOf(waits(events), 1)
        assert.deepStrictEqual(
          broker.of("heartbeat").map(({ at }) => at),
          [0, 30_000, 60_000]
        )
      })
    )
  }

  it.effect("V1 lets a challenge go that is over", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { events } = yield* start(broker)
      broker.challengeNow(5, 30_000)
      broker.next.challenge.push(problem(ChallengeGone))
      yield* TestClock.adjust("30 seconds")
      broker.challenge = null
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(broker.of("challenge"), 1)
      assert.isEmpty(waits(events))
    })
  )

  it.effect("V2 H8 takes a failed challenge as a suspension", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { events, fiber } = yield* start(broker)
      broker.challengeNow(6, 30_000)
      broker.next.challenge.push(problem(ChallengeFailed))
      yield* TestClock.adjust("30 seconds")
      broker.challenge = null
      assert.deepInclude(waits(events)[0], { reason: "challenge_failed" })
      yield* TestClock.adjust("4 minutes")
      assert.lengthOf(broker.of("heartbeat"), 2)
      yield* TestClock.adjust("2 minutes")
      assert.isAtLeast(broker.of("heartbeat").length, 3)
      assert.lengthOf(broker.of("challenge"), 1)
      assert.isTrue(isRunning(fiber))
    })
  )
})

describe("Agent: clocks", () => {
  it.effect("B4 signs by the broker's clock when its own is far off, and says so once", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.skew = Duration.hours(-3)
      yield* TestClock.setTime(Date.UTC(2026, 10, 22))
      const { events } = yield* start(broker)
      assert.strictEqual(broker.of("register")[0]?.body["timestamp"], "2026-11-21T21:00:00.000Z")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "ClockSkew"),
        [{ _tag: "ClockSkew", seconds: -10_800 }]
      )
    })
  )

  it.effect("H4 reports its own clock, right or wrong", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.skew = Duration.hours(1)
      yield* start(broker)
      assert.strictEqual(broker.of("heartbeat")[0]?.body["sentAt"], "1970-01-01T00:00:00.000Z")
    })
  )

  it.effect("B4 signs by its own clock when that is near enough", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.skew = Duration.seconds(100)
      const { events } = yield* start(broker)
      assert.strictEqual(broker.of("register")[0]?.body["timestamp"], "1970-01-01T00:00:00.000Z")
      assert.notInclude(tags(events), "ClockSkew")
    })
  )

  it.effect("V4 told to, it changes its key pair, signed by both, and proves the new one from then on", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, events } = yield* start(broker)
      const former = disk.keyPair.publicKey
      broker.notices = ["rotate-key", "Maintenance on Sunday"]
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(broker.of("rotateKey"), 1)
      assert.notStrictEqual(disk.keyPair.publicKey, former)
      assert.strictEqual(disk.membership?.publicKey, disk.keyPair.publicKey)
      assert.strictEqual(broker.publicKey, disk.keyPair.publicKey)
      assert.isUndefined(disk.nextKeyPair)
      // The order is obeyed; what is for people is shown to them.
      assert.deepStrictEqual(tags(events).slice(-3), ["Heartbeat", "Notice", "KeyChanged"])
      broker.notices = []
      broker.challengeNow(7, 60_000)
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(broker.verified, 1)
      assert.lengthOf(broker.of("rotateKey"), 1)
    })
  )

  it.effect.each(["lost", "unreachable"] as const)(
    "V4 an answer that is %s leads to the same key pair again",
    (fault) =>
      Effect.gen(function* () {
        const broker = new FakeBroker()
        const { disk } = yield* start(broker)
        broker.notices = ["rotate-key"]
        broker.next.rotateKey.push(fault)
        yield* TestClock.adjust("30 seconds")
        const offered = disk.nextKeyPair?.publicKey
        assert.isDefined(offered)
        // The broker has heard of it, and asks no more.
        broker.notices = []
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(disk.keyPair.publicKey, offered)
      })
  )

  it.effect("V4 cut off before it was kept, the change is gone through again after a restart", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, fiber } = yield* start(broker)
      yield* Fiber.interrupt(fiber)
      disk.nextKeyPair = KeyPair.fromPrivateKey(generateKeyPairSync("ed25519").privateKey)
      const next = disk.nextKeyPair.publicKey
      yield* start(broker, { disk })
      assert.strictEqual(disk.keyPair.publicKey, next)
      assert.lengthOf(broker.of("rotateKey"), 1)
    })
  )

  it.effect("V4 cut off after it was kept, the new key pair is taken up", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, fiber } = yield* start(broker)
      yield* Fiber.interrupt(fiber)
      disk.nextKeyPair = KeyPair.fromPrivateKey(generateKeyPairSync("ed25519").privateKey)
      const next = disk.nextKeyPair.publicKey
      if (disk.membership !== undefined) disk.membership = { ...disk.membership, publicKey: next }
      yield* start(broker, { disk })
      assert.strictEqual(disk.keyPair.publicKey, next)
      assert.lengthOf(broker.of("rotateKey"), 0)
    })
  )

  it.effect("V4 a key pair that the broker does not take is given up, and the server goes on with its own", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      const { disk, fiber } = yield* start(broker)
      const { publicKey } = disk.keyPair
      broker.notices = ["rotate-key"]
      broker.next.rotateKey.push(problem(PublicKeyInUse))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(disk.keyPair.publicKey, publicKey)
      assert.isTrue(isRunning(fiber))
      yield* TestClock.adjust("30 seconds")
      assert.notStrictEqual(disk.keyPair.publicKey, publicKey)
    })
  )
})
