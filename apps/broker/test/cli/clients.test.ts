/** Commands around people who connect: users, their keys and devices, their connections. */
import { Actor } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { Servers } from "@broker/core/servers/Servers"
import { parse } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

const namesOf = ({ items }: { readonly items: ReadonlyArray<{ readonly name: string }> }) =>
  items.map(({ name }) => name)

/** A user with a key, made by commands. */
const someone = Effect.fnUntraced(function* () {
  const name = Fixtures.unique("user")
  const user = yield* json("user", "create", "--name", name)
  const key = yield* json("personal-key", "create", "--user", user.id)
  return { id: String(user.id), name, keyId: String(key.id), secret: Redacted.make(String(key.key)) }
})

/** The same, connected to a gateway that reported them active. */
const connected = Effect.fnUntraced(function* () {
  const { agent } = yield* TestBroker
  const connections = yield* Connections
  const serverName = Fixtures.unique("server")
  yield* agent({ name: serverName })
  const server = yield* Servers.use((servers) => servers.find(defaultOrganizationId, serverName))
  const person = yield* someone()
  const client = yield* Fixtures.signedIn({
    key: { credential: Fixtures.credential("personalKey", person.secret) },
    device: { name: "laptop" }
  }).pipe(Effect.provideService(Actor, Fixtures.actor))
  const { connection } = yield* connections.connect(
    client,
    { serverId: server.id },
    { idempotencyKey: Option.none(), address: null }
  )
  yield* connections.reportByServer({ id: server.id, organizationId: defaultOrganizationId }, connection.id, {
    status: "active"
  })
  return { ...person, deviceId: client.deviceId, connectionId: connection.id, serverName }
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("user", (it) => {
  it.effect("create gives a user, and beside it what to do next", () =>
    Effect.gen(function* () {
      const created = yield* json("user", "create", "--name", " Ada Lovelace ", "--email", "ada@example.com")
      assert.containsAllKeys(created, ["id", "createdAt"])
      assert.deepInclude(created, { name: "Ada Lovelace", email: "ada@example.com", note: "", state: "active" })
      const { stderr, stdout } = yield* onDatabase("user", "create", "--name", "Grace")
      assert.match(stdout, /^[0-9a-f-]{36}$/)
      assert.include(stderr, `personal-key create --user ${stdout}`)
    })
  )

  it.effect.each([
    [["--name", ""], ExitCode.usage, "--name: "],
    [["--name", "x", "--email", "nowhere"], ExitCode.usage, "--email: "],
    [["--name", "x", "--note", "n".repeat(2_001)], ExitCode.usage, "--note: "],
    [["--name", "x", "--email", "TWICE@example.com"], ExitCode.refused, "email_taken"],
    [[], ExitCode.usage, "name"]
  ] as const)("create refuses %j", ([flags, code, named]) =>
    Effect.gen(function* () {
      yield* onDatabase("user", "create", "--name", "first", "--email", "twice@example.com")
      const outcome = yield* onDatabase("user", "create", ...flags)
      assert.strictEqual(outcome.code, code, outcome.stderr)
      assert.strictEqual(outcome.stdout, "")
      assert.include(outcome.stderr, named)
    })
  )

  it.effect("list finds, sorts and pages", () =>
    Effect.gen(function* () {
      for (const name of ["list-a", "list-b", "list-c"]) yield* json("user", "create", "--name", name)
      yield* json("user", "suspend", "list-c")
      const first = yield* json("user", "list", "--search", "LIST-", "--sort", "-name", "--limit", "2")
      assert.deepStrictEqual(namesOf(first), ["list-c", "list-b"])
      const rest = ["--sort", "-name", "--limit", "2", "--cursor", first.nextCursor]
      assert.deepStrictEqual(namesOf(yield* json("user", "list", "--search", "LIST-", ...rest)), ["list-a"])
      const suspended = yield* json("user", "list", "--search", "list-", "--state", "suspended")
      assert.deepStrictEqual(namesOf(suspended), ["list-c"])
      const { stdout } = yield* onDatabase("user", "list")
      assert.match(stdout, /^NAME .*E-MAIL .*STATE .*KEYS .*DEVICES .*CONNECTIONS/)
    })
  )

  it.effect("show takes an id, a name or an e-mail address, as long as they mean one user", () =>
    Effect.gen(function* () {
      const { id } = yield* json("user", "create", "--name", "Twin", "--email", "twin@example.com")
      for (const typed of [id, id.toUpperCase(), "TWIN", "Twin@Example.com"]) {
        assert.strictEqual((yield* json("user", "show", typed)).id, id)
      }
      const shown = yield* onDatabase("user", "show", "twin")
      assert.match(shown.stdout, /name +Twin\n/)
      const other = yield* json("user", "create", "--name", "twin")
      const { code, stderr } = yield* onDatabase("user", "show", "twin")
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, other.id)
      assert.include(stderr, `${id} (twin@example.com)`)
    })
  )

  it.effect("update changes what is said, and leaves the rest", () =>
    Effect.gen(function* () {
      const { id } = yield* json("user", "create", "--name", "old", "--email", "old@example.com", "--note", "kept")
      const renamed = yield* json("user", "update", id, "--name", "new")
      assert.deepInclude(renamed, { name: "new", email: "old@example.com", note: "kept" })
      assert.deepInclude(yield* json("user", "update", id, "--email", ""), { name: "new", email: null })
    })
  )

  it.effect("suspend, resume and delete say what became of the user's connections", () =>
    Effect.gen(function* () {
      const { id, name } = yield* connected()
      const suspended = yield* json("user", "suspend", name, "--reason", "left")
      assert.deepInclude(suspended, { state: "suspended", stateReason: "left", cutConnections: 1 })
      assert.include((yield* onDatabase("user", "resume", name)).stdout, "may connect again")
      const { stdout } = yield* onDatabase("user", "delete", name)
      assert.match(stdout, /is deleted.* No connection was live\.$/)
      const { code, stderr } = yield* onDatabase("user", "show", id)
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "user_not_found")
    })
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("personal-key", (it) => {
  it.effect("create gives a key that signs in", () =>
    Effect.gen(function* () {
      const { id } = yield* json("user", "create", "--name", "ada")
      const created = yield* json("personal-key", "create", "--user", id, "--name", "laptop", "--connections", "3")
      assert.deepInclude(created, { userId: id, name: "laptop", state: "active", connectionLimit: 3 })
      assert.notProperty(created, "digest")
      const days = (Date.parse(created.expiresAt) - Date.parse(created.createdAt)) / 86_400_000
      assert.strictEqual(Math.round(days), 90)
      assert.strictEqual(Option.getOrThrow(parse(Redacted.make(created.key))).id, created.id)
      const credential = Fixtures.credential("personalKey", Redacted.make(created.key))
      const client = yield* Fixtures.signedIn({ key: { credential } }).pipe(
        Effect.provideService(Actor, Fixtures.actor)
      )
      assert.strictEqual(client.userId, id)
    })
  )

  it.effect("create prints the key alone, and the rest beside it", () =>
    Effect.gen(function* () {
      yield* json("user", "create", "--name", "grace")
      const { code, stderr, stdout } = yield* onDatabase(
        "personal-key",
        "create",
        "--user",
        "grace",
        "--expires",
        "never"
      )
      assert.strictEqual(code, ExitCode.ok)
      assert.match(stdout, /^brk_usr_\S+$/)
      assert.include(stderr, "expires never")
      assert.notInclude(stderr, stdout)
    })
  )

  it.effect.each([
    [["--expires", "soon"], ExitCode.usage, "soon"],
    [["--expires", "30s"], ExitCode.usage, "--expires: "],
    [["--connections", "0"], ExitCode.usage, "--connections: "],
    [["--name", ""], ExitCode.usage, "--name: "],
    [["--user", "nobody"], ExitCode.refused, "user_not_found"]
  ] as const)("create refuses %j", ([flags, code, named]) =>
    Effect.gen(function* () {
      const { id } = yield* someone()
      const user = flags[0] === "--user" ? [] : ["--user", id]
      const outcome = yield* onDatabase("personal-key", "create", ...user, ...flags)
      assert.strictEqual(outcome.code, code, outcome.stderr)
      assert.strictEqual(outcome.stdout, "")
      assert.include(outcome.stderr, named)
    })
  )

  it.effect("rotate gives a successor, and both are listed, without a secret", () =>
    Effect.gen(function* () {
      const { id, keyId, secret } = yield* someone()
      const successor = yield* json("personal-key", "rotate", keyId, "--overlap", "1h")
      assert.strictEqual((yield* json("personal-key", "show", keyId)).replacedBy, successor.id)
      const { items } = yield* json("personal-key", "list", "--user", id)
      assert.deepStrictEqual(
        items.map((key: { readonly id: string }) => key.id),
        [successor.id, keyId]
      )
      assert.notInclude(JSON.stringify(items), Redacted.value(secret))
      const { stdout } = yield* onDatabase("personal-key", "list", "--user", id)
      assert.match(stdout, /^ID .*NAME .*STATE .*EXPIRES/)
      const again = yield* onDatabase("personal-key", "rotate", keyId)
      assert.strictEqual(again.code, ExitCode.refused)
      assert.include(again.stderr, "personal_key_over")
      const wrong = yield* onDatabase("personal-key", "rotate", successor.id, "--overlap", "31d")
      assert.strictEqual(wrong.code, ExitCode.usage)
      assert.include(wrong.stderr, "31d")
    })
  )

  it.effect("C6 revoke says how many live connections it cut", () =>
    Effect.gen(function* () {
      const { connectionId, keyId } = yield* connected()
      const { stdout } = yield* onDatabase("personal-key", "revoke", keyId, "--reason", "lost")
      assert.include(stdout, "1 live connection was cut.")
      const shown = yield* json("personal-key", "show", keyId)
      assert.deepInclude(shown, { state: "revoked", revokedReason: "lost", liveConnections: 0 })
      assert.deepInclude(yield* json("connection", "show", connectionId), { status: "ended", endReason: "key_revoked" })
    })
  )

  it.effect("C6 revoke tells of what it cut itself: nothing after a disconnect, nothing when it is repeated", () =>
    Effect.gen(function* () {
      const disconnected = yield* connected()
      yield* json("connection", "disconnect", disconnected.connectionId)
      const { keyId } = disconnected
      assert.deepInclude(yield* json("personal-key", "revoke", keyId), { state: "revoked", cutConnections: 0 })
      const other = yield* connected()
      assert.deepInclude(yield* json("personal-key", "revoke", other.keyId), { cutConnections: 1 })
      assert.deepInclude(yield* json("personal-key", "revoke", other.keyId), { cutConnections: 0 })
    })
  )

  it.effect("revoke of a key that nobody uses cuts nothing", () =>
    Effect.gen(function* () {
      const { keyId } = yield* someone()
      assert.deepInclude(yield* json("personal-key", "revoke", keyId), { state: "revoked", cutConnections: 0 })
    })
  )

  it.effect.each(["show", "rotate", "revoke"])("%s does not find what is not there", (command) =>
    Effect.gen(function* () {
      for (const id of ["01920000-0000-7000-8000-000000000000", "nonsense"]) {
        const { code, stderr } = yield* onDatabase("personal-key", command, id)
        assert.strictEqual(code, ExitCode.refused)
        assert.include(stderr, "personal_key_not_found")
      }
    })
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("device and connection", (it) => {
  it.effect("device list, block, unblock and remove", () =>
    Effect.gen(function* () {
      const { deviceId, id } = yield* connected()
      const { items } = yield* json("device", "list", "--user", id)
      assert.strictEqual(items.length, 1)
      assert.deepInclude(items[0], { id: deviceId, name: "laptop", platform: "linux", liveConnections: 1 })
      const blocked = yield* json("device", "block", deviceId, "--reason", "stolen")
      assert.deepInclude(blocked, { blockedReason: "stolen", liveConnections: 0, cutConnections: 1 })
      assert.deepInclude(yield* json("device", "block", deviceId), { cutConnections: 0 })
      assert.include((yield* onDatabase("device", "list", "--user", id)).stdout, "blocked (stolen)")
      assert.strictEqual((yield* json("device", "unblock", deviceId)).blockedAt, null)
      assert.include((yield* onDatabase("device", "remove", deviceId)).stdout, "is forgotten")
      assert.deepStrictEqual(yield* json("device", "list", "--user", id), { items: [], nextCursor: null })
      const { code, stderr } = yield* onDatabase("device", "block", deviceId)
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "device_not_found")
    })
  )

  it.effect("connection list finds by user, server and status", () =>
    Effect.gen(function* () {
      const { connectionId, id, serverName } = yield* connected()
      const other = yield* connected()
      const idsOf = (...args: ReadonlyArray<string>) =>
        Effect.map(json("connection", "list", ...args), ({ items }) =>
          items.map((connection: { readonly id: string }) => connection.id)
        )
      assert.deepStrictEqual(yield* idsOf("--user", id), [connectionId])
      assert.deepStrictEqual(yield* idsOf("--server", serverName), [connectionId])
      assert.deepStrictEqual(yield* idsOf("--user", other.name, "--status", "active"), [other.connectionId])
      assert.deepStrictEqual(yield* idsOf("--user", id, "--status", "ended"), [])
      const { stdout } = yield* onDatabase("connection", "list", "--user", id)
      assert.match(stdout, /^ID .*STATUS .*USER .*DEVICE .*SERVER/)
      const nobody = yield* onDatabase("connection", "list", "--user", "nobody")
      assert.strictEqual(nobody.code, ExitCode.refused)
      assert.include(nobody.stderr, "user_not_found")
    })
  )

  it.effect("C6 disconnect ends a connection, and it stays in the history and among what was cut", () =>
    Effect.gen(function* () {
      const { connectionId, id } = yield* connected()
      const shown = yield* onDatabase("connection", "show", connectionId)
      assert.match(shown.stdout, /status +active\n/)
      assert.include((yield* onDatabase("connection", "disconnect", connectionId)).stdout, "is over")
      assert.deepStrictEqual((yield* json("connection", "list", "--user", id)).items, [])
      const { items } = yield* json("connection", "list", "--user", id, "--all")
      assert.deepInclude(items[0], { id: connectionId, status: "ended", endedBy: "admin" })
      const cuts = yield* json("connection", "cuts", "--limit", "1")
      assert.deepInclude(cuts.items[0], { subjectKind: "connection", subjectId: connectionId, connections: 1 })
      assert.match((yield* onDatabase("connection", "cuts")).stdout, /^ORDERED .*WHAT .*REASON/)
    })
  )

  it.effect.each([
    [["connection", "show", "nonsense"], ExitCode.refused, "connection_not_found"],
    [["connection", "disconnect", "01920000-0000-7000-8000-000000000000"], ExitCode.refused, "connection_not_found"],
    [["connection", "list", "--status", "fine"], ExitCode.usage, "fine"],
    [["connection", "list", "--limit", "0"], ExitCode.usage, "--limit is 0"],
    [["connection", "list", "--cursor", "nonsense"], ExitCode.usage, "invalid_cursor"],
    [["connection", "cuts", "--limit", "201"], ExitCode.usage, "--limit is 201"]
  ] as const)("%j ends with %i", ([args, code, named]) =>
    Effect.gen(function* () {
      const outcome = yield* onDatabase(...args)
      assert.strictEqual(outcome.code, code, outcome.stderr)
      assert.strictEqual(outcome.stdout, "")
      assert.include(outcome.stderr, named)
    })
  )
})
