/** Clients and gateways beside a real broker, over real HTTP. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { Devices } from "@broker/core/devices/Devices"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Servers } from "@broker/core/servers/Servers"
import type { ConnectionId } from "@broker/domain/Connection"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpClient, HttpClientError } from "effect/http"
import * as AgentConnections from "../src/AgentConnections.ts"
import * as Client from "../src/Client.ts"
import type { ClientEvent } from "../src/ClientEvent.ts"
import { ClientStore } from "../src/ClientStore.ts"
import * as NodeClient from "../src/NodeClient.ts"
import { eventually, gateway } from "./Gateway.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-client-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** A client of a new user, and what it goes through. */
const newClient = Effect.fnUntraced(function* (name: string, options: Partial<NodeClient.Options> = {}) {
  const broker = yield* TestBroker
  const userId = yield* broker.user(name)
  const { id: keyId, key } = yield* broker.personalKey(userId)
  const events: Array<ClientEvent> = []
  const client = yield* NodeClient.make({
    url: broker.url,
    personalKey: key,
    stateDir: yield* directory,
    device: { name: `${name}'s laptop`, platform: "linux" },
    onEvent: (event) => Effect.sync(() => events.push(event)),
    ...options
  })
  return { client, events, key, keyId, userId }
})

/** The broker answers, but the first answers to a path never arrive. */
const losingAnswers = (times: number, path: string) => {
  let left = times
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (http) =>
      HttpClient.transform(http, (exchange, request) =>
        Effect.flatMap(exchange, (response) =>
          new URL(request.url).pathname === path && left-- > 0
            ? Effect.fail(
                new HttpClientError.HttpClientError({
                  reason: new HttpClientError.TransportError({ request, description: "the answer was lost" })
                })
              )
            : Effect.succeed(response)
        )
      )
    )
  )
}

const count = (events: ReadonlyArray<ClientEvent>, tag: ClientEvent["_tag"]) =>
  events.filter(({ _tag }) => _tag === tag).length

const ledger = (id: ConnectionId) => Connections.use((connections) => connections.find(defaultOrganizationId, id))

const asBroker = Effect.provideService(Actor, byBroker)

const policy = { heartbeatInterval: Duration.millis(300) }

const test = { excludeTestServices: true, timeout: "60 seconds" } as const

