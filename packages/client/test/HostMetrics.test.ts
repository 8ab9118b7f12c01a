import { availableParallelism } from "node:os"
import { Metrics } from "@broker/domain/Heartbeat"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Schema } from "effect"
import { HostMetrics, share, traffic } from "../src/HostMetrics.ts"

const table = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 8412999   10202    0    0    0     0          0         0  8412999   10202    0    0    0     0       0          0
  eth0:  123456     100    0    0    0     0          0         0   654321     200    0    0    0     0       0          0
wg-fra:1000       1    0    0    0     0          0         0        2       1    0    0    0     0       0          0
`

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e12 }))

describe("HostMetrics", () => {
  it.effect("H9 measures this machine in the form of a heartbeat", () =>
    Effect.gen(function* () {
      const { read } = yield* HostMetrics
      const metrics = yield* read
      assert.isTrue(Schema.is(Metrics)(metrics))
      assert.isAbove(metrics["memoryTotalBytes"] ?? 0, metrics["memoryUsedBytes"] ?? 0)
      assert.isAbove(metrics["uptimeSeconds"] ?? 0, 0)
      assert.notProperty(metrics, "cpu")
      if (process.platform === "linux") assert.containsAllKeys(metrics, ["rxBytes", "txBytes"])
    }).pipe(Effect.provide(HostMetrics.layer), Effect.provide(NodeFileSystem.layer))
  )

  it.effect("goes without traffic where the machine does not tell", () =>
    Effect.gen(function* () {
      const { read } = yield* HostMetrics
      assert.doesNotHaveAnyKeys(yield* read, ["rxBytes", "txBytes"])
    }).pipe(Effect.provide(Layer.provide(HostMetrics.layer, FileSystem.layerNoop({}))))
  )

  it("H11 sums the counters of all interfaces but the loopback", () => {
    assert.deepStrictEqual(traffic(table), { rxBytes: 124_456, txBytes: 654_323 })
    assert.deepStrictEqual(traffic(""), {})
  })

  it.effect.prop(
    "H9 gives the processors' share from 0 to 1, once enough time went by",
    [Count, Count, Count, Count],
    ([busyBefore, allBefore, busyAfter, allAfter]) =>
      Effect.sync(() => {
        const cpu = share({ busy: busyBefore, all: allBefore }, { busy: busyAfter, all: allAfter })
        if (allAfter - allBefore < 500 * availableParallelism()) return assert.isUndefined(cpu)
        assert.isAtLeast(cpu ?? -1, 0)
        assert.isAtMost(cpu ?? 2, 1)
      })
  )
})
