/** The list of servers as somebody scrolls it, ticks in it, and acts on what is ticked. */
import { TRPCClientError } from "@trpc/client"
import { beforeEach, describe, expect, it, vi } from "vitest"
import { decodeServersPage } from "../src/lib/fleet.ts"
import { defaults } from "../src/routes/(app)/servers/filters.ts"
import { Previewing } from "../src/routes/(app)/servers/previewing.svelte.ts"
import { Selecting } from "../src/routes/(app)/servers/selecting.svelte.ts"
import { cameBack, Servers } from "../src/routes/(app)/servers/servers.svelte.ts"
import { actJson, serverJson } from "./FleetFixtures.ts"

const asked = vi.hoisted(() => ({ list: vi.fn(), count: vi.fn(), preview: vi.fn(), start: vi.fn(), get: vi.fn() }))
vi.mock("../src/lib/rpc.ts", () => ({
  rpc: {
    servers: { list: { query: asked.list }, count: { query: asked.count } },
    bulkActs: { preview: { mutate: asked.preview }, start: { mutate: asked.start }, get: { query: asked.get } }
  }
}))
vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "hidden" }))

beforeEach(() => {
  for (const question of Object.values(asked)) question.mockReset()
})

const json = (numbers: ReadonlyArray<number>, nextCursor: string | null, fields: Record<string, unknown> = {}) => ({
  items: numbers.map((number) => serverJson(number, fields)),
  nextCursor
})
const pageOf = (...page: Parameters<typeof json>) => decodeServersPage(json(...page))
const names = (servers: Servers) => servers.rows.map(({ name }) => Number(name.slice("server-".length)))
const byLoad = { ...defaults, sort: "-load" } as const
const later = <A>() => {
  let answer: (value: A) => void = () => {}
  const promise = new Promise<A>((resolve) => {
    answer = resolve
  })
  return { promise, answer }
}

describe("a list of servers", () => {
  it("loads page after page, and asks once at a time", async () => {
    asked.list.mockResolvedValueOnce(json([3, 4], "b")).mockResolvedValueOnce(json([5], null))
    const servers = new Servers(defaults, pageOf([1, 2], "a"))
    expect(servers.exact).toBeNull()
    await Promise.all([servers.more(), servers.more()])
    expect(asked.list).toHaveBeenCalledTimes(1)
    await servers.more()
    await servers.more()
    expect(asked.list.mock.calls.map(([{ cursor }]) => cursor)).toEqual(["a", "b"])
    expect(names(servers)).toEqual([1, 2, 3, 4, 5])
    expect([servers.complete, servers.exact]).toEqual([true, 5])
  })

  it("has no server twice, however they move while it is loaded, and is not sure of their number then", async () => {
    asked.list.mockResolvedValueOnce(json([2, 3], null, { activeConnections: 7 }))
    const servers = new Servers(byLoad, pageOf([1, 2], "a"))
    await servers.more()
    expect(names(servers)).toEqual([1, 2, 3])
    expect(servers.rows[1]?.activeConnections).toBe(7)
    expect([servers.moves, servers.exact]).toEqual([true, null])
    asked.count.mockResolvedValueOnce({ servers: 4 })
    expect(await servers.tally()).toBe(4)
    expect(servers.counted).toBe(4)
  })

  it("keeps what was loaded when its first page comes anew, with those that joined before it", async () => {
    asked.list.mockResolvedValueOnce(json([3, 4], "b")).mockResolvedValueOnce(json([4, 5], null))
    const servers = new Servers(defaults, pageOf([1, 2], "a"))
    await servers.more()
    servers.renew(pageOf([9, 1], "z", { activeConnections: 7 }))
    expect(names(servers)).toEqual([9, 1, 2, 3, 4])
    expect(servers.rows[1]?.activeConnections).toBe(7)
    await servers.more()
    expect(asked.list.mock.lastCall?.[0].cursor).toBe("b")
    expect(names(servers)).toEqual([9, 1, 2, 3, 4, 5])
  })

  it("looks below its end again when it comes anew, and forgets all that is not there where one page is all", async () => {
    asked.list.mockResolvedValueOnce(json([3], null)).mockResolvedValueOnce(json([3, 4], null))
    const servers = new Servers(defaults, pageOf([1, 2], "a"))
    await servers.more()
    servers.renew(pageOf([1, 2], "a"))
    expect(servers.complete).toBe(false)
    await servers.more()
    expect(names(servers)).toEqual([1, 2, 3, 4])
    servers.renew(pageOf([2], null))
    expect([names(servers), servers.exact]).toEqual([[2], 1])
  })

  it("drops the answer to a question from before it came anew", async () => {
    const slow = later<unknown>()
    asked.list.mockReturnValueOnce(slow.promise)
    const servers = new Servers(defaults, pageOf([1, 2], "a"))
    const more = servers.more()
    servers.renew(pageOf([5, 6], "c"))
    expect(servers.loading).toBe(false)
    asked.list.mockResolvedValueOnce(json([7], "d"))
    await servers.more()
    slow.answer(json([3], null))
    await more
    expect([servers.complete, names(servers)]).toEqual([false, [5, 6, 7]])
  })

  it("says why there is no more, and asks again when told to", async () => {
    asked.list.mockRejectedValueOnce(new TypeError("Failed to fetch")).mockResolvedValueOnce(json([3], null))
    const servers = new Servers(defaults, pageOf([1], "a"))
    await servers.more()
    expect(servers.failure?.away).toBe(true)
    await servers.more()
    expect([servers.failure, names(servers)]).toEqual([null, [1, 3]])
  })

  it("is as it was for whoever comes back to it, and to no other", async () => {
    asked.list.mockResolvedValueOnce(json([3, 4], "b"))
    const servers = new Servers(defaults, pageOf([1, 2], "a"))
    await servers.more()
    servers.leave(320)
    expect(cameBack({ ...defaults, text: "eu" }, pageOf([1], null))).toBeUndefined()
    servers.leave(320)
    const back = cameBack(defaults, pageOf([1, 2], "a"))
    expect([back?.offset, back && names(back.servers)]).toEqual([320, [1, 2, 3, 4]])
    expect(cameBack(defaults, pageOf([1, 2], "a"))).toBeUndefined()
  })
})

