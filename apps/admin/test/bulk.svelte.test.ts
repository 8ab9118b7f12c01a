/** Acts on many servers that are followed from page to page. */
import { TRPCClientError } from "@trpc/client"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Bulk } from "../src/lib/bulk.svelte.ts"
import { actJson, idOf } from "./FleetFixtures.ts"

const asked = vi.hoisted(() => ({ start: vi.fn(), get: vi.fn(), stop: vi.fn(), undo: vi.fn(), list: vi.fn() }))
vi.mock("../src/lib/rpc.ts", () => ({
  rpc: {
    bulkActs: {
      start: { mutate: asked.start },
      get: { query: asked.get },
      stop: { mutate: asked.stop },
      undo: { mutate: asked.undo },
      list: { query: asked.list }
    }
  }
}))

const tab = Object.assign(new EventTarget(), { visibilityState: "visible" })
const show = (state: "visible" | "hidden") => {
  tab.visibilityState = state
  tab.dispatchEvent(new Event("visibilitychange"))
}
const kept = new Map<string, string>()

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-23T12:05:00Z") })
  vi.stubGlobal("document", tab)
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value)
  })
  kept.clear()
  tab.visibilityState = "visible"
  for (const question of Object.values(asked)) question.mockReset()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const request = { action: { _tag: "Verify" }, selection: { _tag: "Ticked", ids: [idOf(1)] } } as const
const states = (bulk: Bulk) => bulk.acts.map(({ changed, state }) => [state, changed])
const refusal = (httpStatus: number) =>
  TRPCClientError.from({ error: { code: -32_000, message: "No", data: { httpStatus } } })
const started = async () => {
  asked.start.mockResolvedValueOnce(actJson(1))
  const bulk = new Bulk()
  await bulk.start(request)
  return bulk
}

describe("acts on many servers", () => {
  it("are asked about once at a time, until they have ended", async () => {
    const bulk = await started()
    let answer: (json: unknown) => void = () => {}
    asked.get.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
    await vi.advanceTimersByTimeAsync(5_000)
    // Another one that starts meanwhile waits for the answer too.
    asked.start.mockResolvedValueOnce(actJson(2, { state: "running" }))
    await bulk.start(request)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(asked.get).toHaveBeenCalledTimes(1)
    asked.get.mockResolvedValueOnce(actJson(2, { state: "done" }))
    asked.get.mockResolvedValueOnce(actJson(1, { state: "done", changed: 100, undoable: true }))
    answer(actJson(1, { changed: 40 }))
    await vi.advanceTimersByTimeAsync(0)
    expect(states(bulk)).toEqual([
      ["running", 0],
      ["running", 40]
    ])
    await vi.advanceTimersByTimeAsync(10_000)
    expect(states(bulk)).toEqual([
      ["done", 0],
      ["done", 100]
    ])
    expect(asked.get).toHaveBeenCalledTimes(3)
  })

  it("never go back: what was asked before they were stopped comes too late", async () => {
    const bulk = await started()
    let answer: (json: unknown) => void = () => {}
    asked.get.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
    await vi.advanceTimersByTimeAsync(1_000)
    asked.stop.mockResolvedValueOnce(actJson(1, { state: "stopped", changed: 60 }))
    const [act] = bulk.acts
    if (act === undefined) throw new Error("there is no act")
    await bulk.stop(act)
    answer(actJson(1, { changed: 40 }))
    await vi.advanceTimersByTimeAsync(5_000)
    expect(states(bulk)).toEqual([["stopped", 60]])
    expect(asked.get).toHaveBeenCalledTimes(1)
  })

  it("are asked about again where there is no answer, and no more once there will never be one", async () => {
    const bulk = await started()
    asked.get.mockRejectedValueOnce(new TypeError("Failed to fetch")).mockRejectedValueOnce(refusal(503))
    await vi.advanceTimersByTimeAsync(2_500)
    expect(states(bulk)).toEqual([["running", 0]])
    asked.get.mockRejectedValueOnce(refusal(403))
    await vi.advanceTimersByTimeAsync(10_000)
    expect(bulk.acts).toEqual([])
    expect(asked.get).toHaveBeenCalledTimes(3)
  })

  it("are left alone in a tab that nobody sees", async () => {
    const bulk = await started()
    asked.get.mockImplementation(async () => actJson(1, { changed: 1 }))
    await vi.advanceTimersByTimeAsync(1_000)
    show("hidden")
    await vi.advanceTimersByTimeAsync(60_000)
    // One was on its way.
    expect(asked.get.mock.calls.length).toBeLessThanOrEqual(2)
    const before = asked.get.mock.calls.length
    show("visible")
    await vi.advanceTimersByTimeAsync(1_000)
    expect(asked.get.mock.calls.length).toBe(before + 1)
    expect(states(bulk)).toEqual([["running", 1]])
  })

  it("are taken up with the page: one's own that run, and the last that can be undone, for a while", async () => {
    const ended = { state: "done", changed: 5, undoable: true } as const
    asked.list.mockResolvedValue([
      actJson(5, { adminName: "grace" }),
      actJson(4, { createdAt: "2026-11-23T12:04:00.000Z" }),
      actJson(3, { ...ended, createdAt: "2026-11-23T12:03:00.000Z", finishedAt: "2026-11-23T12:03:30.000Z" }),
      actJson(2, { ...ended, createdAt: "2026-11-23T12:02:00.000Z", finishedAt: "2026-11-23T12:02:30.000Z" }),
      actJson(1, { ...ended, createdAt: "2026-11-23T11:00:00.000Z", finishedAt: "2026-11-23T11:00:30.000Z" })
    ])
    const bulk = new Bulk()
    await bulk.resume("ada")
    expect(bulk.acts.map(({ id }) => id)).toEqual([idOf(4), idOf(3)])
    const [, last] = bulk.acts
    if (last === undefined) throw new Error("there is no act")
    bulk.putAway(last)

    // What was put away stays so, for the page that is loaded after it too.
    const again = new Bulk()
    await again.resume("ada")
    expect(again.acts.map(({ id }) => id)).toEqual([idOf(4)])
  })

  it("are undone once", async () => {
    asked.start.mockResolvedValueOnce(actJson(1, { state: "done", changed: 100, undoable: true }))
    const bulk = new Bulk()
    await bulk.start(request)
    asked.undo.mockResolvedValueOnce(actJson(2, { undoes: idOf(1) as never }))
    const [act] = bulk.acts
    if (act === undefined) throw new Error("there is no act")
    await bulk.undo(act)
    expect(bulk.acts.map(({ id, undoable, undoneBy }) => [id, undoable, undoneBy])).toEqual([
      [idOf(2), false, null],
      [idOf(1), false, idOf(2)]
    ])
  })
})
