/** Webhooks from the command line. */
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker } from "./CommandLine.ts"

describe("webhook", () => {
  it.live("create, list, test, pause, resume, deliveries and delete", () =>
    Effect.gen(function* () {
      // No broker runs on it: nothing is sent.
      const database = yield* TestDatabase.createDatabase
      const variables = { DATABASE_URL: Redacted.value(database) }
      const on = (...words: ReadonlyArray<string>) => broker(["webhook", ...words], variables)
      assert.include((yield* on("list")).stderr, "There are no webhooks.")
      const url = "https://93.184.215.14/events"
      const created = yield* on("create", url, "--type", "server.registered", "--name", "Pager")
      assert.strictEqual(created.code, ExitCode.ok, created.stderr)
      assert.match(created.stdout, /^whsec_[A-Za-z0-9+/]{43}=\n?$/)
      const [, id = ""] = /webhook test (\S+)/.exec(created.stderr) ?? []
      assert.match((yield* on("list")).stdout, new RegExp(`${id} +Pager +active +0 +never +${url}`))

      const inside = yield* on("create", "https://10.0.0.8/", "--type", "server.registered")
      assert.strictEqual(inside.code, ExitCode.usage)
      assert.include(inside.stderr, "webhook_target_refused")
      for (const words of [
        ["create", url],
        ["create", url, "--type", "nothing.happened"],
        ["create", "https://a:b@example.com/", "--type", "server.registered"],
        ["deliveries", id, "--limit", "0"]
      ]) {
        assert.strictEqual((yield* on(...words)).code, ExitCode.usage, words.join(" "))
      }

      assert.include((yield* on("pause", id)).stdout, "Pager is sent nothing for now.")
      assert.include((yield* on("test", id)).stdout, "A test event is on its way.")
      const listed = yield* on("deliveries", id, "--state", "pending", "--json")
      const { items } = JSON.parse(listed.stdout)
      assert.deepInclude(items[0], { type: "webhook.test", state: "pending", webhookId: id })
      assert.match((yield* on("deliveries", id)).stdout, /webhook\.test +Pager +pending +0 +none/)
      assert.include((yield* on("resume", id)).stdout, "Pager is sent events again")
      assert.include((yield* on("delete", id)).stdout, "The webhook is gone")
      const gone = yield* on("pause", id)
      assert.strictEqual(gone.code, ExitCode.refused)
      assert.include(gone.stderr, "webhook_not_found")
      assert.include((yield* on("test", "pager")).stderr, "webhook_not_found")
    }).pipe(Effect.scoped)
  )
})
