import { BulkAct } from "@broker/domain/BulkAct"
import { ServerId } from "@broker/domain/Server"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { dealtWith, outcomeOf, titleOf } from "../src/lib/bulk.ts"
import { labelsOf, selectionOf, wordsOf } from "../src/routes/(app)/servers/bulk.ts"
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
  const [first, second] = [1, 2].map((at) => ServerId.make(`01936b3e-0000-7000-9000-00000000000${at}`)) as [
    ServerId,
    ServerId
  ]

  it("names those that are ticked, whether their rows are loaded or not", () => {
    expect(selectionOf({ everything: false, ids: [first, second] }, defaults)).toEqual({
      _tag: "Ticked",
      ids: [first, second]
    })
  })

  it("asks for all that were found by the question of the list", () => {
    expect(selectionOf({ everything: true, ids: [] }, { ...defaults, text: " tag:eu " })).toMatchObject({
      _tag: "Found",
      query: { text: "tag:eu", cursor: null }
    })
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
})