layer(TestBroker.layer({ policy, connections: { liveSetGrace: Duration.millis(500) } }), test)("Client", (it) => {
  it.effect("C1 C3 C4 signs in, finds, connects, reports and ends; both sides' accounts agree", () =>
    Effect.gen(function* () {
      const { connections } = yield* gateway("flow-1")
      const { client, events } = yield* newClient("Flora")
      const [server] = yield* Effect.map(client.discover({ q: "flow-1" }), ({ items }) => items)
      assert.strictEqual(server?.name, "flow-1")

      const connection = yield* client.connect({ select: { q: "flow-1", capability: ["vpn"] } })
      const opened = yield* connections.accept(connection.grant)
      assert.strictEqual(opened.id, connection.id)
      yield* eventually(connection.read, ({ status }) => status === "active")

      yield* connection.report({ rxBytes: 1_000_000, txBytes: 50_000, rttMs: 20 })
      yield* connections.progress(opened.id, { rxBytes: 50_000, txBytes: 1_000_000 })
      yield* eventually(ledger(connection.id), ({ serverTxBytes }) => serverTxBytes === 1_000_000)

      const over = yield* connection.end("done", { rxBytes: 2_000_000, txBytes: 90_000 })
      assert.deepStrictEqual(over, { by: "client", reason: "done" })
      yield* connections.close(opened.id, "client_left", { rxBytes: 90_000, txBytes: 2_000_000 })
      const told = yield* eventually(ledger(connection.id), ({ verdict }) => verdict !== null)
      assert.deepInclude(told, { status: "ended", verdict: "confirmed", endedBy: "client", endReason: "done" })
      assert.strictEqual(count(events, "SignedIn"), 1)
      assert.deepStrictEqual((yield* client.me).connections, [])
    })
  )

  it.effect("C2 a scope that closes ends its connection", () =>
    Effect.gen(function* () {
      const { connections } = yield* gateway("scope-1")
      const { client } = yield* newClient("Scipio")
      const { id } = yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* client.connect({ select: { q: "scope-1" } })
          yield* connections.accept(connection.grant)
          yield* eventually(connection.read, ({ status }) => status === "active")
          return connection
        })
      )
      assert.deepInclude(yield* ledger(id), { status: "ended", endedBy: "client" })
    })
  )

  it.effect("C8 walks through all pages, and is not sent again what has not changed", () =>
    Effect.gen(function* () {
      for (const name of ["page-1", "page-2", "page-3"]) yield* gateway(name)
      const { client } = yield* newClient("Paige")
      const all = yield* Stream.runCollect(client.servers({ q: "page-", sort: "name" }))
      assert.deepStrictEqual(
        all.map(({ name }) => name),
        ["page-1", "page-2", "page-3"]
      )
      const first = yield* client.discover({ q: "page-", sort: "name", limit: 2 })
      assert.lengthOf(first.items, 2)
      const second = yield* client.discover({ q: "page-", sort: "name", limit: 2, cursor: first.nextCursor ?? "" })
      assert.deepStrictEqual(
        second.items.map(({ name }) => name),
        ["page-3"]
      )
      yield* eventually(
        Effect.all([client.discover({ q: "page-3" }), client.discover({ q: "page-3" })]),
        ([before, after]) => before === after
      )
    })
  )

  it.effect("signs in once for all who ask at once", () =>
    Effect.gen(function* () {
      const { client, events } = yield* newClient("Onno")
      yield* Effect.all(
        Array.from({ length: 20 }, () => client.me),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(count(events, "SignedIn"), 1)
    })
  )

  it.effect("signs in again after it signed out, as the same device", () =>
    Effect.gen(function* () {
      const { client, events } = yield* newClient("Otto")
      const before = yield* client.me
      yield* client.signOut
      const after = yield* client.me
      assert.strictEqual(after.device.id, before.device.id)
      assert.strictEqual(count(events, "SignedIn"), 2)
    })
  )

  it.effect("C6 a revoked key stops the client with the broker's code, and does not go on asking", () =>
    Effect.gen(function* () {
      const { client, events, keyId } = yield* newClient("Rea")
      yield* client.me
      yield* PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, keyId, "lost")).pipe(asBroker)
      const errors = yield* Effect.all([Effect.flip(client.me), Effect.flip(client.me)], { concurrency: 2 })
      for (const error of errors) assert.deepInclude(error, { _tag: "Refused", code: "personal_key_refused" })
      assert.strictEqual(count(events, "SignInRefused"), 1)
    })
  )

  it.effect("C6 a blocked device is told so", () =>
    Effect.gen(function* () {
      const { client } = yield* newClient("Bela")
      const { device } = yield* client.me
      yield* Devices.use((devices) => devices.block(defaultOrganizationId, device.id, "stolen")).pipe(asBroker)
      assert.deepInclude(yield* Effect.flip(client.me), { _tag: "Refused", code: "device_blocked" })
    })
  )

  it.effect("C6 cuts on revocation reach the gateway and the client, and are confirmed quickly", () =>
    Effect.gen(function* () {
      const { closed, connections, events } = yield* gateway("cut-1")
      const { client, keyId } = yield* newClient("Cuno")
      const connection = yield* client.connect({ select: { q: "cut-1" } }, { every: "200 millis" })
      yield* connections.accept(connection.grant)
      yield* eventually(connection.read, ({ status }) => status === "active")

      yield* PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, keyId, "lost")).pipe(asBroker)
      yield* eventually(
        Effect.sync(() => closed),
        (closed) => closed.length === 1
      )
      assert.deepStrictEqual(closed, [{ id: connection.id, reason: "key_revoked" }])
      assert.isTrue(events.some(({ _tag }) => _tag === "Cut"))
      assert.isEmpty(connections.ids())
      const told = yield* eventually(ledger(connection.id), ({ cutConfirmedAt }) => cutConfirmedAt !== null)
      assert.deepInclude(told, { status: "ended", endReason: "key_revoked" })
      // The client's session has ended with the key, so that is all it can know.
      assert.deepInclude(yield* connection.over, { reason: "personal_key_refused" })
    })
  )

  it.effect("C6 a client whose connection an admin ended knows by whom and why, and gives its account of it", () =>
    Effect.gen(function* () {
      const { connections } = yield* gateway("admin-1")
      const { client } = yield* newClient("Adam")
      const metrics = Effect.succeed({ rxBytes: 10, txBytes: 20 })
      const connection = yield* client.connect({ select: { q: "admin-1" } }, { every: "200 millis", metrics })
      yield* connections.accept(connection.grant)
      yield* eventually(connection.read, ({ status }) => status === "active")
      yield* Connections.use((all) => all.disconnect(defaultOrganizationId, connection.id)).pipe(
        Effect.provideService(Actor, { kind: "admin", id: null, name: "ada", address: null, requestId: null })
      )
      const over = yield* connection.over
      assert.strictEqual(over.by, "admin")
      const told = yield* eventually(ledger(connection.id), ({ clientEndedAt }) => clientEndedAt !== null)
      assert.deepInclude(told, { clientRxBytes: 10, clientTxBytes: 20 })
    })
  )

  it.effect("C4 an agent that starts again without its connections ends them", () =>
    Effect.gen(function* () {
      const stateDir = yield* directory
      const { client } = yield* newClient("Rosa")
      const connection = yield* Effect.scoped(
        Effect.gen(function* () {
          const { connections } = yield* gateway("again-1", { stateDir })
          const connection = yield* client.connect({ select: { q: "again-1" } }, { keep: true })
          yield* connections.accept(connection.grant)
          yield* eventually(connection.read, ({ status }) => status === "active")
          return connection
        })
      )
      yield* TestBroker.use(({ agent }) =>
        Effect.flatMap(AgentConnections.make(), (connections) => agent({ name: "again-1", stateDir, connections }))
      )
      const told = yield* eventually(ledger(connection.id), ({ status }) => status === "ended")
      assert.deepInclude(told, { endedBy: "server", endReason: "server_dropped" })
    })
  )

  it.effect("a server that is suspended closes its connections by itself", () =>
    Effect.gen(function* () {
      const { closed, connections } = yield* gateway("susp-1")
      const { client } = yield* newClient("Susi")
      const connection = yield* client.connect({ select: { q: "susp-1" } })
      yield* connections.accept(connection.grant)
      yield* Servers.use((servers) => servers.suspend(defaultOrganizationId, connection.server.id, "doubt")).pipe(
        asBroker
      )
      yield* eventually(
        Effect.sync(() => closed),
        (closed) => closed.length === 1
      )
      assert.strictEqual(closed[0]?.reason, "server_suspended")
    })
  )

  it.effect("C1 a connection that the gateway refuses is over for the client, with the gateway's reason", () =>
    Effect.gen(function* () {
      const { connections } = yield* gateway("full-1")
      const { client } = yield* newClient("Fulvia")
      const connection = yield* client.connect({ select: { q: "full-1" } }, { every: "200 millis" })
      yield* connections.refuse(connection.grant, "no_room")
      assert.deepStrictEqual(yield* connection.over, { by: "server", reason: "no_room" })
      assert.strictEqual((yield* ledger(connection.id)).status, "refused")
    })
  )

  it.effect("C3 a gateway takes no grant that is for another one, nor the same one twice", () =>
    Effect.gen(function* () {
      const one = yield* gateway("mine-1")
      const other = yield* gateway("theirs-1")
      const { client } = yield* newClient("Grete")
      const { grant } = yield* client.connect({ select: { q: "mine-1" } })
      assert.strictEqual((yield* Effect.flip(other.connections.accept(grant))).reason, "server")
      yield* one.connections.accept(grant)
      assert.strictEqual((yield* Effect.flip(one.connections.accept(grant))).reason, "used")
      const [head, body, signature = ""] = Redacted.value(grant).split(".")
      const tampered = [head, body, signature.replace(/^./, (first) => (first === "A" ? "B" : "A"))].join(".")
      assert.strictEqual((yield* Effect.flip(one.connections.accept(tampered))).reason, "signature")
    })
  )

  it.effect("C2 a connection whose answer was lost is asked for again, and is the same one", () =>
    Effect.gen(function* () {
      yield* gateway("lost-1")
      const broker = yield* TestBroker
      const userId = yield* broker.user("Loes")
      const { key } = yield* broker.personalKey(userId)
      const events: Array<ClientEvent> = []
      const files = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, SecureRandom.layerWebCrypto)
      const services = yield* Layer.build(
        Layer.mergeAll(
          ClientStore.layer(yield* directory).pipe(Layer.provide(files)),
          SecureRandom.layerWebCrypto,
          Layer.provide(losingAnswers(1, "/api/v1/connections"), NodeHttpClient.layerUndici)
        )
      )
      const client = yield* Effect.provide(
        Client.make({
          url: broker.url,
          personalKey: key,
          device: { name: "loes", platform: "linux" },
          onEvent: (event) => Effect.sync(() => events.push(event))
        }),
        services
      )
      const { id } = yield* client.connect({ select: { q: "lost-1" } })
      assert.strictEqual(count(events, "Waiting"), 1)
      assert.deepStrictEqual(
        (yield* client.me).connections.map((connection) => connection.id),
        [id]
      )
    })
  )

  it.effect("says what it was refused for, by the broker's code", () =>
    Effect.gen(function* () {
      const { client } = yield* newClient("Nemo")
      const error = yield* Effect.flip(Effect.scoped(client.connect({ select: { q: "nowhere-at-all" } })))
      assert.deepInclude(error, { _tag: "Refused", code: "no_server_matches" })
    })
  )

  it.effect("says that the broker is unreachable once patience is over", () =>
    Effect.gen(function* () {
      const { client, events } = yield* newClient("Paz", { url: "http://127.0.0.1:9", patience: "1500 millis" })
      assert.deepInclude(yield* Effect.flip(client.me), { _tag: "Unavailable", reason: "unreachable" })
      assert.isAtLeast(count(events, "Waiting"), 1)
    })
  )
})

layer(TestBroker.layer({ policy, connections: { sessionLifetime: Duration.seconds(2) } }), test)(
  "Client: short sessions",
  (it) => {
    it.effect("signs in again when its session is over, without anybody noticing", () =>
      Effect.gen(function* () {
        const { client, events } = yield* newClient("Brevis")
        const first = yield* client.me
        yield* eventually(
          Effect.andThen(
            client.me,
            Effect.sync(() => count(events, "SignedIn"))
          ),
          (signedIn) => signedIn >= 2
        )
        assert.strictEqual((yield* client.me).device.id, first.device.id)
      })
    )
  }
)
