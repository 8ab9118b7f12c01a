/** What servers say they can do, held against real sockets. */
import { createServer, type Server as Socket } from "node:net"
import { Challenges } from "@broker/core/challenges/Challenges"
import { Servers } from "@broker/core/servers/Servers"
import { CapabilityChecks, Resolver, type Subject } from "@broker/core/verification/CapabilityChecks"
import { isPublic } from "@broker/core/verification/PublicAddress"
import { Verification } from "@broker/core/verification/Verification"
import { VerificationPolicy } from "@broker/core/verification/VerificationPolicy"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { Registration } from "@broker/domain/Registration"
import { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"

const { beat, boot, joined, signature, verified } = Fixtures

/** A port that takes connections for as long as the test runs, and how many it took. */
const listening = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly socket: Socket; taken: number }>((resume) => {
    const state = { port: 0, taken: 0 }
    const socket = createServer((connection) => {
      state.taken += 1
      connection.destroy()
    })
    socket.listen(0, "127.0.0.1", () => {
      const address = socket.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed(Object.assign(state, { port, socket })))
    })
  }),
  ({ socket }) => Effect.callback<void>((resume) => void socket.close(() => resume(Effect.void)))
)

/** A port that nothing listens on. */
const closed = Effect.scoped(Effect.map(listening, ({ port }) => port))

const checks = (privateChecks: boolean, resolve?: typeof Resolver.Service) =>
  Effect.map(
    Layer.build(
      Layer.fresh(CapabilityChecks.layer).pipe(
        Layer.provide(
          Layer.mergeAll(
            Layer.succeed(VerificationPolicy, {
              ...VerificationPolicy.defaultValue(),
              privateChecks,
              checkTimeout: Duration.seconds(2)
            }),
            resolve === undefined ? Layer.empty : Layer.succeed(Resolver, resolve)
          )
        )
      )
    ),
    (services) => Effect.provide(CapabilityChecks, services)
  ).pipe(Effect.flatten)

const subject = (fields: Partial<Subject>): Subject => ({
  id: ServerId.make("019845e1-682f-7b02-a706-3b2422d13aec"),
  capabilities: ["inbound"],
  endpoints: [],
  address: null,
  turn: 0,
  ...fields
})

const tcp = (host: string, port: number) => ({ protocol: "tcp", host, port })

const found = Effect.fnUntraced(function* (
  service: typeof CapabilityChecks.Service,
  fields: Partial<Subject>,
  capability = "inbound"
) {
  const [checked] = yield* service.probe([subject({ capabilities: [capability], ...fields })])
  return checked?.findings.get(capability)
})

