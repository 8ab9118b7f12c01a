/** `broker agent` beside a real broker: what it says, what it keeps, and what it ends with. */
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Redacted, Schedule } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker } from "./CommandLine.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-agent-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const servers = Effect.fnUntraced(function* (name: string) {
  return yield* (yield* Servers).find(defaultOrganizationId, name)
})

/** Waits until a server of this name is as it should be. */
const until = (name: string, is: (server: Effect.Success<ReturnType<typeof servers>>) => boolean) =>
  servers(name).pipe(Effect.filterOrFail(is), Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 100 }))

const policy = { heartbeatInterval: Duration.millis(300) }

layer(TestBroker.layer({ policy }), { excludeTestServices: true, timeout: "60 seconds" })("broker agent", (it) => {
  it.effect("B4 V1 H8 joins with all it was told to say, and ends with 3 when it is retired", () =>
    Effect.gen(function* () {
      const { registrationKey, url } = yield* TestBroker
      const { key } = yield* registrationKey()
      const dir = yield* directory
      const keyFile = join(dir, "registration.key")
      yield* Effect.promise(() => writeFile(keyFile, `${Redacted.value(key)}\n`))
      const running = yield* Effect.forkChild(
        broker([
          ...["agent", "--url", url, "--key-file", keyFile, "--name", "fra-1", "--state-dir", join(dir, "state")],
          ...["--tag", "eu", "--tag", "fast", "--label", "rack=b2", "--label", "row=7", "--capability", "vpn"],
          ...["--endpoint", "webrtc://[2001:db8::7]:51820", "--endpoint", "quic://fra-1.example:443"],
          ...["--location", "50.11, 8.68", "--json"]
        ])
      )
      const server = yield* until("fra-1", ({ liveness, verified }) => liveness === "online" && verified)
      assert.deepInclude(server, {
        tags: ["eu", "fast"],
        labels: { rack: "b2", row: "7" },
        capabilities: { vpn: {} },
        endpoints: [
          { protocol: "webrtc", host: "2001:db8::7", port: 51_820 },
          { protocol: "quic", host: "fra-1.example", port: 443 }
        ],
        location: { latitude: 50.11, longitude: 8.68 }
      })
      assert.containsAllKeys(server.metrics, ["memoryUsedBytes", "memoryTotalBytes", "load1", "uptimeSeconds"])

      yield* Servers.use((servers) => servers.retire(defaultOrganizationId, server.id, "The end")).pipe(
        Effect.provideService(Actor, byBroker)
      )
      const { code, stderr, stdout } = yield* Fiber.join(running)
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "server_retired")
      const events = stdout.split("\n").map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        events.slice(0, 3).map(({ event }) => event),
        ["Registered", "Verified", "Heartbeat"]
      )
      assert.deepInclude(events.at(-1), { event: "Stopped", reason: "server_retired" })
      for (const { at } of events) assert.match(at, /^\d{4}-\d\d-\d\dT/)
      assert.notInclude(stdout + stderr, "brk_")
    })
  )

  it.effect("speaks to people of what is new only, and goes on after a restart with nothing but its directory", () =>
    Effect.gen(function* () {
      const { registrationKey, url } = yield* TestBroker
      const { key } = yield* registrationKey()
      const dir = yield* directory
      const variables = { BROKER_URL: url, BROKER_STATE_DIR: join(dir, "state") }
      const first = yield* Effect.forkChild(
        broker(["agent", "--name", "ams-1"], { ...variables, BROKER_KEY: Redacted.value(key) })
      )
      yield* until("ams-1", ({ liveness }) => liveness === "online")
      yield* Fiber.interrupt(first)

      const { id } = yield* servers("ams-1")
      const second = yield* Effect.forkChild(broker(["agent"], variables))
      yield* Effect.sleep("1 second")
      yield* Servers.use((servers) => servers.retire(defaultOrganizationId, id, "The end")).pipe(
        Effect.provideService(Actor, byBroker)
      )
      const { stdout } = yield* Fiber.join(second)
      const [resumed, heartbeat, ...more] = stdout.split("\n")
      assert.include(resumed, `Server ams-1 (${id})`)
      assert.match(heartbeat ?? "", /Heartbeat 1: online, approved/)
      assert.isEmpty(more)
    })
  )

  it.effect("B7 H8 ends with 3 when the registration is refused", () =>
    Effect.gen(function* () {
      const { registrationKey, url } = yield* TestBroker
      const { key } = yield* registrationKey()
      const dir = yield* directory
      const join_ = (name: string) =>
        broker(["agent", "--url", url, "--name", name, "--state-dir", join(dir, name)], {
          BROKER_KEY: Redacted.value(key)
        })
      const first = yield* Effect.forkChild(join_("par-1"))
      yield* until("par-1", ({ liveness }) => liveness === "online")
      const { code, stderr, stdout } = yield* join_("par-2")
      assert.deepStrictEqual([code, stdout], [ExitCode.refused, ""])
      assert.include(stderr, "registration_key_refused")
      yield* Fiber.interrupt(first)
    })
  )

  it.effect("ends with 2 when others may read the key pair, and says how to mend it", () =>
    Effect.gen(function* () {
      const { registrationKey, url } = yield* TestBroker
      const dir = yield* directory
      const { agent } = yield* TestBroker
      yield* agent({ name: "rom-1", stateDir: dir })
      const { key } = yield* registrationKey()
      yield* Effect.promise(() => chmod(join(dir, "key.pem"), 0o640))
      const { code, stderr } = yield* broker(["agent", "--url", url, "--state-dir", dir, "--key", Redacted.value(key)])
      assert.strictEqual(code, ExitCode.usage)
      assert.include(stderr, `chmod 600 ${join(dir, "key.pem")}`)
    })
  )

  it.effect.each([
    [["--name", "x"], "--url"],
    [["--url", "broker.example"], "no address"],
    [["--url", "http://localhost:1"], "registration key is needed"],
    [["--url", "http://localhost:1", "--key", "brk_reg_typo"], "misspelled"],
    [["--url", "http://localhost:1", "--key-file", "/no/such/file"], "/no/such/file"],
    [["--url", "http://localhost:1", "--endpoint", "fra-1.example:443"], "PROTOCOL://HOST:PORT"],
    [["--url", "http://localhost:1", "--location", "north"], "LATITUDE,LONGITUDE"],
    [["--url", "http://localhost:1", "--tag", "two words"], "tags"]
  ] as const)("%j ends with 2 and keeps nothing", ([args, named]) =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { code, stderr, stdout } = yield* broker(["agent", ...args], { BROKER_STATE_DIR: join(dir, "state") })
      assert.deepStrictEqual([code, stdout], [ExitCode.usage, ""])
      assert.include(stderr, named)
      assert.isEmpty(yield* Effect.promise(() => readdir(dir)))
    })
  )
})
