/** The load of the machine, as a heartbeat reports it. */

import { availableParallelism, cpus, loadavg, totalmem, uptime } from "node:os"
import { availableMemory, constrainedMemory } from "node:process"
import type { Metrics } from "@broker/domain/Heartbeat"
import { Context, Effect, FileSystem, Layer } from "effect"

export class HostMetrics extends Context.Service<
  HostMetrics,
  {
    /** Counters count up from the start of the machine; `cpu` is the share since the last reading. */
    readonly read: Effect.Effect<Metrics>
  }
>()("@broker/client/HostMetrics") {
  static readonly layer = Layer.effect(
    HostMetrics,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      let last = cpuTimes()

      const network = fs.readFileString("/proc/net/dev").pipe(
        Effect.map(traffic),
        Effect.orElseSucceed(() => ({}))
      )

      return HostMetrics.of({
        read: Effect.map(network, (network) => {
          const now = cpuTimes()
          const cpu = share(last, now)
          if (cpu !== undefined) last = now
          return {
            ...(cpu === undefined ? {} : { cpu }),
            ...memory(),
            ...network,
            load1: loadavg()[0] ?? 0,
            uptimeSeconds: uptime()
          }
        })
      })
    })
  )
}

interface CpuTimes {
  readonly busy: number
  readonly all: number
}

/** Milliseconds, summed over the processors. */
const cpuTimes = (): CpuTimes =>
  cpus().reduce(
    ({ all, busy }, { times: { idle, irq, nice, sys, user } }) => ({
      busy: busy + user + nice + sys + irq,
      all: all + user + nice + sys + irq + idle
    }),
    { busy: 0, all: 0 }
  )

/** None over less than half a second: clocks of processors tick too seldom for that to mean anything. */
export const share = (before: CpuTimes, after: CpuTimes) => {
  const all = after.all - before.all
  return all < 500 * availableParallelism() ? undefined : Math.min(1, Math.max(0, (after.busy - before.busy) / all))
}

/** Of the container, where it has a limit. */
const memory = () => {
  const machine = totalmem()
  const limit = constrainedMemory()
  const total = limit > 0 && limit < machine ? limit : machine
  return { memoryUsedBytes: Math.max(0, total - availableMemory()), memoryTotalBytes: total }
}

/** Sums `/proc/net/dev` over all interfaces but the loopback. */
export const traffic = (table: string): { readonly rxBytes?: number; readonly txBytes?: number } => {
  const rows = table.split("\n").flatMap((line) => {
    const [, name, numbers] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? []
    const [rx, , , , , , , , tx] = (numbers ?? "").split(/\s+/).map(Number)
    return name === undefined || name === "lo" || rx === undefined || tx === undefined ? [] : [{ rx, tx }]
  })
  if (rows.length === 0) return {}
  return {
    rxBytes: rows.reduce((sum, { rx }) => sum + rx, 0),
    txBytes: rows.reduce((sum, { tx }) => sum + tx, 0)
  }
}
