/** `broker connect` beside a real broker and `broker agent --listen`: the two sides of a demonstration. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Redacted, Schedule } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker } from "./CommandLine.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-connect-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const eventually = <A, E, R>(look: Effect.Effect<A, E, R>, is: (found: A) => boolean) =>
  look.pipe(Effect.filterOrFail(is), Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 200 }))

/** `broker agent`, up to where clients find it. */
const agent = Effect.fnUntraced(function* (name: string, ...more: ReadonlyArray<string>) {
  const { registrationKey, url } = yield* TestBroker
  const { key } = yield* registrationKey()
  const stateDir = join(yield* directory, "state")
  yield* Effect.forkScoped(
    broker(["agent", "--url", url, "--name", name, "--state-dir", stateDir, "--tag", name, ...more], {
      BROKER_KEY: Redacted.value(key)
    })
  )
  yield* eventually(
    Servers.use((servers) => servers.find(defaultOrganizationId, name)),
    ({ liveness, verified }) => liveness === "online" && verified
  )
})

/** A new user's way of typing `broker connect`. */
const somebody = Effect.fnUntraced(function* (name: string) {
  const made = yield* TestBroker
  const userId = yield* made.user(name)
  const { id, key } = yield* made.personalKey(userId)
  const variables = {
    BROKER_URL: made.url,
    BROKER_PERSONAL_KEY: Redacted.value(key),
    BROKER_CLIENT_STATE_DIR: join(yield* directory, "device")
  }
  const list = Connections.use((connections) =>
    connections.list(defaultOrganizationId, {
      scope: "all",
      text: "",
      statuses: [],
      stale: null,
      verdicts: [],
      reasons: [],
      userId,
      deviceId: null,
      serverId: null,
      personalKeyId: null,
      limit: 10,
      cursor: null
    })
  )
  return {
    keyId: id,
    key,
    connect: (...args: ReadonlyArray<string>) => broker(["connect", ...args], variables),
    connection: Effect.map(list, ({ items }) => items[0])
  }
})

const policy = { heartbeatInterval: Duration.millis(300) }

layer(TestBroker.layer({ policy }), { excludeTestServices: true, timeout: "60 seconds" })("broker connect", (it) => {
  it.effect("C1 C3 connects to a gateway that listens, carries traffic, and ends when its time is over", () =>
    Effect.gen(function* () {
      yield* agent("fra-1", "--listen", "127.0.0.1:0", "--capability", "vpn")
      const { connect, connection } = yield* somebody("Ada")
      const { code, stderr, stdout } = yield* connect("--tag", "fra-1", "--capability", "vpn", "--for", "3s", "--json")
      assert.strictEqual(code, ExitCode.ok, stderr)
      const events = stdout.split("\n").map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        events.map(({ event }) => event),
        ["SignedIn", "Granted", "Opened", "ConnectionOver", "Traffic"]
      )
      const told = yield* eventually(connection, (found) => found?.verdict === "confirmed")
      assert.deepInclude(told, { status: "ended", endedBy: "client", endReason: "done", serverName: "fra-1" })
      assert.isAbove(told?.serverTxBytes ?? 0, 0)
      assert.notInclude(stdout + stderr, "brk_")
    })
  )

  it.effect("C1 ends its connection when it is stopped", () =>
    Effect.gen(function* () {
      yield* agent("ams-1", "--listen", "127.0.0.1:0")
      const { connect, connection } = yield* somebody("Bruno")
      const running = yield* Effect.forkChild(connect("--tag", "ams-1"))
      yield* eventually(connection, (found) => found?.status === "active")
      yield* Fiber.interrupt(running)
      yield* eventually(connection, (found) => found?.status === "ended" && found.endedBy === "client")
    })
  )

  it.effect("C6 ends with 3 when its key is revoked, and says why", () =>
    Effect.gen(function* () {
      yield* agent("par-1", "--listen", "127.0.0.1:0")
      const { connect, connection, keyId } = yield* somebody("Chiara")
      const running = yield* Effect.forkChild(connect("--tag", "par-1"))
      yield* eventually(connection, (found) => found?.status === "active")
      yield* PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, keyId, "lost")).pipe(
        Effect.provideService(Actor, byBroker)
      )
      const { code, stderr } = yield* Fiber.join(running)
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "personal_key_refused")
    })
  )

  it.effect("says plainly that a real server has no gateway for demonstrations, and calls the intent off", () =>
    Effect.gen(function* () {
      yield* agent("lon-1")
      const { connect, connection } = yield* somebody("Daniel")
      const { code, stderr } = yield* connect("--tag", "lon-1", "--for", "1s")
      assert.strictEqual(code, ExitCode.ok)
      assert.include(stderr, "lon-1 has no demonstration gateway")
      assert.strictEqual((yield* connection)?.status, "expired")
    })
  )

  it.effect("hands its grant to nobody when the gateway is on another machine, and says so", () =>
    Effect.gen(function* () {
      yield* agent("far-1", "--endpoint", "demo://192.0.2.1:4000")
      const { connect, connection } = yield* somebody("Farah")
      const { code, stderr, stdout } = yield* connect("--tag", "far-1", "--for", "1s")
      assert.strictEqual(code, ExitCode.ok)
      assert.include(
        stderr,
        "far-1 names a demonstration gateway at http://192.0.2.1:4000, which is not on this machine"
      )
      assert.notInclude(stdout, "Open: ")
      assert.strictEqual((yield* connection)?.status, "expired")
    })
  )

  it.effect("takes the key from a file, and tells the broker's code when nothing fits", () =>
    Effect.gen(function* () {
      const { url } = yield* TestBroker
      const { key } = yield* somebody("Emma")
      const dir = yield* directory
      const file = join(dir, "personal.key")
      yield* Effect.promise(() => writeFile(file, `${Redacted.value(key)}\n`))
      const { code, stderr } = yield* broker([
        ...["connect", "--url", url, "--key-file", file, "--state-dir", join(dir, "state"), "--tag", "nowhere"]
      ])
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "no_server_matches")
    })
  )

  it.effect.each([
    [[], "A personal key is needed"],
    [["--key", "brk_usr_typo"], "misspelled"],
    [["--key", "brk_reg_typo"], "no personal key"],
    [["--near", "north"], "LATITUDE,LONGITUDE"],
    [["--for", "soon", "--key", "x"], "--for soon is no time"],
    [["--server", "x", "--key", "x"], "UUID"],
    [["--server", "01938f6e-0000-7000-8000-000000000001", "--tag", "eu", "--key", "x"], "does not go with"]
  ] as const)("%j ends with 2 and keeps nothing", ([args, named]) =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { code, stderr, stdout } = yield* broker(["connect", "--url", "http://localhost:1", ...args], {
        BROKER_CLIENT_STATE_DIR: join(dir, "state")
      })
      assert.deepStrictEqual([code, stdout], [ExitCode.usage, ""])
      assert.include(stderr, named)
      assert.isEmpty(yield* Effect.promise(() => readdir(dir)))
    })
  )
})
