/** The agent over real HTTP, through the face for programs without Effect. */

import { once } from "node:events"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { UnknownCredential } from "@broker/domain/Credential"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Redacted, type Scope } from "effect"
import { HttpBody, HttpClientRequest } from "effect/http"
import type { AgentEvent } from "../src/AgentEvent.ts"
import { startAgent } from "../src/NodeAgent.ts"
import { type Answer, FakeBroker, key, problem } from "./FakeBroker.ts"

const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-agent-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

/** Serves on a port of its own; gives back its address. */
const serving = (server: Server) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }),
    () =>
      Effect.promise(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, "close")
      })
  )

/** The broker of the other tests, behind a real socket. */
const inFront = (broker: FakeBroker) =>
  createServer((incoming, outgoing) => {
    const chunks: Array<Buffer> = []
    incoming
      .on("data", (chunk) => chunks.push(chunk))
      .on("end", () => {
        const body = Buffer.concat(chunks).toString()
        const request = HttpClientRequest.make(incoming.method as "POST")(`http://broker.test${incoming.url}`, {
          headers: incoming.headers as Record<string, string>,
          ...(body === "" ? {} : { body: HttpBody.text(body, "application/json") })
        })
        Effect.runPromise(
          Effect.flatMap(broker.client.execute(request), (response) =>
            Effect.map(response.text, (text) => {
              outgoing.writeHead(response.status, { ...response.headers }).end(text)
            })
          )
        ).catch(() => outgoing.destroy())
      })
  })

const answering = (answer: Answer) =>
  createServer((_, outgoing) => {
    outgoing.writeHead(answer.status, answer.headers).end(JSON.stringify(answer.body))
  })

const options = (url: string, stateDir: string, onEvent: (event: AgentEvent) => void = () => {}) => ({
  url,
  stateDir,
  onEvent,
  name: "aurora",
  key: Redacted.value(key)
})

/** The first event of a kind, from an agent that never gets further. */
const eventOf = <Tag extends AgentEvent["_tag"]>(tag: Tag, url: string, stateDir: string) =>
  Effect.callback<Extract<AgentEvent, { _tag: Tag }>>((resume) => {
    const agent = startAgent(
      options(url, stateDir, (event) => {
        if (event._tag === tag) resume(Effect.succeed(event as Extract<AgentEvent, { _tag: Tag }>))
      })
    )
    return Effect.promise(() => agent.then(({ stop }) => stop()))
  })

describe("startAgent", () => {
  it.live("B4 V1 H1 registers, proves itself and reports life over HTTP until it is stopped", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.interval = 0.1
      broker.challengeNow(1, DateTime.toEpochMillis(yield* DateTime.now))
      const url = yield* serving(inFront(broker))
      const dir = yield* directory
      const events: Array<AgentEvent> = []
      yield* Effect.promise(async () => {
        const agent = await startAgent(options(`${url}/`, dir, (event) => events.push(event)))
        while (broker.of("heartbeat").length < 3) await new Promise((resume) => setTimeout(resume, 10))
        await agent.stop()
        await agent.ended
      })
      const count = broker.of("heartbeat").length
      yield* Effect.sleep("250 millis")
      assert.lengthOf(broker.of("heartbeat"), count)
      assert.lengthOf(broker.verified, 1)
      assert.deepStrictEqual(
        events.slice(0, 3).map(({ _tag }) => _tag),
        ["Registered", "Verified", "Heartbeat"]
      )
      assert.deepStrictEqual((yield* Effect.promise(() => readdir(dir))).sort(), ["key.pem", "server.json"])
    })
  )

  it.live("H8 rejects when the broker does not want the server", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.next.register.push(problem(RegistrationKeyRefused))
      const url = yield* serving(inFront(broker))
      const dir = yield* directory
      const error = yield* Effect.promise(() => startAgent(options(url, dir)).catch((error) => error))
      assert.deepInclude(error, { _tag: "Refused", code: "registration_key_refused" })
    })
  )

  it.live("H8 tells through `ended` when the broker no longer wants the server", () =>
    Effect.gen(function* () {
      const broker = new FakeBroker()
      broker.interval = 0.1
      const url = yield* serving(inFront(broker))
      const dir = yield* directory
      const agent = yield* Effect.promise(() => startAgent(options(url, dir)))
      broker.next.heartbeat.push(problem(UnknownCredential))
      broker.next.register.push(problem(RegistrationKeyRefused))
      const error = yield* Effect.promise(() => agent.ended.catch((error) => error))
      assert.deepInclude(error, { _tag: "Refused", code: "registration_key_refused" })
    })
  )
})

describe("NodeAgent", () => {
  it.live("H8 says why the broker cannot be reached", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { detail, reason } = yield* eventOf("Waiting", "http://127.0.0.1:9", dir)
      assert.strictEqual(reason, "unreachable")
      assert.include(detail, "ECONNREFUSED 127.0.0.1:9")
    })
  )

  it.live("never carries a credential after a redirect, but says where it leads", () =>
    Effect.gen(function* () {
      const url = yield* serving(
        answering({ status: 308, body: "", headers: { location: "https://elsewhere.example/" } })
      )
      const dir = yield* directory
      const { detail, reason } = yield* eventOf("Waiting", url, dir)
      assert.strictEqual(reason, "http_308")
      assert.include(detail, "https://elsewhere.example/")
    })
  )
})