layer(Fixtures.audited)("capabilities", (it) => {
  it.effect("inbound: an open port confirms, a closed one refutes", () =>
    Effect.gen(function* () {
      const service = yield* checks(true)
      const open = yield* listening
      assert.deepStrictEqual(yield* found(service, { endpoints: [tcp("127.0.0.1", open.port)] }), {
        standing: "confirmed",
        reason: `127.0.0.1:${open.port} took a connection.`
      })
      const port = yield* closed
      assert.deepStrictEqual(yield* found(service, { endpoints: [tcp("127.0.0.1", port)] }), {
        standing: "refuted",
        reason: `127.0.0.1:${port} refused the connection.`
      })
      // One that works is enough.
      const both = [tcp("127.0.0.1", port), { ...tcp("localhost", open.port), protocol: "https" }]
      assert.strictEqual((yield* found(service, { endpoints: both }))?.standing, "confirmed")
    })
  )

  it.effect("inbound: nothing that is not public is connected to, by whatever name", () =>
    Effect.gen(function* () {
      const open = yield* listening
      const mapped = "::ffff:127.0.0.1"
      const service = yield* checks(false, (host) =>
        Effect.succeed(host === "mapped.example" ? [mapped] : ["127.0.0.1"])
      )
      for (const host of ["127.0.0.1", mapped, "mapped.example", "inside.example", "localhost"]) {
        assert.deepStrictEqual(yield* found(service, { endpoints: [tcp(host, open.port)] }), {
          standing: "declared",
          reason: `${host} is not a public address, so it was not tried.`
        })
      }
      assert.strictEqual(open.taken, 0)
    })
  )

  it.effect("inbound: a name is looked up once, and what was found is what is connected to", () =>
    Effect.gen(function* () {
      let asked = 0
      const open = yield* listening
      const service = yield* checks(false, () =>
        // It turns to the inside with the second look.
        Effect.sync(() => (asked++ === 0 ? ["10.0.0.1"] : ["127.0.0.1"]))
      )
      yield* found(service, { endpoints: [tcp("turning.example", open.port)] })
      assert.deepStrictEqual([asked, open.taken], [1, 0])
    })
  )

  it.effect("inbound: without an endpoint over TCP there is nothing to try", () =>
    Effect.gen(function* () {
      const service = yield* checks(true)
      const endpoints = [{ protocol: "webrtc", host: "127.0.0.1", port: 9 }]
      assert.strictEqual((yield* found(service, { endpoints }))?.standing, "declared")
    })
  )

  it("which addresses are public", () => {
    const inside = [
      "0.0.0.0",
      "10.1.2.3",
      "100.64.0.1",
      "127.0.0.1",
      "169.254.169.254",
      "172.31.255.255",
      "192.168.0.1",
      "198.51.100.1",
      "224.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::ffff:8.8.8.8",
      "::ffff:127.0.0.1",
      "64:ff9b::7f00:1",
      "fe80::1",
      "fe80::1%eth0",
      "fc00::1",
      "fd00:ec2::254",
      "ff02::1",
      "2001:db8::1",
      "2002:7f00:1::1",
      "2001::1",
      "localhost",
      ""
    ]
    assert.deepStrictEqual(inside.filter(isPublic), [])
    const outside = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"]
    assert.deepStrictEqual(outside.filter(isPublic), outside)
  })

  it.effect("ipv6: by where heartbeats come from, or by an endpoint", () =>
    Effect.gen(function* () {
      const service = yield* checks(false, (host) =>
        Effect.succeed(host === "six.example" ? ["203.0.113.7", "2001:db8::7"] : ["203.0.113.7"])
      )
      const of = (fields: Partial<Subject>) =>
        Effect.map(found(service, fields, "ipv6"), (finding) => finding?.standing)
      assert.strictEqual(yield* of({ address: "2001:db8::1" }), "confirmed")
      assert.strictEqual(yield* of({ endpoints: [tcp("six.example", 1)] }), "confirmed")
      assert.strictEqual(yield* of({ endpoints: [tcp("2001:db8::1", 1)] }), "confirmed")
      assert.strictEqual(yield* of({ address: "203.0.113.7", endpoints: [tcp("four.example", 1)] }), "refuted")
    })
  )

  it.effect("what was found stands with the server, until it is proven or changed again, or a day has passed", () =>
    Effect.gen(function* () {
      const verification = yield* Verification
      const service = yield* CapabilityChecks
      const fields: Partial<Registration> = {
        capabilities: { ipv6: {}, inbound: {}, relay: {} },
        endpoints: [tcp("127.0.0.1", 9)]
      }
      const server = yield* verified(undefined, {}, fields)
      yield* beat({ ...server, address: "2001:db8::1" }, boot(), 1)
      const isDue = Effect.map(service.due, (due) => due.some(({ id }) => id === server.id))
      assert.isTrue(yield* isDue)
      assert.isAtLeast(yield* verification.checkCapabilities, 2)
      assert.isFalse(yield* isDue)
      const standings = yield* verification.capabilities(defaultOrganizationId, server.id)
      assert.deepStrictEqual(
        standings.map(({ capability, checkable, checkedAt, standing }) => [
          capability,
          standing,
          checkable,
          checkedAt !== null
        ]),
        [
          ["inbound", "declared", true, true],
          ["ipv6", "confirmed", true, true],
          ["relay", "declared", false, false]
        ]
      )
      const servers = yield* Servers
      const challenges = yield* Challenges
      const checkedOnce = Effect.gen(function* () {
        assert.isTrue(yield* isDue)
        yield* verification.checkCapabilities
        assert.isFalse(yield* isDue)
      })
      yield* TestClock.adjust("24 hours")
      yield* TestClock.adjust("1 second")
      yield* checkedOnce
      const challenge = yield* challenges.issue(server.id, "requested")
      assert.isFalse(yield* isDue)
      yield* challenges.answer(server, challenge.id, yield* signature(server, challenge))
      yield* checkedOnce
      yield* servers.update(defaultOrganizationId, server.id, { version: "2.0.0" })
      assert.isFalse(yield* isDue)
      yield* servers.update(defaultOrganizationId, server.id, { endpoints: [tcp("127.0.0.1", 10)] })
      yield* checkedOnce
      yield* servers.update(defaultOrganizationId, server.id, { capabilities: { inbound: {} } })
      yield* checkedOnce
      const left = yield* verification.capabilities(defaultOrganizationId, server.id)
      assert.deepStrictEqual(
        left.map(({ capability }) => capability),
        ["inbound"]
      )
    })
  )

  it.effect("what changed while it was looked at is looked at again, and keeps no finding of before", () =>
    Effect.gen(function* () {
      const verification = yield* Verification
      const servers = yield* Servers
      const service = yield* CapabilityChecks
      const open = yield* listening
      const server = yield* verified(
        undefined,
        {},
        { capabilities: { inbound: {} }, endpoints: [tcp("127.0.0.1", open.port)] }
      )
      yield* beat(server, boot(), 1)
      const mine = Effect.map(service.due, (due) => due.filter(({ id }) => id === server.id))
      const lenient = yield* checks(true)
      const looked = yield* lenient.probe(yield* mine)
      assert.strictEqual(looked[0]?.findings.get("inbound")?.standing, "confirmed")
      yield* servers.update(defaultOrganizationId, server.id, { endpoints: [tcp("127.0.0.1", yield* closed)] })
      assert.strictEqual(yield* service.record(looked), 0)
      const [standing] = yield* verification.capabilities(defaultOrganizationId, server.id)
      assert.deepInclude(standing, { standing: "declared", checkedAt: null })
      yield* service.record(yield* lenient.probe(yield* mine))
      assert.lengthOf(yield* mine, 0)
      const [after] = yield* verification.capabilities(defaultOrganizationId, server.id)
      assert.strictEqual(after?.standing, "refuted")
    })
  )

  it.effect("the broker connects nowhere for who has not proven itself, or was shut out", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const challenges = yield* Challenges
      const service = yield* CapabilityChecks
      const fields: Partial<Registration> = { capabilities: { inbound: {} }, endpoints: [tcp("127.0.0.1", 9)] }
      const server = yield* joined(undefined, {}, fields)
      const isDue = Effect.map(service.due, (due) => due.some(({ id }) => id === server.id))
      assert.isFalse(yield* isDue)
      yield* servers.update(defaultOrganizationId, server.id, { endpoints: [tcp("127.0.0.1", 10)] })
      assert.isFalse(yield* isDue)
      const challenge = yield* challenges.issue(server.id, "requested")
      yield* challenges.answer(server, challenge.id, yield* signature(server, challenge))
      assert.isTrue(yield* isDue)
      yield* servers.suspend(defaultOrganizationId, server.id, "")
      assert.isFalse(yield* isDue)
      yield* servers.approve(defaultOrganizationId, server.id)
      assert.isTrue(yield* isDue)
      yield* servers.retire(defaultOrganizationId, server.id, "")
      yield* TestClock.adjust("2 days")
      assert.isFalse(yield* isDue)
    })
  )

  it.effect("a server that declares nothing is not looked at all the time", () =>
    Effect.gen(function* () {
      const verification = yield* Verification
      const service = yield* CapabilityChecks
      const server = yield* verified()
      yield* verification.checkCapabilities
      assert.isFalse((yield* service.due).some(({ id }) => id === server.id))
      assert.deepStrictEqual(yield* verification.capabilities(defaultOrganizationId, server.id), [])
    })
  )
})
