/** Commands beside a running broker: what they print, for people and for programs, and what they end with. */
import { Servers } from "@broker/core/servers/Servers"
import { parse } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("registration-key", (it) => {
  it.effect("create gives a key that lets servers in", () =>
    Effect.gen(function* () {
      const created = yield* json(
        "registration-key",
        "create",
        "--uses",
        "2",
        "--tag",
        "eu",
        "--tag",
        "fast",
        "--name",
        "Lab"
      )
      assert.containsAllKeys(created, ["id", "key", "hint", "createdAt", "expiresAt"])
      assert.deepInclude(created, {
        name: "Lab",
        useLimit: 2,
        uses: 0,
        tags: ["eu", "fast"],
        approval: false,
        state: "active"
      })
      assert.strictEqual(Option.getOrThrow(parse(Redacted.make(created.key))).id, created.id)
      const seconds = (Date.parse(created.expiresAt) - Date.parse(created.createdAt)) / 1000
      assert.strictEqual(Math.round(seconds), 7 * 86_400)
      const { agent } = yield* TestBroker
      yield* agent({ name: "lab-1", key: Redacted.make(created.key) })
    })
  )

  it.effect("create prints the key alone, and the rest beside it", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* onDatabase("registration-key", "create", "--expires", "12h")
      assert.strictEqual(code, ExitCode.ok)
      assert.match(stdout, /^brk_reg_\S+$/)
      assert.include(stderr, "in 12 h")
      assert.notInclude(stderr, stdout)
    })
  )

  it.effect("create replaces a server by its name", () =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      yield* agent({ name: "old-1" })
      const { id } = yield* Servers.use((servers) => servers.find(defaultOrganizationId, "old-1"))
      const created = yield* json("registration-key", "create", "--replaces", "OLD-1", "--approval")
      assert.strictEqual(created.replacesServerId, id)
      assert.isTrue(created.approval)
      const { code, stderr } = yield* onDatabase("registration-key", "create", "--replaces", "nobody")
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "server_not_found")
    })
  )

  it.effect.each([
    [["--expires", "soon"], "soon"],
    [["--expires", "30s"], "--expires: "],
    [["--expires", "2 years"], "2 years"],
    [["--uses", "0"], "--uses: "],
    [["--uses", "many"], "many"],
    [["--tag", "two words"], "--tag: "],
    [["--name", ""], "--name: "],
    [["--colour", "red"], "colour"]
  ] as const)("create refuses %j", ([flags, named]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* onDatabase("registration-key", "create", ...flags)
      assert.strictEqual(code, ExitCode.usage)
      assert.strictEqual(stdout, "")
      assert.include(stderr, named)
    })
  )

  it.effect("list shows what can still be used, a page at a time", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) yield* json("registration-key", "create", "--name", name)
      const first = yield* json("registration-key", "list", "--limit", "2")
      assert.deepStrictEqual(
        first.items.map(({ name }: { readonly name: string }) => name),
        ["c", "b"]
      )
      assert.notProperty(first.items[0], "key")
      assert.notProperty(first.items[0], "digest")
      const second = yield* json("registration-key", "list", "--limit", "1", "--cursor", first.nextCursor)
      assert.strictEqual(second.items[0].name, "a")
      const { stderr, stdout } = yield* onDatabase("registration-key", "list", "--limit", "1")
      assert.match(stdout, /^ID .*NAME .*STATE .*USES/)
      assert.include(stderr, "--cursor")
    })
  )

  it.effect("revoke ends a key, once", () =>
    Effect.gen(function* () {
      const { id } = yield* json("registration-key", "create", "--name", "revoked")
      const revoked = yield* json("registration-key", "revoke", id)
      assert.strictEqual(revoked.state, "revoked")
      assert.isString(revoked.revokedAt)
      const active = yield* json("registration-key", "list")
      assert.notInclude(JSON.stringify(active), id)
      const all = yield* json("registration-key", "list", "--all")
      assert.include(JSON.stringify(all), id)
    })
  )

  it.effect.each(["01920000-0000-7000-8000-000000000000", "nonsense"])("revoke does not find %s", (id) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* onDatabase("registration-key", "revoke", id, "--json")
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "registration_key_not_found")
      assert.include(stderr, "Check the id.")
    })
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("server", (it) => {
  it.effect("list says so when there is none", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* onDatabase("server", "list")
      assert.deepStrictEqual([code, stdout], [ExitCode.ok, ""])
      assert.include(stderr, "registration-key create")
      assert.deepStrictEqual(yield* json("server", "list"), { items: [], nextCursor: null })
    })
  )

  it.effect("list, show, suspend, approve and retire take a server by name or id", () =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      yield* agent({ name: "fra-1", tags: ["eu"], location: { latitude: 50.11, longitude: 8.68 } })
      yield* agent({ name: "ams-1" })
      const { items } = yield* json("server", "list")
      assert.deepStrictEqual(
        items.map(({ name }: { readonly name: string }) => name),
        ["ams-1", "fra-1"]
      )
      const filtered = yield* json("server", "list", "--tag", "eu", "--status", "online", "--search", "FRA")
      assert.strictEqual(filtered.items.length, 1)
      const [server] = filtered.items
      assert.deepInclude(server, { name: "fra-1", status: "online", admission: "approved", tags: ["eu"] })
      assert.match(server.lastSeenAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

      assert.strictEqual((yield* json("server", "show", server.id)).name, "fra-1")
      const shown = yield* onDatabase("server", "show", "FRA-1")
      assert.match(shown.stdout, /name +fra-1\n/)
      assert.match(shown.stdout, /location +50\.11, 8\.68\n/)

      const suspended = yield* json("server", "suspend", "fra-1", "--reason", "Lost the machine")
      assert.deepInclude(suspended, { admission: "suspended", statusReason: "Lost the machine" })
      assert.strictEqual((yield* json("server", "approve", server.id)).admission, "approved")
      const { stdout } = yield* onDatabase("server", "retire", "fra-1")
      assert.include(stdout, "retired, for good")
      const { code, stderr } = yield* onDatabase("server", "approve", server.id)
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "admission_conflict")
    })
  )

  it.effect("has its changes in the history by who typed them", () =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      yield* agent({ name: "par-1" })
      yield* json("server", "suspend", "par-1")
      const { id } = yield* Servers.use((servers) => servers.find(defaultOrganizationId, "par-1"))
      const { transitions } = yield* Servers.use((servers) => servers.history(defaultOrganizationId, id))
      assert.isTrue(transitions.some(({ after, axis }) => axis === "admission" && after === "suspended"))
    })
  )

  it.effect.each([
    [["server", "show"], ExitCode.usage, "SERVER"],
    [["server", "show", "nobody"], ExitCode.refused, "server_not_found"],
    [["server", "list", "--status", "fine"], ExitCode.usage, "fine"],
    [["server", "list", "--limit", "0"], ExitCode.usage, "--limit is 0"],
    [["server", "list", "--cursor", "nonsense"], ExitCode.usage, "invalid_cursor"]
  ] as const)("%j ends with %i", ([args, code, named]) =>
    Effect.gen(function* () {
      const outcome = yield* onDatabase(...args)
      assert.strictEqual(outcome.code, code, outcome.stderr)
      assert.strictEqual(outcome.stdout, "")
      assert.include(outcome.stderr, named)
    })
  )
})
