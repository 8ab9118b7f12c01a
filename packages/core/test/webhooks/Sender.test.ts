import { createServer } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import * as Networks from "@broker/core/api-tokens/Networks"
import { Resolver } from "@broker/core/verification/CapabilityChecks"
import { Sender } from "@broker/core/webhooks/Sender"
import { Targets } from "@broker/core/webhooks/Targets"
import { WebhooksPolicy } from "@broker/core/webhooks/WebhooksPolicy"
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Fiber, Layer, Option, Queue } from "effect"
import { TestClock } from "effect/testing"
import { receiver } from "./Receiver.ts"

const networks = (...texts: ReadonlyArray<string>) => texts.map((text) => Option.getOrThrow(Networks.parse(text)))

const policy = (changes: Partial<Context.Service.Shape<typeof WebhooksPolicy>> = {}) =>
  Layer.succeed(WebhooksPolicy, { ...WebhooksPolicy.defaultValue(), ...changes })

/** A name server that tells what the test says, and counts how often it was asked. */
const names = (answer: (host: string, times: number) => ReadonlyArray<string>) => {
  let times = 0
  return {
    layer: Layer.succeed(Resolver, (host: string) => Effect.sync(() => answer(host, ++times))),
    asked: () => times
  }
}

const nobody = names(() => []).layer

const find = (url: string) => Effect.flip(Targets.use((targets) => targets.find(url)))
const send = (url: string) => Sender.use((sender) => sender.send({ url, headers: { "webhook-id": "1" }, body: "{}" }))

/** May send to this machine, as a test has to. */
const local = (dns = nobody) =>
  Sender.layer.pipe(Layer.provide(policy({ http: true, allowedNetworks: networks("127.0.0.1") })), Layer.provide(dns))

describe("W2: where nothing is sent", () => {
  it.effect("no address that is not on the internet for everybody, however it is written", () =>
    Effect.gen(function* () {
      for (const host of [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001::1]"
      ]) {
        const problem = yield* find(`https://${host}/hook`)
        assert.strictEqual(problem.reason, "address", host)
        assert.strictEqual(problem.status, 422)
      }
      assert.strictEqual((yield* find("http://93.184.215.14/")).reason, "http")
      assert.strictEqual((yield* find("ftp://93.184.215.14/")).reason, "http")
      assert.strictEqual((yield* find("https://nowhere.example/")).reason, "unresolved")
    }).pipe(Effect.provide(Targets.layer), Effect.provide([policy(), nobody]))
  )

  it.effect("no name with such an address, though it has others", () => {
    const dns = names((host) =>
      host === "good.example" ? ["93.184.215.14", "2606:2800::1"] : ["93.184.215.14", "10.0.0.8"]
    )
    return Effect.gen(function* () {
      assert.strictEqual((yield* find("https://half.example/")).reason, "address")
      const { addresses } = yield* Targets.use((targets) => targets.find("https://good.example/"))
      assert.deepStrictEqual(addresses, ["93.184.215.14", "2606:2800::1"])
    }).pipe(Effect.provide(Targets.layer), Effect.provide([policy(), dns.layer]))
  })

  it.effect("what the operator allows, and not a bit more", () =>
    Effect.gen(function* () {
      const targets = yield* Targets
      assert.deepStrictEqual((yield* targets.find("http://10.1.2.3/")).addresses, ["10.1.2.3"])
      assert.deepStrictEqual((yield* targets.find("https://[fd00::7]/")).addresses, ["fd00::7"])
      assert.strictEqual((yield* find("https://10.2.0.0/")).reason, "address")
      assert.strictEqual((yield* find("https://127.0.0.1/")).reason, "address")
    }).pipe(
      Effect.provide(Targets.layer),
      Effect.provide([policy({ http: true, allowedNetworks: networks("10.1.0.0/16", "fd00::/64") }), nobody])
    )
  )

  it.effect("a name that turns into another address is not followed there", () =>
    Effect.gen(function* () {
      const good = yield* receiver((_, response) => response.end("thanks"))
      const secret = yield* receiver((_, response) => response.end("secret"), "127.0.0.2")
      const dns = names((_, times) => (times === 1 ? ["127.0.0.1"] : ["127.0.0.2"]))
      yield* Effect.gen(function* () {
        const url = `http://hooks.example:${good.port}/here?a=1`
        const first = yield* send(url)
        assert.deepStrictEqual([first.status, first.problem, first.body], [200, null, "thanks"])
        // Looked up once: what was judged is what was connected to, under the name that was asked for.
        assert.strictEqual(dns.asked(), 1)
        const { headers, path } = yield* Queue.take(good.received)
        assert.deepStrictEqual([headers.host, path], [`hooks.example:${good.port}`, "/here?a=1"])
        assert.isUndefined(headers["traceparent"])
        const second = yield* send(`http://hooks.example:${secret.port}/`)
        assert.strictEqual(second.status, null)
        assert.include(second.problem ?? "", "not an address on the public internet")
        assert.strictEqual(dns.asked(), 2)
        assert.strictEqual(secret.connections(), 0)
      }).pipe(Effect.provide(local(dns.layer)))
    })
  )

  it.effect("nor where an answer sends it", () =>
    Effect.gen(function* () {
      const secret = yield* receiver((_, response) => response.end("secret"), "127.0.0.2")
      const { url } = yield* receiver((_, response) => response.writeHead(307, { location: secret.url }).end())
      const answer = yield* send(url)
      assert.strictEqual(answer.status, 307)
      assert.include(answer.problem ?? "", "redirects are not followed")
      assert.strictEqual(secret.connections(), 0)
    }).pipe(Effect.provide(local()))
  )

  it.effect("by https the name is what is asked for and what has to be proven", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const server = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createTlsServer>>((resume) => {
          const server = createTlsServer({
            SNICallback: (name, tell) => {
              seen.push(name)
              tell(null)
            }
          })
          server.on("tlsClientError", () => {})
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = server.address()
      const port = typeof address === "object" ? address?.port : 0
      const answer = yield* send(`https://hooks.example:${port}/`).pipe(
        Effect.provide(local(names(() => ["127.0.0.1"]).layer))
      )
      assert.strictEqual(answer.status, null)
      assert.isNotNull(answer.problem)
      assert.deepStrictEqual(seen, ["hooks.example"])
    })
  )
})

