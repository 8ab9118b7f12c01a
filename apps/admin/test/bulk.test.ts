import { BulkAct } from "@broker/domain/BulkAct"
import { ServerId } from "@broker/domain/Server"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { canUndo, dealtWith, outcomeOf, titleOf } from "../src/lib/bulk.ts"
import { shareOf } from "../src/routes/(app)/servers/availability.ts"
import { labelsOf, probeOf, selectionOf, wordsOf } from "../src/routes/(app)/servers/bulk.ts"
import { defaults } from "../src/routes/(app)/servers/filters.ts"

const decode = Schema.decodeUnknownSync(BulkAct)
const act = (fields: Partial<typeof BulkAct.Encoded>) =>
  decode({
    id: "01936b3e-0000-7000-9000-000000000001",
    action: { _tag: "SetDuty", duty: "draining" },
    adminName: "ada",
    state: "done",
    total: 1_200,
    changed: 1_000,
    same: 150,
    failed: 50,
    problems: [],
    stoppedBecause: null,
    undoable: true,
    undoneBy: null,
    undoes: null,
    createdAt: "2026-11-23T12:00:00.000Z",
    finishedAt: null,
    ...fields
  })

describe("which servers", () => {
  const id = Schema.decodeUnknownSync(ServerId)
  const rows = [1, 2, 3].map((at) => ({ id: id(`01936b3e-0000-7000-9000-00000000000${at}`) }))

  it("names those that are ticked, in the order of the list", () => {
    const ids = rows.slice(1).map((row) => row.id)
    expect(selectionOf({ everything: false, ids: ids.toReversed() }, rows, defaults)).toEqual({ _tag: "Ticked", ids })
  })

  it("asks for all that were found by the question of the list", () => {
    expect(selectionOf({ everything: true, ids: [] }, rows, { ...defaults, text: " tag:eu " })).toMatchObject({
      _tag: "Found",
      query: { text: "tag:eu", cursor: null }
    })
  })

  it("counts by an act that one may do", () => {
    expect(probeOf([])).toBeNull()
    expect(probeOf(["servers:verify"])).toEqual({ _tag: "Verify" })
  })
})

describe("what is typed for many servers", () => {
  it("reads labels, with values that hold anything but a comma", () => {
    expect(labelsOf("site=fra, tier = 1,note=a=b")).toEqual({ site: "fra", tier: "1", note: "a=b" })
    expect(labelsOf("site")).toBeNull()
    expect(labelsOf("")).toEqual({})
  })

  it("reads words once each", () => {
    expect(wordsOf("eu, rack-2  eu")).toEqual(["eu", "rack-2"])
  })
})

describe("a bulk action", () => {
  it("says what came of it", () => {
    expect(titleOf(act({}))).toBe("Drain: 1,200 servers")
    expect(outcomeOf(act({}))).toBe("1,000 changed, 50 failed, 150 so already")
    expect(outcomeOf(act({ state: "stopped", failed: 0, same: 0 }))).toBe("Stopped, 1,000 changed")
    expect(dealtWith(act({}))).toBe(1_200)
  })

  it("is undone once, and only where something changed", () => {
    expect(canUndo(act({}))).toBe(true)
    expect(canUndo(act({ state: "running" }))).toBe(false)
    expect(canUndo(act({ changed: 0 }))).toBe(false)
    expect(canUndo(act({ undoneBy: "01936b3e-0000-7000-9000-000000000002" }))).toBe(false)
    expect(canUndo(act({ undoes: "01936b3e-0000-7000-9000-000000000002" }))).toBe(false)
  })
})

describe("availability of 30 days", () => {
  const one = { day: "2026-11-01", unknown: 0, excluded: 0, share: null }

  it("adds up time, not days", () => {
    expect(
      shareOf([
        { ...one, up: 86_400, down: 0 },
        { ...one, up: 0, down: 21_600 }
      ])
    ).toBeCloseTo(0.8)
    expect(shareOf([{ ...one, up: 0, down: 0 }])).toBeNull()
  })
})