describe("ticking servers", () => {
  const rows = ["a", "b", "c", "d", "e"].map((id) => ({ id }))

  it("reaches from the one that was ticked last, either way", () => {
    const selecting = new Selecting()
    selecting.set("d", true, rows)
    selecting.reach("b", true, rows)
    expect(selecting.ids.toSorted()).toEqual(["b", "c", "d"])
    selecting.reach("c", false, rows)
    expect(selecting.ids).toEqual(["d"])
    selecting.reach("nobody", true, rows)
    expect(selecting.ids.toSorted()).toEqual(["d", "nobody"])
  })

  it("is about all that were found, and about the loaded ones but one where that is unticked", async () => {
    const selecting = new Selecting()
    await selecting.allFound(async () => 1_204)
    expect([selecting.everything, selecting.size, selecting.has("never loaded")]).toEqual([true, 1_204, true])
    selecting.set("b", false, rows)
    expect([selecting.everything, selecting.ids]).toEqual([false, ["a", "c", "d", "e"]])
  })

  it.each([
    ["was cleared", (selecting: Selecting) => selecting.clear(), 0],
    ["was changed", (selecting: Selecting) => selecting.set("a", true, rows), 1]
  ])("does not tick all of another list, where the selection %s while they were counted", async (_, change, size) => {
    const selecting = new Selecting()
    const slow = later<number>()
    const counting = selecting.allFound(() => slow.promise)
    change(selecting)
    slow.answer(1_204)
    await counting
    expect([selecting.everything, selecting.size]).toEqual([false, size])
  })

  it("forgets those that are not there any more", () => {
    const selecting = new Selecting()
    selecting.all(rows, true)
    selecting.keepOnly(rows.slice(1, 3))
    expect(selecting.ids).toEqual(["b", "c"])
  })
})

describe("what an act would touch", () => {
  const preview = (changes: number) => ({
    total: changes,
    changes,
    same: 0,
    impossible: [],
    connectionsEnd: 0,
    names: [],
    undoable: false
  })
  const selection = { _tag: "Found", query: { ...defaults, tags: [], limit: 100, cursor: null } } as const
  const action = { _tag: "Suspend", reason: "Abuse" } as const

  it("is not asked anew for another reason, and only the last answer counts", async () => {
    const slow = later<unknown>()
    asked.preview.mockReturnValueOnce(slow.promise).mockResolvedValueOnce(preview(2))
    const previewing = new Previewing(selection)
    const first = previewing.ask({ _tag: "Approve" })
    await previewing.ask(action)
    slow.answer(preview(9))
    await first
    expect(previewing.of({ ...action, reason: "Another" })?.changes).toBe(2)
    expect(previewing.of({ _tag: "Approve" })).toBeNull()
  })

  it("starts what was shown, by its number", async () => {
    asked.preview.mockResolvedValueOnce(preview(2))
    asked.start.mockResolvedValueOnce(actJson(1))
    const previewing = new Previewing(selection)
    expect(await previewing.start(action)).toBe("refused")
    await previewing.ask(action)
    expect(await previewing.start(action)).toBe("started")
    expect(asked.start).toHaveBeenCalledExactlyOnceWith({ action, selection, expected: 2 })
  })

  it("shows what it would touch now where that has changed, and starts nothing", async () => {
    asked.preview.mockResolvedValueOnce(preview(2)).mockResolvedValueOnce(preview(300))
    asked.start.mockRejectedValueOnce(
      TRPCClientError.from({
        error: {
          code: -32_009,
          message: "It would change 300 servers now.",
          data: { problem: "bulk_selection_changed", remedy: "Look again.", issues: [], names: {} }
        }
      })
    )
    const previewing = new Previewing(selection)
    await previewing.ask(action)
    expect(await previewing.start(action)).toBe("changed")
    expect(previewing.failure).toBe("It would change 300 servers now. Look again.")
    expect(previewing.of(action)?.changes).toBe(300)
    expect(asked.start).toHaveBeenCalledTimes(1)
  })
})
