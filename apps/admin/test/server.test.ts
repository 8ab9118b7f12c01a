import { DateTime } from "effect"
import { describe, expect, it } from "vitest"
import { effectOf, windowState } from "../src/lib/maintenance.ts"
import { hour, minute } from "../src/lib/time.ts"
import { rateWords } from "../src/lib/verification.ts"
import {
  customised,
  daysOf,
  defaults,
  parseView as parseMaintenance,
  rangeOf,
  viewSearch as searchMaintenance,
  spanOf
} from "../src/routes/(app)/maintenance/range.ts"
import {
  joinLabels,
  joinTags,
  splitLabels,
  splitTags,
  touched,
  typedOf
} from "../src/routes/(app)/servers/[id]/assignment.ts"
import { skewWords, standingReason } from "../src/routes/(app)/servers/[id]/standing.ts"
import { tabsFor } from "../src/routes/(app)/servers/[id]/tabs.ts"
import { happenings, parseKinds } from "../src/routes/(app)/servers/[id]/timeline.ts"
import {
  parseView as parseVerification,
  viewSearch as searchVerification
} from "../src/routes/(app)/verification/filters.ts"

const at = (text: string) => DateTime.makeUnsafe(text)
const nothing = {
  transitions: [],
  challenges: [],
  changes: [],
  windows: [],
  outages: [],
  alarms: [],
  groups: new Map<string, string>()
}
const change = (before: Record<string, unknown>, after: Record<string, unknown>, time = "2026-11-23T10:00:00Z") => ({
  at: at(time),
  action: "servers:assign",
  actorKind: "admin" as const,
  actorName: "ada",
  before,
  after
})

describe("a server's timeline", () => {
  it("tells which fields were changed and by whom, groups by their paths", () => {
    const group = "01990000-0000-7000-8000-000000000001"
    const [told] = happenings({
      ...nothing,
      changes: [
        change({ group_id: null, assigned_tags: [] }, { group_id: group, assigned_tags: ["eu"], tags: ["eu"] })
      ],
      groups: new Map([[group, "eu/frankfurt"]])
    })
    expect(told?.fields).toEqual(["Group: nothing → eu/frankfurt", "Assigned tags: none → eu"])
    expect(told?.detail).toBe("by ada")
  })

  it("leaves out what the moves tell already", () => {
    expect(happenings({ ...nothing, changes: [change({ admission: "pending" }, { admission: "approved" })] })).toEqual(
      []
    )
  })

  it("is one list, the newest first", () => {
    const all = happenings({
      ...nothing,
      changes: [change({ version: "1" }, { version: "2" })],
      outages: [
        { beganAt: at("2026-11-23T11:00:00Z"), endedAt: at("2026-11-23T12:00:00Z") },
        { beganAt: at("2026-11-22T11:00:00Z"), endedAt: at("2026-11-22T11:02:00Z") }
      ]
    })
    expect(all.map(({ kind }) => kind)).toEqual(["outages", "changes", "outages"])
    expect(all[0]?.title).toBe("No broker was there for 1 h")
  })

  it("reads from the URL which kinds it shows", () => {
    expect(parseKinds("changes,nonsense,state")).toEqual(["changes", "state"])
    expect(parseKinds(null)).toEqual([])
  })
})

