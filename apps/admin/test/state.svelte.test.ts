/** What parts of pages keep of what they were told: answers, what flows, and which rows are drawn. */
import { DateTime } from "effect"
import { flushSync } from "svelte"
import { describe, expect, it, vi } from "vitest"
import { Asked } from "../src/lib/asked.svelte.ts"
import type { decodeConnection } from "../src/lib/fleet.ts"
import { Throughput } from "../src/lib/throughput.svelte.ts"
import { minute, second } from "../src/lib/time.ts"
import { Windowing } from "../src/lib/windowing.svelte.ts"

vi.mock("../src/lib/rpc.ts", () => ({ rpc: {} }))

describe("what a part of a page asks for", () => {
  it("is the answer to the last question, whichever comes first", async () => {
    const asked = new Asked<string>()
    let answer: (value: string) => void = () => {}
    const slow = asked.ask(() => new Promise((resolve) => (answer = resolve)))
    await asked.ask(async () => "new")
    answer("old")
    await slow
    expect([asked.value, asked.busy]).toEqual(["new", false])
  })

  it("stays while there is no newer one, with the reason, until there is", async () => {
    const asked = new Asked<string>()
    await asked.ask(async () => "told")
    await asked.ask(() => Promise.reject(new TypeError("Failed to fetch")))
    expect([asked.value, asked.busy]).toEqual(["told", false])
    expect(asked.failure).toMatch(/^The broker does not answer\./)
    await asked.ask(async () => "told again")
    expect([asked.value, asked.failure]).toEqual(["told again", null])
  })
})

describe("what flows through connections", () => {
  const start = Date.parse("2026-11-23T12:00:00Z")
  const connection = (fields: Record<string, unknown>) => ({
    id: "01936b3e-0000-7000-9000-000000000001" as ReturnType<typeof decodeConnection>["id"],
    status: "active" as const,
    clientRxBytes: null,
    clientTxBytes: null,
    clientReportedAt: null,
    serverRxBytes: null,
    serverTxBytes: null,
    serverReportedAt: null,
    ...fields
  })
  const utc = (at: number) => DateTime.makeUnsafe(at)
  const told = (rx: number, tx: number, at: number) =>
    connection({ clientRxBytes: rx, clientTxBytes: tx, clientReportedAt: utc(at) })

  it("is known once something was told twice, and is none when it was told long ago", () => {
    const throughput = new Throughput()
    throughput.look([told(1_000, 100, start)], start)
    expect(throughput.now).toBeNull()
    throughput.look([told(6_000, 600, start + 5 * second)], start + 5 * second)
    expect(throughput.now).toEqual({ rx: 1_000, tx: 100 })
    expect(throughput.total).toEqual({ rx: 6_000, tx: 600 })
    throughput.look([told(6_000, 600, start + 5 * second)], start + 3 * minute)
    expect(throughput.now).toBeNull()
  })

  it("is taken from the server, the other way round, where the client tells nothing", () => {
    const throughput = new Throughput()
    const by = (rx: number, at: number) =>
      connection({ serverRxBytes: rx, serverTxBytes: 0, serverReportedAt: utc(at) })
    throughput.look([by(0, start)], start)
    throughput.look([by(500, start + 5 * second)], start + 5 * second)
    expect(throughput.now).toEqual({ rx: 0, tx: 100 })
  })

  it("leaves out what has ended, and a gap in what it draws where nobody looked", () => {
    const throughput = new Throughput()
    throughput.look([told(0, 0, start)], start)
    throughput.look([told(500, 0, start + 5 * second)], start + 5 * second)
    throughput.look([{ ...told(500, 0, start + 5 * second), status: "ended" }], start + 60 * second)
    expect(throughput.total).toEqual({ rx: 0, tx: 0 })
    expect(throughput.rx.map(({ at, value }) => [(at - start) / second, value])).toEqual([
      [0, null],
      [5, 100],
      [59.999, null],
      [60, null]
    ])
  })
})

describe("a long list", () => {
  /** What scrolls, as far as the list looks at it. */
  class Scroller extends EventTarget {
    scrollTop = 0
    readonly clientWidth = 1_000
    readonly clientHeight = 400
    readonly scrollHeight = 4_000_000
    readonly ownerDocument = {
      defaultView: { setTimeout, clearTimeout, requestAnimationFrame: () => 0, cancelAnimationFrame: () => {} }
    }
    scrollTo({ top }: { readonly top: number }) {
      this.scrollTop = top
      this.dispatchEvent(new Event("scroll"))
    }
  }

  const opened = (rows: number) => {
    const scroller = new Scroller()
    const state = $state({ rows })
    let measured = 0
    let windowing: Windowing | undefined
    const close = $effect.root(() => {
      windowing = new Windowing({
        count: () => state.rows,
        height: () => {
          measured++
          return 40
        },
        scroller: () => scroller as unknown as HTMLElement,
        spare: 6
      })
    })
    flushSync()
    if (windowing === undefined) throw new Error("there is no list")
    return { scroller, state, windowing, close, measured: () => measured }
  }

  it("draws what is on screen and a few rows beside it, with room for all others", () => {
    const { close, scroller, windowing } = opened(100_000)
    expect(windowing.range).toEqual({ from: 0, to: 16 })
    expect(windowing.before + windowing.after).toBe((100_000 - 16) * 40)
    scroller.scrollTo({ top: 2_000_000 })
    expect(windowing.range).toEqual({ from: 49_994, to: 50_016 })
    expect(windowing.before).toBe(49_994 * 40)
    expect(windowing.before + windowing.after).toBe((100_000 - 22) * 40)
    close()
  })

  it("looks at no row to scroll, and keeps its place when more are loaded", () => {
    const { close, measured, scroller, state, windowing } = opened(100_000)
    const before = measured()
    expect(before).toBeLessThan(20)
    for (let top = 0; top < 40_000; top += 400) scroller.scrollTo({ top })
    expect(measured()).toBe(before)
    const { range } = windowing
    state.rows += 100
    flushSync()
    expect(windowing.range).toEqual(range)
    expect(measured() - before).toBeLessThan(20)
    close()
  })

  it("brings a row on screen", () => {
    const { close, scroller, windowing } = opened(1_000)
    windowing.show(500)
    expect(scroller.scrollTop).toBe(501 * 40 - 400)
    expect(windowing.range.to).toBeGreaterThan(500)
    close()
  })
})
