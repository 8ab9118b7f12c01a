/** `broker report …` beside a running broker. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, broker } from "@broker/core/audit/Actor"
import { Reports } from "@broker/core/reports/Reports"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

const reader = { organizationId: defaultOrganizationId, permissions: new Set(Permission.literals) }

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("report", (it) => {
  it.effect("W4 a saved report is listed, made, and written as it was made", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* json("report", "list"), { items: [], nextCursor: null })
      const { id } = yield* Reports.use((reports) =>
        reports.create(reader, {
          name: "Weekly fleet",
          parameters: {
            kind: "inventory",
            range: { kind: "named", name: "last_week" },
            timeZone: "Europe/Berlin",
            groupId: null,
            compare: true
          },
          formats: ["csv", "json"],
          schedule: { cron: "0 7 * * 1", timeZone: "Europe/Berlin" },
          emails: [],
          webhook: false
        })
      ).pipe(Effect.provideService(Actor, broker))
      const listed = yield* onDatabase("report", "list")
      assert.match(listed.stdout, /Weekly fleet\s+inventory\s+0 7 \* \* 1 Europe\/Berlin/)
      const made = yield* json("report", "run", "weekly FLEET")
      assert.deepInclude(made, { reportId: id, state: "done", slotAt: null })
      const runs = yield* json("report", "list", "--runs", "--limit", "1")
      assert.deepStrictEqual([runs.items[0].id, runs.items[0].files], [made.id, made.files])
      const file = join(yield* Effect.promise(() => mkdtemp(join(tmpdir(), "broker-report-"))), "fleet.csv")
      const download = ["report", "download", made.id, "--format", "csv", "--output", file]
      assert.strictEqual((yield* onDatabase(...download)).code, ExitCode.ok)
      const wanted = made.files.find(({ format }: { readonly format: string }) => format === "csv")
      assert.strictEqual(createHash("sha256").update(readFileSync(file)).digest("hex"), wanted.sha256)
      // Nothing is written over, and what is not there is not found.
      assert.strictEqual((yield* onDatabase(...download)).code, ExitCode.usage)
      for (const args of [
        ["run", "nothing of that name"],
        ["download", made.id, "--format", "pdf"],
        ["download", "x"]
      ]) {
        const { code, stderr } = yield* onDatabase("report", ...args)
        assert.strictEqual(code, ExitCode.refused, stderr)
      }
    })
  )
})
