/** Looking back at events, and following them, from the command line. */
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("event", (it) => {
  it.effect("W1 list and follow tell what happened, for people and for programs", () =>
    Effect.gen(function* () {
      const follow = yield* Effect.forkChild(
        onDatabase("event", "follow", "--after", "0", "--type", "audit.recorded", "--count", "2")
      )
      const ada = yield* json("user", "create", "--name", "Ada")
      yield* json("user", "create", "--name", "Grace")
      const { code, stderr, stdout } = yield* Fiber.join(follow)
      assert.strictEqual(code, ExitCode.ok, stderr)
      const lines = stdout.split("\n")
      assert.lengthOf(lines, 2)
      for (const line of lines) assert.match(line, /^\d+ {2}20\d\d-\d\d-\d\dT\S+Z {2}audit\.recorded {2}\S/)

      const { items } = yield* json("event", "list", "--subject", ada.id)
      assert.lengthOf(items, 1)
      assert.deepInclude(items[0], { type: "audit.recorded", place: lines.at(-2)?.split(" ")[0] })
      const found = yield* onDatabase("event", "list", "--search", "grace")
      assert.match(found.stdout, /^PLACE +WHEN +TYPE +WHAT\n\d+ +\d+ s ago +audit\.recorded +\S/)
      const none = yield* onDatabase("event", "list", "--type", "fleet_guard.began")
      assert.include(none.stderr, "No event matches.")
    })
  )

  it.effect("says what it cannot make sense of, and of a place that is gone", () =>
    Effect.gen(function* () {
      const wrong = [
        ["event", "list", "--subject", "fra-1"],
        ["event", "list", "--from", "yesterday-ish"],
        ["event", "list", "--limit", "0"],
        ["event", "follow", "--after", "x"]
      ]
      for (const args of wrong) {
        assert.strictEqual((yield* onDatabase(...args)).code, ExitCode.usage, args.join(" "))
      }
      const gone = yield* onDatabase("event", "follow", "--after", "900000000")
      assert.strictEqual(gone.code, ExitCode.refused)
      assert.include(gone.stderr, "events_gone")
    })
  )
})
