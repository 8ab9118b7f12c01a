/** Groups, and what admins give servers, from the command line. */
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

interface Listed {
  readonly path: string
  readonly serversBelow: number
}

const paths = Effect.map(json("group", "list"), ({ items }: { readonly items: ReadonlyArray<Listed> }) =>
  items.map(({ path }) => path)
)

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("group", (it) => {
  it.effect("create, update, move and delete make a tree, and tell what holds in it", () =>
    Effect.gen(function* () {
      const none = yield* onDatabase("group", "list")
      assert.include(none.stderr, "broker group create")
      const eu = yield* json("group", "create", "eu", "--connections", "200")
      assert.deepInclude(eu, { path: "eu", connectionLimit: 200, effectiveConnectionLimit: 200 })
      yield* json("group", "create", "eu/frankfurt", "--heartbeat-interval", "10s", "--verification-period", "12h")
      yield* json("group", "create", "de")
      const changed = yield* json("group", "update", "EU/frankfurt", "--name", "fra", "--heartbeat-interval", "inherit")
      assert.deepInclude(changed, {
        path: "eu/fra",
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: 43_200,
        connectionLimit: null,
        effectiveConnectionLimit: 200
      })
      const { stdout } = yield* onDatabase("group", "list")
      assert.match(stdout, /^GROUP +SERVERS +WITH BELOW +AVAILABLE +INTERVAL +VERIFIED EVERY +CONNECTIONS +ID/)
      assert.match(stdout, /eu\/fra +0 +0 +0 +– +12h +\(200\)/)
      assert.strictEqual((yield* json("group", "move", "eu/fra", "de")).path, "de/fra")
      assert.strictEqual((yield* json("group", "move", "de/fra", "/")).path, "fra")
      assert.deepStrictEqual(yield* paths, ["de", "eu", "fra"])
      for (const path of ["de", "eu", "fra"]) yield* json("group", "delete", path)
      assert.deepStrictEqual(yield* paths, [])
    })
  )

  it.effect("a key and an assignment put servers into groups, with tags and labels that are taken back again", () =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      const group = yield* json("group", "create", "lab")
      const created = yield* json("registration-key", "create", "--group", "LAB", "--tag", "of-the-key")
      assert.strictEqual(created.groupId, group.id)
      yield* agent({ name: "lab-1", key: Redacted.make(created.key) })
      const given = yield* json("server", "assign", "lab-1", "--tag", "fast", "--label", "rack=b=2", "--label", "a=1")
      assert.deepInclude(given, { group: "lab", assignedTags: ["of-the-key", "fast"] })
      assert.deepStrictEqual(given.assignedLabels, { rack: "b=2", a: "1" })
      const inUse = yield* onDatabase("group", "delete", "lab")
      assert.strictEqual(inUse.code, ExitCode.refused)
      assert.include(inUse.stderr, "group_in_use")
      const taken = yield* json("server", "assign", "lab-1", "--group", "/", "--tag", "-fast", "--label", "a=")
      assert.deepInclude(taken, { group: null, assignedTags: ["of-the-key"] })
      assert.deepStrictEqual(taken.assignedLabels, { rack: "b=2" })
      assert.strictEqual((yield* json("server", "limit", "lab-1", "7")).connectionLimit, 7)
      assert.strictEqual((yield* json("server", "limit", "lab-1", "inherit")).ownConnectionLimit, null)
    })
  )

  it.effect.each([
    [["group", "create", "nowhere/fra"], ExitCode.refused, "group_not_found"],
    [["group", "create", ""], ExitCode.usage, "NAME: "],
    [["group", "create", "x", "--heartbeat-interval", "often"], ExitCode.usage, "--heartbeat-interval is"],
    [["group", "create", "x", "--heartbeat-interval", "2h"], ExitCode.usage, "--heartbeat-interval: "],
    [["group", "create", "x", "--connections", "many"], ExitCode.usage, "--connections is"],
    [["group", "update", "nobody", "--name", "x"], ExitCode.refused, "group_not_found"],
    [["group", "delete", "nobody"], ExitCode.refused, "group_not_found"],
    [["registration-key", "create", "--group", "nobody"], ExitCode.refused, "group_not_found"],
    [["server", "assign", "nobody", "--tag", "x"], ExitCode.refused, "server_not_found"],
    [["server", "limit", "nobody", "x"], ExitCode.refused, "server_not_found"]
  ] as const)("%j is refused", ([args, code, named]) =>
    Effect.gen(function* () {
      const outcome = yield* onDatabase(...args)
      assert.deepStrictEqual([outcome.code, outcome.stdout], [code, ""])
      assert.include(outcome.stderr, named)
    })
  )
})
