import { ServerId, ServerName } from "@broker/domain/Server"
import { parse, print } from "@broker/domain/ServerSearch"
import { DateTime, Result } from "effect"
import { assert, describe, it } from "vitest"
import {
  type CellView,
  cellSearch,
  cellWords,
  endWords,
  goneWords,
  type JobView,
  jobStanding,
  jobTroubles,
  overviewHref,
  parseAt,
  parseSpan,
  reach,
  series,
  upOf,
  verificationTroubles,
  versionSearch,
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

describe("links", () => {
  const cells = ["eu", "eu/west", "eu/west/a", "eu/rack 1", "europe", "us", null].map((path) => ({ path }))
  const linkOf = (path: string | null) => cellSearch({ path }, cells)

  it("of a cell lead to the servers that it counts, and are searches", () => {
    assert.strictEqual(linkOf("eu"), 'group:eu -group:eu/west -group:"eu/rack 1" -status:retired')
    assert.strictEqual(linkOf("eu/west"), "group:eu/west -group:eu/west/a -status:retired")
    assert.strictEqual(linkOf("us"), "group:us -status:retired")
    assert.strictEqual(linkOf(null), "-group:* -status:retired")
    for (const { path } of cells) {
      const link = linkOf(path) ?? ""
      assert.strictEqual(print(Result.getOrThrow(parse(link))), link)
    }
  })

  it("there is none of a cell with more below it than a search has terms", () => {
    const many = Array.from({ length: 40 }, (_, at) => ({ path: `eu/${at}` }))
    assert.isNull(cellSearch({ path: "eu" }, [{ path: "eu" }, ...many]))
  })

  it("of a version are searches, whatever it is called", () => {
    assert.strictEqual(versionSearch("1.10.0-rc.1"), "version:1.10.0-rc.1 -status:retired")
    for (const version of ["<1.4", "main build", 'say "hi"', "a,b", "*"]) {
      const [term] = Result.getOrThrow(parse(versionSearch(version)))
      assert.deepStrictEqual(term, { negated: false, condition: { _tag: "Version", compare: "=", version } })
    }
  })
})

describe("what needs a person beside servers", () => {
  const job = (name: string, fields: Partial<JobView>): JobView => ({
    name,
    everySeconds: 60,
    runs: 1,
    failures: 0,
    lastStartedAt: null,
    lastTookMillis: 1,
    lastOutcome: "done",
    lastProblem: null,
    lastFailedAt: null,
    nextRunAt: DateTime.makeUnsafe(0),
    overdue: false,
    ...fields
  })

  it("are jobs that failed, and then those that are overdue", () => {
    const failed = { lastOutcome: "failed", lastProblem: "It broke", lastFailedAt: DateTime.makeUnsafe(5) } as const
    const troubles = jobTroubles([
      job("prune", { overdue: true }),
      job("connections-sweep", {}),
      job("audit-retention", failed)
    ])
    assert.deepStrictEqual(
      troubles.map(({ at, name, why, word }) => ({ at, name, why, word })),
      [
        { at: 5, name: "Job: Delete old audit entries", why: "It broke", word: "Failed" },
        {
          at: 0,
          name: "Job: Delete what is past its time",
          why: "It should have run, and no node runs it.",
          word: "Overdue"
        }
      ]
    )
  })

  it("are verifications that failed, but for those of servers that are listed themselves", () => {
    const ids = ["0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"].map((id) =>
      ServerId.make(id)
    )
    const servers = ids.map((serverId, at) => ({
      serverId,
      name: ServerName.make(`fra-${at}`),
      group: null,
      verified: false,
      verifiedAt: null,
      dueAt: null,
      risk: "none" as const,
      last: null,
      silences: 0,
      reason: "It signed with another key."
    }))
    const whys = (listed: ReadonlyArray<ServerId>, hasMore = false) =>
      verificationTroubles({ servers, hasMore }, new Set(listed)).map(({ name, why }) => `${name}: ${why}`)
    assert.deepStrictEqual(whys(ids), [])
    assert.deepStrictEqual(whys(ids.slice(0, 1)), ["Verification of fra-1: It signed with another key."])
    assert.deepStrictEqual(whys([]), ["Verification: 2 servers answered their last challenge wrongly."])
    assert.deepStrictEqual(whys([], true), ["Verification: More than 2 servers answered their last challenge wrongly."])
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
    assert.strictEqual(parseAt("2020-01-01T00:00Z", now), now - reach)
    assert.strictEqual(parseSpan("30d"), "30d")
    assert.strictEqual(parseSpan("90d"), "90d")
    assert.strictEqual(parseSpan("toString"), "24h")
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

  it("tell how a guard ended, and by whom", () => {
    assert.isNull(endWords({ end: null, endedBy: null }))
    assert.strictEqual(endWords({ end: "recovered", endedBy: null }), "All were heard again")
    assert.strictEqual(endWords({ end: "confirmed", endedBy: "ada" }), "Said to be gone by ada")
  })

  it("a job that failed and is overdue has failed", () => {
    assert.strictEqual(jobStanding({ lastOutcome: "failed", overdue: true }), "failed")
    assert.strictEqual(jobStanding({ lastOutcome: "done", overdue: true }), "overdue")
    assert.strictEqual(jobStanding({ lastOutcome: "done", overdue: false }), "done")
  })
})