describe("a server's page", () => {
  it("shows no tab that would be refused", () => {
    const offered = (permissions: Parameters<typeof tabsFor>[0]) => tabsFor(permissions).map(({ value }) => value)
    const always = ["summary", "timeline", "verification", "notes", "settings"]
    expect(offered(["servers:read"])).toEqual(always)
    expect(offered(["servers:read", "audit:read", "metrics:read", "connections:read"]).toSorted()).toEqual(
      [...always, "audit", "metrics", "connections"].toSorted()
    )
  })

  it("tells the skew of a clock plainly (H4)", () => {
    expect(skewWords(null)).toEqual({ words: "Not known", isGrave: false })
    expect(skewWords(-0.4)).toEqual({ words: "In time with the broker's", isGrave: false })
    expect(skewWords(-150)).toEqual({ words: "Its clock is 2 min 30 s behind", isGrave: true })
    expect(skewWords(30)).toEqual({ words: "Its clock is 30 s ahead", isGrave: false })
  })

  it("says why a capability stands where it does", () => {
    const standing = { capability: "vpn", checkable: false, reason: null, checkedAt: null }
    expect(standingReason({ ...standing, standing: "declared" })).toMatch(/no check/)
    expect(standingReason({ ...standing, checkable: true, standing: "declared" })).toBe("Not checked yet.")
    expect(standingReason({ ...standing, standing: "refuted", reason: "Port 443 is closed" })).toBe(
      "Port 443 is closed"
    )
  })

  it("reads tags and labels as they are typed", () => {
    expect(splitTags(" eu, rack-2  eu ")).toEqual(["eu", "rack-2"])
    expect(splitTags(joinTags(["a", "b"]))).toEqual(["a", "b"])
    expect(splitLabels("site=fra\n\nurl = a=b\nlone")).toEqual({ site: "fra", url: "a=b", lone: "" })
    expect(splitLabels(joinLabels({ site: "fra", rack: "2" }))).toEqual({ site: "fra", rack: "2" })
  })

  it("sends only what was touched of a group, tags and labels", () => {
    const before = typedOf({ groupId: "g", assignedTags: ["a", "b"], assignedLabels: { x: "1", y: " odd ", z: "3" } })
    expect(touched(before, before)).toEqual({})
    expect(touched(before, { ...before, tags: "b,a" })).toEqual({})
    expect(touched(before, { ...before, groupId: "" })).toEqual({ groupId: null })
    expect(touched(before, { ...before, tags: "b c" })).toEqual({ tags: { add: ["c"], remove: ["a"] } })
    expect(touched(before, { ...before, labels: "x=2\ny= odd\nnew" })).toEqual({
      labels: { set: { x: "2", new: "" }, remove: ["z"] }
    })
  })
})

describe("maintenance", () => {
  const now = Date.parse("2026-11-23T12:00:00Z")

  it("says where a window stands", () => {
    const window = { startsAt: at("2026-11-23T11:00:00Z"), endsAt: at("2026-11-23T13:00:00Z") }
    expect(windowState(window, now)).toBe("running")
    expect(windowState(window, now - 2 * hour)).toBe("ahead")
    expect(windowState(window, now + hour)).toBe("over")
  })

  it("says what an announcement leaves out, and nothing while it makes no sense", () => {
    expect(effectOf({ kind: "server", name: "ams-1" }, now, now + 90 * minute)).toMatch(
      /^For 1 h 30 min, time in which ams-1 is down is left out/
    )
    expect(effectOf({ kind: "group", name: "eu", servers: 12 }, now, now + hour)).toMatch(/any of the 12 servers in eu/)
    expect(effectOf({ kind: "fleet" }, now, now)).toBeNull()
    expect(effectOf({ kind: "fleet" }, Number.NaN, now)).toBeNull()
  })

  it("keeps its range in the URL, in whole days by UTC", () => {
    const read = (search: string) => parseMaintenance(new URLSearchParams(search))
    expect(searchMaintenance(defaults)).toBe("")
    expect(searchMaintenance(read("?range=90d"))).toBe("?range=90d")
    expect(searchMaintenance(read("?from=2026-11-01&to=2026-11-10"))).toBe("?from=2026-11-01&to=2026-11-10")
    expect(read("?from=2026-11-10&to=2026-11-01")).toEqual(defaults)
    expect(rangeOf(read("?range=7d"), now)).toEqual({
      from: "2026-11-17T00:00:00.000Z",
      to: "2026-11-23T12:00:00.000Z"
    })
    expect(daysOf(spanOf(read("?from=2026-11-01&to=2026-11-10"), now))).toEqual({
      from: "2026-11-01",
      to: "2026-11-10"
    })
    expect(customised("2026-11-10", "2024-01-01")).toEqual({ range: "custom", from: "2025-10-07", to: "2026-11-10" })
  })
})

describe("verification", () => {
  it("keeps its list and its group in the URL", () => {
    const read = (search: string) => parseVerification(new URLSearchParams(search))
    expect(searchVerification(read(""))).toBe("")
    const search = "?list=failed&group=01990000-0000-7000-8000-000000000001&limit=25"
    expect(searchVerification(read(search))).toBe(search)
    expect(read("?list=nonsense&group=x").list).toBe("due")
  })

  it("never calls 100 % what failed", () => {
    expect(rateWords(1)).toBe("100 %")
    expect(rateWords(0.9999)).toBe("99.9 %")
    expect(rateWords(null)).toBe("–")
  })
})