describe("F14: whatever the target does, it is bounded", () => {
  it.effect("an answer without end is read for 4 kB", () =>
    Effect.gen(function* () {
      const { url } = yield* receiver((_, response) => {
        response.writeHead(200)
        const chunk = Buffer.alloc(16_384, "x")
        const pour = () => {
          while (!response.destroyed && response.write(chunk));
        }
        response.on("drain", pour)
        pour()
      })
      const answer = yield* send(url)
      assert.deepStrictEqual([answer.status, answer.problem, answer.body], [200, null, "x".repeat(4_096)])
    }).pipe(Effect.provide(local()))
  )

  it.effect("one that never comes, or never ends, is waited for 15 s", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver(({ path }, response) => {
        if (path === "/trickle") {
          response.writeHead(200)
          response.write("a")
        }
      })
      for (const path of ["/hang", "/trickle"]) {
        const sending = yield* Effect.forkChild(send(url + path))
        yield* Queue.take(received)
        yield* TestClock.adjust("14 seconds")
        assert.isUndefined(sending.pollUnsafe())
        yield* TestClock.adjust("1 second")
        const answer = yield* Fiber.join(sending)
        assert.strictEqual(answer.status, null)
        assert.include(answer.problem ?? "", "15s")
      }
    }).pipe(Effect.provide(local()))
  )

  it.effect("a name that nobody answers for holds up nobody else, nor what is asked of the process", () => {
    const asked: Array<string> = []
    const slow = Layer.succeed(Resolver, (host: string) =>
      Effect.gen(function* () {
        asked.push(host)
        if (!host.startsWith("dead")) return ["127.0.0.1"]
        yield* Effect.sleep("20 seconds")
        return []
      })
    )
    return Effect.gen(function* () {
      const { port } = yield* receiver((_, response) => response.end())
      const begin = (host: string) => Effect.forkChild(send(`http://${host}:${port}/`), { startImmediately: true })
      const dead = [yield* begin("dead-1.example"), yield* begin("dead-1.example"), yield* begin("dead-2.example")]
      const well = yield* begin("well.example")
      yield* TestClock.adjust("5 seconds")
      for (const sending of dead) {
        const { problem, status } = yield* Fiber.join(sending)
        assert.isNull(status)
        assert.include(problem ?? "", "could not be looked up within 5s")
      }
      // Both threads are at it still.
      assert.deepStrictEqual(asked, ["dead-1.example", "dead-2.example"])
      assert.isUndefined(well.pollUnsafe())
      // Not asked again so soon.
      assert.include((yield* send(`http://dead-1.example:${port}/`)).problem ?? "", "could not be looked up")
      yield* TestClock.adjust("15 seconds")
      assert.deepInclude(yield* Fiber.join(well), { status: 200, problem: null })
      assert.deepStrictEqual(asked.slice(2), ["well.example"])
    }).pipe(
      Effect.provide(
        Sender.layer.pipe(
          Layer.provide(policy({ http: true, allowedNetworks: networks("127.0.0.1") })),
          Layer.provide(slow)
        )
      )
    )
  })

  it.effect("headers without end, a reset, rubbish, and nobody there", () =>
    Effect.gen(function* () {
      const raw = Effect.fnUntraced(function* (answer: string | null) {
        const server = yield* Effect.acquireRelease(
          Effect.callback<ReturnType<typeof createServer>>((resume) => {
            const server = createServer((socket) => {
              socket.on("error", () => {})
              socket.once("data", () => (answer === null ? socket.resetAndDestroy() : socket.write(answer)))
            })
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.sync(() => server.close())
        )
        const address = server.address()
        const { problem, status } = yield* send(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/`)
        return { problem, status }
      })
      for (const answer of [`HTTP/1.1 200 OK\r\nx: ${"x".repeat(100_000)}`, null, "rubbish\r\n\r\n"]) {
        const { problem, status } = yield* raw(answer)
        assert.strictEqual(status, null)
        assert.isNotEmpty(problem)
      }
      const gone = yield* Effect.scoped(receiver(() => {}))
      assert.include((yield* send(gone.url)).problem ?? "", "ECONNREFUSED")
    }).pipe(Effect.provide(local()))
  )

  it.effect("what cannot be stored is made storable", () =>
    Effect.gen(function* () {
      const { url } = yield* receiver((_, response) =>
        response.writeHead(500, { "x-odd": "caf\u00e9", "x-long": "y".repeat(2_000) }).end(Buffer.from([0, 255, 65]))
      )
      const answer = yield* send(url)
      assert.deepStrictEqual([answer.status, answer.body], [500, "\ufffd\ufffdA"])
      assert.strictEqual(answer.headers["x-long"]?.length, 500)
    }).pipe(Effect.provide(local()))
  )
})
