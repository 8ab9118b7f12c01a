/** G1: the client's address comes from trusted proxies only, and from the right-most hop that is none. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { IpNetwork } from "effect/net"
import { broker, Log } from "./TinyBroker.ts"
import { get } from "./Wire.ts"

const client = (forwarded: string) =>
  Effect.map(get("/api/v1/who", { "x-forwarded-for": forwarded }), (_) => _.json.client)

const trusting = (...networks: ReadonlyArray<string>) =>
  broker({ edge: { trustedProxies: networks.map((network) => IpNetwork.fromStringUnsafe(network)) } })

layer(trusting("127.0.0.0/8", "10.0.0.0/8"), { excludeTestServices: true })("G1 behind trusted proxies", (it) => {
  it.effect("the client is the right-most hop that is not trusted", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* client("198.51.100.7"), "198.51.100.7")
      assert.strictEqual(yield* client("6.6.6.6, 198.51.100.7"), "198.51.100.7")
      assert.strictEqual(yield* client("6.6.6.6, 198.51.100.7, 10.1.2.3"), "198.51.100.7")
      assert.strictEqual(yield* client("2001:DB8:0::1"), "2001:db8::1")
      assert.strictEqual(yield* client("::ffff:198.51.100.7"), "198.51.100.7")
      assert.strictEqual(yield* client("[2001:db8::1]:4711"), "2001:db8::1")
    })
  )

  it.effect("nonsense is not an address", () =>
    Effect.gen(function* () {
      for (const forwarded of ["unknown", "", "6.6.6.6, nonsense", "999.1.1.1", "<script>"]) {
        assert.strictEqual(yield* client(forwarded), "127.0.0.1")
      }
    })
  )

  it.effect("their request id is kept when it is one", () =>
    Effect.gen(function* () {
      const kept = yield* get("/api/v1/who", { "x-request-id": "edge-1234_ABCD" })
      assert.strictEqual(kept.headers["x-request-id"], "edge-1234_ABCD")
      assert.strictEqual(kept.json.requestId, "edge-1234_ABCD")
      for (const id of ["a b<script>", "short", "x".repeat(65), "abcdefgh\tinjected", "äöüäöüäöü"]) {
        const minted = yield* get("/nope", { "x-request-id": id })
        assert.match(minted.headers["x-request-id"] ?? "", /^[0-9a-f-]{36}$/)
        assert.notInclude(minted.body, id)
      }
    })
  )

  it.effect("the log has the client's address, not the proxy's", () =>
    Effect.gen(function* () {
      const { headers } = yield* get("/api/v1/who", { "x-forwarded-for": "203.0.113.9" })
      const lines = (yield* Log).filter((line) => line.includes(headers["x-request-id"] ?? "none"))
      assert.include(lines[0], "203.0.113.9")
    })
  )
})

layer(trusting("10.0.0.0/8"), { excludeTestServices: true })("G1 behind another proxy", (it) => {
  it.effect("believes nothing", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* client("6.6.6.6"), "127.0.0.1")
      const { headers } = yield* get("/api/v1/who", { "x-request-id": "edge-1234_ABCD" })
      assert.notStrictEqual(headers["x-request-id"], "edge-1234_ABCD")
    })
  )
})

layer(broker({ listener: { host: "::" } }), { excludeTestServices: true })("G1 listening on IPv6 as well", (it) => {
  it.effect("IPv4 is IPv4", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* get("/api/v1/who")).json.client, "127.0.0.1")
      assert.strictEqual((yield* get("/metrics")).status, 200)
    })
  )
})
