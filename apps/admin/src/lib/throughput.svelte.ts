/** What flows through live connections, from what is told of each as time goes by. */
import { isLive } from "./connection.ts"
import type { ConnectionView } from "./fleet.ts"
import { type Count, type Flow, flowBetween, type Point } from "./rates.ts"
import { maybeMillis, minute, second } from "./time.ts"

type Counted = Pick<
  ConnectionView,
  | "id"
  | "status"
  | "clientRxBytes"
  | "clientTxBytes"
  | "clientReportedAt"
  | "serverRxBytes"
  | "serverTxBytes"
  | "serverReportedAt"
>

/** As the client counts, or, where it tells nothing, as the server does, the other way round. */
const countOf = (connection: Counted): Count | undefined => {
  const { clientRxBytes, clientTxBytes, serverRxBytes, serverTxBytes } = connection
  const clientAt = maybeMillis(connection.clientReportedAt)
  if (clientAt !== null && clientRxBytes !== null && clientTxBytes !== null) {
    return { rx: clientRxBytes, tx: clientTxBytes, at: clientAt }
  }
  const serverAt = maybeMillis(connection.serverReportedAt)
  return serverAt === null || serverRxBytes === null || serverTxBytes === null
    ? undefined
    : { rx: serverTxBytes, tx: serverRxBytes, at: serverAt }
}

/** A flow that nothing was told of for so long is taken for none. */
const staleAfter = 2 * minute
/** How much of it a chart shows. */
export const shownFor = 10 * minute
/** Looks that are nearer than that are one. */
const lookEvery = second
/** Without a look for so long, nobody was looking. */
const gapAfter = 30 * second

interface Known {
  readonly count: Count
  readonly flow: Flow | undefined
}

export class Throughput {
  /** What flows now, all together; null until something was told twice. */
  now = $state.raw<Flow | null>(null)
  /** Since they were opened, all together. */
  total = $state.raw<Flow>({ rx: 0, tx: 0 })
  rx = $state.raw<ReadonlyArray<Point>>([])
  tx = $state.raw<ReadonlyArray<Point>>([])

  #known = new Map<string, Known>()
  #lookedAt: number | undefined

  look(connections: ReadonlyArray<Counted>, at: number) {
    const known = new Map<string, Known>()
    for (const connection of connections) {
      if (!isLive(connection)) continue
      const count = countOf(connection)
      if (count === undefined) continue
      const before = this.#known.get(connection.id)
      if (before === undefined) known.set(connection.id, { count, flow: undefined })
      else if (count.at > before.count.at) known.set(connection.id, { count, flow: flowBetween(before.count, count) })
      else known.set(connection.id, before)
    }
    this.#known = known
    const all = [...known.values()]
    const flowing = all.filter(({ count, flow }) => flow !== undefined && at - count.at <= staleAfter)
    const sum = (of: (each: Known) => number, some: ReadonlyArray<Known>) =>
      some.reduce((total, each) => total + of(each), 0)
    this.total = { rx: sum(({ count }) => count.rx, all), tx: sum(({ count }) => count.tx, all) }
    this.now =
      flowing.length === 0
        ? null
        : { rx: sum(({ flow }) => flow?.rx ?? 0, flowing), tx: sum(({ flow }) => flow?.tx ?? 0, flowing) }
    this.#draw(at)
  }

  #draw(at: number) {
    const last = this.#lookedAt
    if (last !== undefined && at - last < lookEvery) return
    this.#lookedAt = at
    const broke = last !== undefined && at - last > gapAfter
    const drawn = (points: ReadonlyArray<Point>, value: number | null) => [
      ...points.filter((point) => point.at >= at - shownFor),
      ...(broke ? [{ at: at - 1, value: null }] : []),
      { at, value }
    ]
    this.rx = drawn(this.rx, this.now?.rx ?? null)
    this.tx = drawn(this.tx, this.now?.tx ?? null)
  }
}
