import { Analytics } from "@broker/domain/Analytics"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { daysOf, labels } from "../src/lib/zoned.ts"
import { groupLines, stepLines } from "../src/routes/(app)/analytics/export.ts"
import { customised, parseView, shifted, spanBefore, spanOf, viewSearch } from "../src/routes/(app)/analytics/range.ts"

const read = (search: string) => parseView(new URLSearchParams(search))
const berlin = "Europe/Berlin"
const now = Date.UTC(2026, 10, 23, 12, 20)
const iso = ({ from, to }: { readonly from: number; readonly to: number }) => [
  new Date(from).toISOString(),
  new Date(to).toISOString()
]

describe("analytics in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it.each([
    "?range=30d&end=2026-11-01T00:00Z&zone=America/New_York&step=day&by=user&platform=ios&as=table",
    "?from=2026-10-01&to=2026-10-31&by=platform"
  ])("comes back as it was written: %s", (search) => {
    expect(viewSearch(read(search))).toBe(search)
  })

  it("ignores what makes no sense", () => {
    expect(read("range=1y&end=soon&zone=Mars/Base&step=week&by=mood&from=2026-02-01&to=2026-01-01")).toEqual(read(""))
  })
})

describe("spans", () => {
  it("ends with the hour that goes on", () => {
    expect(iso(spanOf(read("range=24h"), now, berlin))).toEqual([
      "2026-11-22T13:00:00.000Z",
      "2026-11-23T13:00:00.000Z"
    ])
  })

  it("begins days where they begin in the zone", () => {
    expect(iso(spanOf(read("range=30d"), now, berlin))).toEqual([
      "2026-10-24T22:00:00.000Z",
      "2026-11-23T23:00:00.000Z"
    ])
    expect(iso(spanOf(read("range=30d&zone=UTC"), now, berlin))).toEqual([
      "2026-10-25T00:00:00.000Z",
      "2026-11-24T00:00:00.000Z"
    ])
  })

  it("C7 gives a day that is put back its 25 hours, and one that is put forward its 23", () => {
    const hours = (day: string) => {
      const { from, to } = spanOf(read(`from=${day}&to=${day}`), now, berlin)
      return (to - from) / 3_600_000
    }
    expect(hours("2026-10-25")).toBe(25)
    expect(hours("2026-03-29")).toBe(23)
  })

  it("C7 tells the two hours apart that a day has when it is put back", () => {
    const { step } = labels(berlin, "hour")
    expect(step(Date.UTC(2026, 9, 25, 0))).not.toBe(step(Date.UTC(2026, 9, 25, 1)))
  })

  it("begins hours on the hour of a zone that is half an hour off", () => {
    expect(iso(spanOf(read("range=24h&zone=Asia/Kolkata"), now, berlin))[1]).toBe("2026-11-23T12:30:00.000Z")
  })

  it("goes back and forth by its own length, and ends at now", () => {
    const view = read("range=7d")
    const back = shifted(view, -1, now, berlin)
    expect(spanOf(back, now, berlin).to).toBe(spanOf(view, now, berlin).from)
    expect(shifted(back, 1, now, berlin)).toEqual(view)
    const custom = customised(view, "2026-10-20", "2026-10-26")
    expect(shifted(custom, -1, now, berlin)).toMatchObject({ from: "2026-10-13", to: "2026-10-19" })
    expect(shifted(shifted(custom, -1, now, berlin), 1, now, berlin)).toEqual(custom)
  })

  it("is held against as much of the time before as is past", () => {
    const span = spanOf(read("range=24h"), now, berlin)
    expect(iso(spanBefore(span, now))).toEqual(["2026-11-21T13:00:00.000Z", "2026-11-22T12:20:00.000Z"])
    const past = spanOf(read("from=2026-10-20&to=2026-10-26"), now, berlin)
    expect(spanBefore(past, now).to).toBe(past.from)
  })

  it("knows its days by the zone", () => {
    expect(daysOf(spanOf(read("from=2026-10-20&to=2026-10-26"), now, "Pacific/Auckland"))).toEqual({
      from: "2026-10-20",
      to: "2026-10-26"
    })
  })
})

const sums = { connections: 1, users: 1, devices: 1, seconds: 60, rxBytes: 10, txBytes: 5 }
const report = Schema.decodeUnknownSync(Analytics)({
  totals: sums,
  steps: [
    { at: "2026-10-25T00:00:00.000Z", ...sums },
    { at: "2026-10-25T01:00:00.000Z", ...sums },
    { at: "2026-10-25T02:00:00.000Z", connections: 0, users: 0, devices: 0, seconds: 0, rxBytes: 0, txBytes: 0 }
  ],
  groups: [{ key: "=cmd", name: "=cmd", ...sums }],
  moreGroups: 0,
  verdicts: { confirmed: 0, client_only: 0, server_only: 0, byte_mismatch: 0 },
  reasons: [],
  outcomes: { connected: 1, expired: 0, refused: 0 },
  completeUntil: "2026-10-25T02:00:00.000Z"
})

describe("figures as CSV", () => {
  it("tells each step in UTC and in the zone, and leaves out what is not counted yet", () => {
    expect(stepLines(report, { step: "hour", zone: berlin })).toEqual([
      "hour,hour_in_zone,connections,users,devices,seconds,rx_bytes,tx_bytes\r\n",
      "2026-10-25T00:00:00.000Z,2026-10-25T02:00:00.000+02:00,1,1,1,60,10,5\r\n",
      "2026-10-25T01:00:00.000Z,2026-10-25T02:00:00.000+01:00,1,1,1,60,10,5\r\n"
    ])
  })

  it("defuses formulas", () => {
    expect(groupLines(report, "platform")[1]).toMatch(/^'=cmd,'=cmd,/)
  })
})
