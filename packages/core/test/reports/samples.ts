/** A report with all that renderers have to deal with. */
import type { ReportData, ReportUnit } from "@broker/domain/Report"
import { DateTime } from "effect"

const from = Date.parse("2026-10-01T00:00:00Z")
const day = (index: number) => DateTime.makeUnsafe(from + index * 86_400_000)

/** Names as people give them, and as somebody gives them who means ill. */
export const names = [
  '=HYPERLINK("http://192.0.2.1","x")',
  "+1-800",
  "-2+3",
  "@SUM(A1)",
  "\tleading tab",
  'a,"quoted"\r\nname',
  "サーバー東京 北京 서울",
  "Ελληνικός · Київ · עברית · हिन्दी · Łódź · Việt",
  "long-".repeat(50),
  "W".repeat(128),
  "👩‍🚀 crew"
]

const columns = (all: ReadonlyArray<readonly [string, ReportUnit]>) =>
  all.map(([label, unit], index) => ({ id: `c${index}`, label, unit }))

const steps = 31

const points = (of: (index: number) => number | null) =>
  Array.from({ length: steps }, (_, index) => ({ at: day(index), value: of(index), previous: of(steps - index) }))

/** Two tables, one of them larger than a PDF shows. */
export const data: ReportData = {
  kind: "usage",
  title: "Usage",
  group: "eu/frankfurt",
  from: day(0),
  to: day(steps),
  previous: { from: day(-steps), to: day(0) },
  timeZone: "Europe/Berlin",
  step: "day",
  complete: true,
  notes: ["Connections are kept one by one for 90 days, and this time began before: tables are left out."],
  figures: [
    { id: "connections", label: "Connections", unit: "count", value: 1_234, previous: 1_000, better: "more" },
    { id: "sent", label: "Sent by clients", unit: "bytes", value: null, previous: 12, better: "neither" },
    { id: "share", label: "Availability", unit: "share", value: 0.9991, previous: 0.9999, better: "more" }
  ],
  series: [
    { id: "connections", label: "Connections", unit: "count", points: points((index) => index % 9) },
    {
      id: "share",
      label: "Availability",
      unit: "share",
      points: points((index) => (index % 7 === 3 ? null : 0.98 + (index % 3) / 100))
    },
    { id: "none", label: "Median round trip", unit: "milliseconds", points: points(() => null) }
  ],
  tables: [
    {
      id: "by-server",
      title: "By server",
      columns: columns([
        ["Server", "text"],
        ["Group", "text"],
        ["Connections", "count"],
        ["Received", "bytes"],
        ["Time connected", "seconds"],
        ["Began", "time"]
      ]),
      rows: Array.from({ length: 150 }, (_, index) => [
        names[index] ?? `gateway-${index}`,
        index % 3 === 0 ? null : "eu/frankfurt",
        150 - index,
        index * 1e9,
        index * 1_000,
        DateTime.formatIso(day(index % steps))
      ]),
      total: 2_000
    },
    { id: "none", title: "When the fleet guard held", columns: columns([["Held", "count"]]), rows: [], total: 0 }
  ]
}
