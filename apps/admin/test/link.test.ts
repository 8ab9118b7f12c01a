import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { Link, type Standing, stateOf, type Told } from "../src/lib/link.ts"

/** A broker that is there or is not, and answers when it is told to. */
const make = () => {
  let standing: Standing = { connection: "connecting", lostAt: null, retryAt: null }
  let told: Told | undefined
  const seen = { opened: 0, closed: 0, recovered: 0 }
  const asked: Array<(isThere: boolean) => void> = []
  const link = new Link({
    open: (next) => {
      told = next
      seen.opened++
      return () => {
        seen.closed++
      }
    },
    ask: () =>
      new Promise<void>((resolve, reject) =>
        asked.push((isThere) => (isThere ? resolve() : reject(new Error("away"))))
      ),
    changed: (next) => {
      standing = next
    },
    recovered: () => {
      seen.recovered++
    }
  })
  return {
    link,
    seen,
    asked,
    state: () => stateOf(standing, Date.now()),
    heard: () => told?.heard(),
    lose: () => told?.lost(),
    answer: async (isThere: boolean) => {
      asked.at(-1)?.(isThere)
      await vi.advanceTimersByTimeAsync(0)
    }
  }
}

describe("the way to the broker", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("is offline 8 s after it was lost, until it is heard again", async () => {
    const { answer, heard, link, lose, seen, state } = make()
    link.open()
    assert.strictEqual(state(), "connecting")
    heard()
    assert.strictEqual(state(), "live")
    lose()
    assert.strictEqual(state(), "reconnecting")
    await vi.advanceTimersByTimeAsync(7_900)
    assert.strictEqual(state(), "reconnecting")
    await vi.advanceTimersByTimeAsync(200)
    assert.strictEqual(state(), "offline")
    await answer(true)
    heard()
    assert.strictEqual(state(), "live")
    assert.deepStrictEqual(seen, { opened: 2, closed: 1, recovered: 1 })
  })

  it("is offline too where the tab was hidden while it was lost", async () => {
    const { heard, link, lose, state } = make()
    link.open()
    heard()
    lose()
    await vi.advanceTimersByTimeAsync(400)
    link.close()
    await vi.advanceTimersByTimeAsync(60_000)
    assert.strictEqual(state(), "offline")
    link.resume()
    lose()
    await vi.advanceTimersByTimeAsync(1_000)
    assert.strictEqual(state(), "offline")
  })

  it("has one try at a time, however often it is asked to try now", async () => {
    const { asked, heard, link, lose, seen } = make()
    link.open()
    heard()
    lose()
    for (let times = 0; times < 4; times++) void link.tryNow()
    assert.lengthOf(asked, 4)
    for (const answer of asked) answer(false)
    await vi.advanceTimersByTimeAsync(0)
    // Of four failures, one leads to another try.
    await vi.advanceTimersByTimeAsync(1_300)
    assert.lengthOf(asked, 5)

    void link.tryNow()
    // An answer to a try that was given up opens nothing.
    asked[4]?.(true)
    await vi.advanceTimersByTimeAsync(0)
    assert.strictEqual(seen.opened, 1)
    asked[5]?.(true)
    await vi.advanceTimersByTimeAsync(0)
    assert.strictEqual(seen.opened, 2)
  })

  it("opens nothing while it is closed, nor twice when it goes on", async () => {
    const { answer, asked, heard, link, lose, seen } = make()
    link.open()
    heard()
    lose()
    void link.tryNow()
    link.close()
    await answer(true)
    await vi.advanceTimersByTimeAsync(60_000)
    assert.strictEqual(seen.opened, 1)
    link.resume()
    lose()
    void link.tryNow()
    link.resume()
    assert.strictEqual(seen.opened, 2)
    assert.lengthOf(asked, 2)
  })

  it("tries ever less often, and at once again after it was heard", async () => {
    const { answer, asked, heard, link, lose } = make()
    link.open()
    heard()
    lose()
    const waits: Array<number> = []
    for (let times = 0; times < 7; times++) {
      const from = Date.now()
      const before = asked.length
      while (asked.length === before) await vi.advanceTimersByTimeAsync(50)
      waits.push(Date.now() - from)
      await answer(times === 6)
    }
    for (const [at, wait] of [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
      assert.isAtLeast(waits[at] ?? 0, wait * 0.8)
      assert.isAtMost(waits[at] ?? 0, wait * 1.2 + 50)
    }
    heard()
    lose()
    await vi.advanceTimersByTimeAsync(650)
    assert.lengthOf(asked, 8)
  })
})
