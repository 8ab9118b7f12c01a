import { DateTime } from "effect"
import { assert, describe, it } from "vitest"
import {
  type CellView,
  cellWords,
  goneWords,
  jobStanding,
  overviewHref,
  parseAt,
  parseSpan,
  series,
  upOf,
  worstOf
} from "../src/lib/monitoring.ts"
import { minute } from "../src/lib/time.ts"

const none: CellView["counts"] = {
  online: 0,
  degraded: 0,
  offline: 0,
  unknown: 0,
  never_seen: 0,
  pending: 0,
  draining: 0,
  maintenance: 0,
  suspended: 0,
  retired: 0
}

const cell = (counts: Partial<CellView["counts"]>): CellView => ({
  groupId: null,
  path: "eu/west",
  total: Object.values(counts).reduce((sum, one) => sum + one, 0),
  counts: { ...none, ...counts },
  connections: 0
})

describe("cells", () => {
  it("are judged by the worst in them, and tell all of it in words", () => {
    const mixed = cell({ online: 10, degraded: 2, offline: 1, draining: 1 })
    assert.strictEqual(worstOf(mixed), "offline")
    assert.strictEqual(upOf(mixed.counts), 13)
    assert.strictEqual(cellWords(mixed), "eu/west: 13 of 14 up, 2 degraded, 1 offline, 1 draining")
    assert.strictEqual(worstOf(cell({ online: 3 })), "online")
    assert.strictEqual(cellWords(cell({ online: 3 })), "eu/west: 3 of 3 up")
    assert.strictEqual(worstOf(cell({ maintenance: 3 })), "maintenance")
    assert.strictEqual(cellWords({ ...cell({ unknown: 2 }), path: null }), "No group: 0 of 2 up, 2 unknown")
  })
})

describe("the instant that is looked at", () => {
  const now = Date.parse("2026-11-23T12:00:30Z")

  it("stands in the URL to the minute, and what makes no sense there is now", () => {
    const at = Date.parse("2026-11-23T11:07:42Z")
    assert.strictEqual(overviewHref(at, "24h"), "/?at=2026-11-23T11:07Z")
    assert.strictEqual(overviewHref(at, "7d"), "/?at=2026-11-23T11:07Z&span=7d")
    assert.strictEqual(overviewHref(null, "24h"), "/")
    assert.strictEqual(parseAt("2026-11-23T11:07Z", now), Date.parse("2026-11-23T11:07:00Z"))
    for (const text of [null, "", "yesterday", "2026-11-24T00:00Z"]) assert.isNull(parseAt(text, now))
    assert.strictEqual(parseSpan("30d"), "30d")
    assert.strictEqual(parseSpan("1y"), "24h")
  })
})

describe("series of moments", () => {
  it("break where moments are missing", () => {
    const at = (minutes: number) => DateTime.makeUnsafe(minutes * minute)
    const moment = (minutes: number) => ({
      at: at(minutes),
      total: 1,
      up: minutes,
      down: 0,
      unknown: 0,
      connections: 0,
      heartbeats: 0
    })
    assert.deepStrictEqual(
      series([moment(1), moment(2), moment(9)], ({ up }) => up, minute).map(({ value }) => value),
      [1, 2, null, 9]
    )
  })
})

describe("words", () => {
  it("count those that are taken for gone", () => {
    assert.strictEqual(goneWords({ held: 1 }), "1 server that is held as unknown becomes offline now.")
    assert.strictEqual(goneWords({ held: 1_200 }), "1,200 servers that are held as unknown become offline now.")
  })

  it("a job that failed and is overdue has failed", () => {
    assert.strictEqual(jobStanding({ lastOutcome: "failed", overdue: true }), "failed")
    assert.strictEqual(jobStanding({ lastOutcome: "done", overdue: true }), "overdue")
    assert.strictEqual(jobStanding({ lastOutcome: "done", overdue: false }), "done")
  })
})
