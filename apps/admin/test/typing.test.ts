import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { rounds } from "../src/lib/rounds.ts"
import { Typing } from "../src/lib/typing.ts"

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe("what is written in a field that searches", () => {
  const make = () => {
    const asked: Array<string> = []
    return { asked, typing: new Typing(200, (text) => asked.push(text)) }
  }

  it("is asked for where the writing rests, or at once", async () => {
    const { asked, typing } = make()
    for (const text of ["f", "fr", "fra"]) {
      typing.write(text)
      await vi.advanceTimersByTimeAsync(100)
    }
    await vi.advanceTimersByTimeAsync(200)
    typing.write("fra-1")
    typing.ask("fra-1")
    await vi.advanceTimersByTimeAsync(1_000)
    assert.deepStrictEqual(asked, ["fra", "fra-1"])
  })

  it("is dropped with the field, and where something else is searched for meanwhile", async () => {
    const { asked, typing } = make()
    typing.write("fra")
    typing.stop()
    await vi.advanceTimersByTimeAsync(1_000)
    typing.write("ams")
    // Filters were cleared.
    assert.isTrue(typing.isForeign("tag:eu"))
    await vi.advanceTimersByTimeAsync(1_000)
    assert.deepStrictEqual(asked, [])
  })

  it("goes on where an answer to less of it arrives late", async () => {
    const { asked, typing } = make()
    typing.ask("f")
    typing.ask("fr ")
    typing.write("fra")
    assert.isFalse(typing.isForeign("f"))
    assert.isFalse(typing.isForeign("fr"))
    await vi.advanceTimersByTimeAsync(1_000)
    assert.deepStrictEqual(asked, ["f", "fr ", "fra"])
    assert.isFalse(typing.isForeign("fra"))
    assert.isTrue(typing.isForeign("fr"))
  })
})

describe("rounds", () => {
  it("begin only after the last one has ended, until they are stopped", async () => {
    const ends: Array<() => void> = []
    const stop = rounds(1_000, () => new Promise<void>((end) => ends.push(end)))
    await vi.advanceTimersByTimeAsync(5_000)
    assert.lengthOf(ends, 1)
    ends[0]?.()
    await vi.advanceTimersByTimeAsync(999)
    assert.lengthOf(ends, 1)
    await vi.advanceTimersByTimeAsync(1)
    assert.lengthOf(ends, 2)
    stop()
    ends[1]?.()
    await vi.advanceTimersByTimeAsync(5_000)
    assert.lengthOf(ends, 2)
  })
})
