/** `broker audit …` beside a running broker. */
import { readFileSync, writeFileSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TestBroker } from "@broker/testing/TestBroker"
import * as TestServer from "@broker/testing/TestServer"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("audit", (it) => {
  it.effect("A6 what nobody touched is intact, also by a checkpoint kept elsewhere; what somebody did is told", () =>
    Effect.gen(function* () {
      const { database } = yield* TestBroker
      const directory = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "broker-audit-")))
      yield* json("user", "create", "--name", "Somebody")
      const kept = join(directory, "checkpoint.jws")
      const { stdout } = yield* onDatabase("audit", "checkpoint")
      assert.strictEqual(stdout.split(".").length, 3)
      writeFileSync(kept, `${stdout}\n`)

      const good = yield* onDatabase("audit", "verify", "--checkpoint", kept)
      assert.strictEqual(good.code, ExitCode.ok, good.stdout + good.stderr)
      assert.match(good.stdout, /organization\s+intact/)
      const { installation, keys, organization } = yield* json("audit", "verify")
      assert.deepStrictEqual([organization.intact, installation.intact, keys.length], [true, true, 1])

      const only = yield* json("audit", "verify", "--installation")
      assert.deepStrictEqual([only.organization, only.installation.intact], [undefined, true])
      const ofInstallation = join(directory, "installation.jws")
      writeFileSync(ofInstallation, (yield* onDatabase("audit", "checkpoint", "--installation")).stdout)
      const compared = yield* onDatabase("audit", "verify", "--installation", "--checkpoint", ofInstallation)
      assert.strictEqual(compared.code, ExitCode.ok, compared.stdout + compared.stderr)
      assert.strictEqual(
        (yield* onDatabase("audit", "verify", "--checkpoint", ofInstallation)).code,
        ExitCode.unexpected
      )
      const ofNobody = join(directory, "installation.ndjson")
      yield* onDatabase("audit", "export", "--installation", "--output", ofNobody)
      const strangers = readFileSync(ofNobody, "utf8")
      assert.include(strangers, "audit-log:export")
      assert.notInclude(strangers, "Somebody")

      const file = join(directory, "log.csv")
      const exported = yield* onDatabase("audit", "export", "--format", "csv", "--from", "2020-01-01", "--output", file)
      assert.strictEqual(exported.code, ExitCode.ok, exported.stderr)
      const lines = readFileSync(file, "utf8").trimEnd().split("\r\n")
      assert.match(lines[0] ?? "", /^seq,at,/)
      assert.match(lines.at(-1) ?? "", /^checkpoint,.*,ey[\w-]+\.[\w-]+\.[\w-]+$/)
      const again = yield* onDatabase("audit", "export", "--output", file)
      assert.strictEqual(again.code, ExitCode.usage)
      const nonsense = yield* onDatabase("audit", "export", "--from", "yesterday")
      assert.strictEqual(nonsense.code, ExitCode.usage)

      yield* SqlClient.SqlClient.use((sql) =>
        sql.withTransaction(
          Effect.andThen(
            sql`set local session_replication_role = replica`,
            sql`update audit_entries set actor_name = 'mallory' where action = 'users:create'`
          )
        )
      ).pipe(Effect.provide(TestServer.connect(database)))
      const bad = yield* onDatabase("audit", "verify")
      assert.strictEqual(bad.code, ExitCode.unexpected)
      assert.match(bad.stdout, /organization\s+BROKEN/)
      assert.match(bad.stdout, /changed/)
    })
  )
})
