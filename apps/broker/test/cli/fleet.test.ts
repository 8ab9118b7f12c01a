/** The fleet guard, and times of maintenance, from the command line. */
import { TestBroker } from "@broker/testing/TestBroker"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker, json, onDatabase } from "./CommandLine.ts"

interface Listed {
  readonly items: ReadonlyArray<{ readonly id: string; readonly about: string | null; readonly end: string | null }>
}

describe("fleet guard", () => {
  it.live("list shows guards, and confirm ends the one that holds, once", () =>
    Effect.gen(function* () {
      // No broker runs on it: it would settle what is written here by itself.
      const database = yield* TestDatabase.createDatabase
      const variables = { DATABASE_URL: Redacted.value(database) }
      const none = yield* broker(["fleet", "guard", "list"], variables)
      assert.include(none.stderr, "The fleet guard never had to hold.")
      const idle = yield* broker(["fleet", "guard", "confirm"], variables)
      assert.deepStrictEqual([idle.code, idle.stdout], [ExitCode.refused, ""])
      assert.include(idle.stderr, "fleet_guard_not_open")
      yield* SqlClient.SqlClient.use((sql) =>
        Effect.andThen(
          sql`select set_config('broker.audit', '', true)`,
          sql`
            insert into fleet_guards (id, organization_id, began_at, expected, seen, held, cause, cause_detail,
                                      steady_held, steady_since, ends_at)
            select gen_random_uuid(), id, now(), 40, 28, 12, 'network', '198.51.0.0/16', 12, now(),
                   now() + interval '10 minutes'
              from organizations
             limit 1`
        ).pipe(sql.withTransaction)
      ).pipe(Effect.provide(TestServer.connect(database)))
      const { stdout } = yield* broker(["fleet", "guard", "list"], variables)
      assert.match(stdout, /^BEGAN +END +EXPECTED +SEEN +HELD +CAUSE +BY/)
      assert.match(stdout, /holds +40 +28 +12 +network 198\.51\.0\.0\/16 +–/)
      const confirmed = yield* broker(["fleet", "guard", "confirm"], variables)
      assert.strictEqual(confirmed.code, ExitCode.ok, confirmed.stderr)
      assert.include(confirmed.stdout, "The guard held 12 servers")
      const again = yield* broker(["fleet", "guard", "confirm"], variables)
      assert.strictEqual(again.code, ExitCode.refused)
      const listed = yield* broker(["fleet", "guard", "list", "--json"], variables)
      const { items }: Listed = JSON.parse(listed.stdout)
      assert.deepStrictEqual(
        items.map(({ end }) => end),
        ["confirmed"]
      )
    }).pipe(Effect.scoped)
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("maintenance", (it) => {
  it.effect("announce, list and call-off, of a server, a group and the fleet", () =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      const none = yield* onDatabase("maintenance", "list")
      assert.include(none.stderr, "No maintenance is announced")
      yield* json("group", "create", "lab")
      const key = yield* json("registration-key", "create")
      yield* agent({ name: "lab-1", key: Redacted.make(key.key) })
      const ofServer = yield* json(
        "maintenance",
        "announce",
        "--server",
        "lab-1",
        "--for",
        "2h",
        "--reason",
        "new disks"
      )
      assert.deepInclude(ofServer, { about: "lab-1", reason: "new disks" })
      assert.strictEqual(Date.parse(ofServer.endsAt) - Date.parse(ofServer.startsAt), 7_200_000)
      const later = ["--from", "2100-12-01T22:00:00Z", "--for", "30m"]
      const ofGroup = yield* json("maintenance", "announce", "--group", "LAB", ...later)
      assert.deepInclude(ofGroup, { about: "lab", endsAt: "2100-12-01T22:30:00.000Z" })
      const said = yield* onDatabase("maintenance", "announce", ...later)
      assert.include(said.stdout, "Maintenance of the whole fleet is announced until 2100-12-01T22:30:00.000Z.")
      const { stdout } = yield* onDatabase("maintenance", "list")
      assert.match(stdout, /^ABOUT +STATE +FROM +TO +REASON +BY +ID/)
      assert.match(stdout, /lab-1 +now +.* new disks/)
      assert.match(stdout, /group lab +announced/)
      assert.match(stdout, /the whole fleet +announced/)
      const inUse = yield* onDatabase("group", "delete", "lab")
      assert.strictEqual(inUse.code, ExitCode.refused)
      assert.include(inUse.stderr, "group_in_use")
      yield* json("maintenance", "call-off", ofGroup.id)
      yield* json("maintenance", "call-off", ofServer.id)
      yield* json("group", "delete", "lab")
      const { items }: Listed = yield* json("maintenance", "list")
      // What has begun stays, and is over.
      assert.deepStrictEqual(
        items.map(({ about }) => about),
        [null, "lab-1"]
      )
      const again = yield* onDatabase("maintenance", "call-off", ofGroup.id)
      assert.include(again.stderr, "maintenance_window_not_found")
    })
  )

  it.effect.each([
    [["--for", "often"], ExitCode.usage, "--for is"],
    [["--for", "745h"], ExitCode.usage, "--for"],
    [["--for", "0s"], ExitCode.usage, "--for"],
    [["--for", "1h", "--from", "soon"], ExitCode.usage, "--from is"],
    [["--for", "1h", "--reason", "x".repeat(257)], ExitCode.usage, "--reason"],
    [["--for", "1h", "--server", "lab-2", "--group", "both"], ExitCode.usage, "--group"],
    [["--for", "1h", "--server", "nobody"], ExitCode.refused, "server_not_found"],
    [["--for", "1h", "--group", "nobody"], ExitCode.refused, "group_not_found"]
  ] as const)("announce %j is refused", ([flags, code, named]) =>
    Effect.gen(function* () {
      const { agent } = yield* TestBroker
      if (flags.some((flag) => flag === "lab-2")) {
        yield* json("group", "create", "both")
        const key = yield* json("registration-key", "create")
        yield* agent({ name: "lab-2", key: Redacted.make(key.key) })
      }
      const outcome = yield* onDatabase("maintenance", "announce", ...flags)
      assert.deepStrictEqual([outcome.code, outcome.stdout], [code, ""], outcome.stderr)
      assert.include(outcome.stderr, named)
    })
  )

  it.effect("call-off of what is not there is refused", () =>
    Effect.gen(function* () {
      const outcome = yield* onDatabase("maintenance", "call-off", "nothing")
      assert.strictEqual(outcome.code, ExitCode.refused)
      assert.include(outcome.stderr, "maintenance_window_not_found")
    })
  )
})
