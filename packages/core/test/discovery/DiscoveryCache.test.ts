import { Signals } from "@broker/core/database/Signals"
import { Discovery } from "@broker/core/discovery/Discovery"
import { Servers } from "@broker/core/servers/Servers"
import type { DiscoveryQuery } from "@broker/domain/Discovery"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { put, rewrite } from "./fleet.ts"

type Node = Discovery["Service"]

/** Another node on the same database. */
const anotherNode = Effect.map(
  Layer.build(Layer.provide(Layer.fresh(Discovery.layer), Layer.fresh(Signals.layer))),
  (services) => Context.get(services, Discovery)
)

const names = (node: Node, organizationId: OrganizationId, query: DiscoveryQuery = {}) =>
  Effect.map(node.list(organizationId, query), ({ page }) => page.items.map(({ name }): string => name))

/** The names once they are not those any more; a test that waits in vain runs into its time limit. */
const after = Effect.fnUntraced(function* (node: Node, organizationId: OrganizationId, before: ReadonlyArray<string>) {
  while (true) {
    const now = yield* names(node, organizationId)
    if (now.join() !== before.join()) return now
    yield* Effect.yieldNow
  }
})

layer(Fixtures.layer)("Answers of discovery that are given again", (it) => {
  it.effect("C8 an answer is given again while it is fresh, and read anew afterwards", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra" }])
      yield* names(discovery, organizationId)
      // Unannounced: no signal tells of it.
      yield* rewrite(organizationId, id, { name: "fra", liveness: "offline" })
      assert.deepStrictEqual(yield* names(discovery, organizationId), ["fra"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* names(discovery, organizationId), [])
    })
  )

  it.effect("C8 the same question in other words is the same question", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra", tags: ["a", "b"] }])
      yield* names(discovery, organizationId, { tag: ["a", "b"], limit: 50, q: "FRA" })
      yield* rewrite(organizationId, id, { name: "fra", liveness: "offline" })
      assert.deepStrictEqual(
        yield* names(discovery, organizationId, { sort: "name", q: "fra", tag: ["b", "a", "a"] }),
        ["fra"]
      )
    })
  )

  it.effect("C8 a suspension on one node is gone from the answers of all", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const nodes = [yield* Discovery, yield* anotherNode]
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "ams" }, { name: "fra" }])
      for (const node of nodes) assert.deepStrictEqual(yield* names(node, organizationId), ["ams", "fra"])
      yield* servers.suspend(organizationId, id, "")
      // The clock stands still: nothing grows stale.
      for (const node of nodes) assert.deepStrictEqual(yield* after(node, organizationId, ["ams", "fra"]), ["fra"])
    })
  )

  it.effect("C8 a node that may have missed something gives no answer again", () =>
    Effect.gen(function* () {
      const signals = yield* Signals
      const node = yield* anotherNode
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra" }])
      assert.deepStrictEqual(yield* names(node, organizationId), ["fra"])
      yield* rewrite(organizationId, id, { name: "fra", liveness: "offline" })
      // A payload that is too long for a signal is announced as something to look at.
      yield* signals.notify("server", "x".repeat(8_000))
      assert.deepStrictEqual(yield* after(node, organizationId, ["fra"]), [])
    })
  )

  it.effect("C8 clients that ask the same at once are answered by one look at the database", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, [{ name: "fra" }])
      const answers = yield* Effect.all(
        Array.from({ length: 30 }, () => discovery.list(organizationId, {})),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(answers.map(({ page }) => page)).size, 1)
    })
  )
})
