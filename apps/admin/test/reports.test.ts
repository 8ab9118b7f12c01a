import type { ReportFigure, ReportTable } from "@broker/domain/Report"
import { ReportParameters, ReportRequest } from "@broker/domain/Report"
import { DateTime, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { addresses, draftOf, rangeChoices, requestOf } from "../src/routes/(app)/reports/draft.ts"
import { cronOf, plainOf, scheduleWords, usual } from "../src/routes/(app)/reports/schedule.ts"
import { nextSort, sorted } from "../src/routes/(app)/reports/tables.ts"
import { upcoming } from "../src/routes/(app)/reports/upcoming.ts"
import {
  customised,
  parametersOf,
  parseView,
  rangeWords,
  shifted,
  viewOf,
  viewSearch
} from "../src/routes/(app)/reports/view.ts"
import { amount, cellWords, changeOf, kindsFor, mailWords } from "../src/routes/(app)/reports/words.ts"

const read = (search: string) => parseView(new URLSearchParams(search))
const berlin = "Europe/Berlin"
const now = Date.UTC(2026, 10, 23, 12, 20)

describe("a report in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it.each([
    "?kind=health&range=last-month&zone=America/New_York&group=01936b3e-0000-7000-9000-000000000001&compare=no",
    "?from=2026-11-01&to=2026-11-07&as=table&sort=-by-server.connections",
    "?tab=saved&save=1",
    "?tab=made&cursor=abc"
  ])("keeps %s", (search) => {
    expect(viewSearch(read(search))).toBe(search)
  })

  it("leaves out what makes no sense", () => {
    expect(viewSearch(read("?kind=x&range=9d&from=2026-11-07&to=2026-11-01&zone=+01:00&sort=x&tab=y"))).toBe("")
    // Longer than a report may be.
    expect(viewSearch(read("?from=2024-01-01&to=2026-11-01"))).toBe("")
  })

  it("asks for whole days of its zone, also where a day has 25 hours", () => {
    const { range } = parametersOf(read(`?from=2026-10-25&to=2026-10-25&zone=${berlin}`), "UTC")
    expect(range.kind === "between" && [DateTime.formatIso(range.from), DateTime.formatIso(range.to)]).toEqual([
      "2026-10-24T22:00:00.000Z",
      "2026-10-25T23:00:00.000Z"
    ])
    expect(parametersOf(read("?range=last-week"), berlin)).toEqual({
      kind: "usage",
      range: { kind: "named", name: "last_week" },
      timeZone: berlin,
      groupId: null,
      compare: true
    })
  })

  it.each(["?kind=usage&range=last-week", "?kind=health&range=90d", "?from=2026-10-20&to=2026-10-26&compare=no"])(
    "shows again what %s was about",
    (search) => {
      const parameters = parametersOf(read(search), berlin)
      expect(parametersOf(viewOf(parameters), "UTC")).toEqual(parameters)
    }
  )

  it("goes to the days before and after, whichever end is named first", () => {
    const shown = { from: "2026-11-16", to: "2026-11-22" }
    expect(viewSearch(shifted(read(""), -1, shown))).toBe("?from=2026-11-09&to=2026-11-15")
    expect(viewSearch(shifted(read(""), 1, shown))).toBe("?from=2026-11-23&to=2026-11-29")
    expect(viewSearch(customised(read(""), "2026-11-22", "2026-11-16"))).toBe("?from=2026-11-16&to=2026-11-22")
  })

  it("says which time it is about", () => {
    const range = (search: string) => rangeWords(parametersOf(read(search), berlin).range, berlin)
    expect(range("?range=last-week")).toBe("last week")
    expect(range("?range=30d")).toBe("the 30 days before")
    expect(range("?from=2026-11-01&to=2026-11-07")).toBe("2026-11-01 to 2026-11-07")
  })
})

describe("a schedule", () => {
  it.each([
    [{ every: "day", hour: 7, minute: 0 }, "0 7 * * *", "every day at 07:00, Europe/Berlin"],
    [{ every: "weekday", hour: 18, minute: 30 }, "30 18 * * 1-5", "Monday to Friday at 18:30, Europe/Berlin"],
    [{ every: "week", weekday: 1 }, "0 7 * * 1", "every Monday at 07:00, Europe/Berlin"],
    [{ every: "month", day: 22 }, "0 7 22 * *", "on the 22nd of every month at 07:00, Europe/Berlin"],
    [{ every: "month", day: 12 }, "0 7 12 * *", "on the 12th of every month at 07:00, Europe/Berlin"]
  ] as const)("%o is %s", (choice, cron, words) => {
    const plain = { ...usual, ...choice }
    expect(cronOf(plain)).toBe(cron)
    expect(cronOf(plainOf(cron) ?? usual)).toBe(cron)
    expect(scheduleWords({ cron, timeZone: berlin })).toBe(words)
  })

  it("is shown as cron where no plain choice says the same", () => {
    for (const cron of [
      "*/30 * * * *",
      "0 7 31 * *",
      "0 7 1 * 1",
      "0 7 * 1 *",
      "0 7 * * 1,3",
      "0 25 * * *",
      "0 7 * *"
    ]) {
      expect(plainOf(cron)).toBeNull()
    }
    expect(plainOf("0 7 * * 7")).toMatchObject({ every: "week", weekday: 0 })
    expect(scheduleWords({ cron: "0 */6 * * *", timeZone: "America/New_York" })).toBe(
      "by cron 0 */6 * * *, America/New York"
    )
  })

  it("tells its next times in its own zone, and that it never comes", () => {
    const iso = (schedule: { readonly cron: string; readonly timeZone: string }, from = now) =>
      upcoming(schedule, from)?.map((at) => new Date(at).toISOString()) ?? null
    expect(iso({ cron: "0 7 * * 1", timeZone: berlin })).toEqual([
      "2026-11-30T06:00:00.000Z",
      "2026-12-07T06:00:00.000Z",
      "2026-12-14T06:00:00.000Z"
    ])
    // Summer time begins on the 28th: the hour stays, and UTC moves.
    expect(iso({ cron: "0 7 * * *", timeZone: berlin }, Date.UTC(2027, 2, 26, 12))).toEqual([
      "2027-03-27T06:00:00.000Z",
      "2027-03-28T05:00:00.000Z",
      "2027-03-29T05:00:00.000Z"
    ])
    expect(iso({ cron: "0 7 30 2 *", timeZone: berlin })).toBeNull()
    expect(iso({ cron: "every monday", timeZone: berlin })).toBeNull()
  })
})

describe("a saved report's form", () => {
  const parameters = parametersOf(read("?from=2026-11-01&to=2026-11-07"), berlin)

  it("offers the days it is about beside the ranges by name", () => {
    const labels = rangeChoices(parameters).map(({ label }) => label)
    expect(labels.at(-1)).toBe("2026-11-01 to 2026-11-07, always these days")
    expect(rangeChoices(parametersOf(read(""), berlin)).map(({ label }) => label)).toEqual(labels.slice(0, -1))
  })

  it("takes addresses as people type them, and sends what the broker takes", () => {
    expect(addresses(" ada@example.com,\n grace@example.com; ada@example.com\n")).toEqual([
      "ada@example.com",
      "grace@example.com"
    ])
    const sent = requestOf({
      ...draftOf(parameters),
      name: " Weekly ",
      emails: "ada@example.com",
      schedule: { cron: "0 7 * * 1", timeZone: berlin }
    })
    const request = Schema.decodeUnknownSync(ReportRequest)(sent)
    expect(request.name).toBe("Weekly")
    expect(Schema.is(ReportParameters)(request.parameters)).toBe(true)
    expect(request.parameters).toEqual(parameters)
  })
})

describe("reports in words", () => {
  const change = (value: number | null, previous: number | null, more: Partial<ReportFigure> = {}) =>
    changeOf({ value, previous, unit: "count", better: "more", ...more })

  it("says how a figure changed, and whether that is good", () => {
    expect(change(120, 100)).toEqual({ direction: "up", words: "20 % more", news: "good" })
    expect(change(80, 100, { better: "less" })).toEqual({ direction: "down", words: "20 % less", news: "good" })
    expect(change(80, 100)).toMatchObject({ news: "bad" })
    expect(change(120, 100, { better: "neither" })).toMatchObject({ news: "neither" })
    expect(change(100.1, 100)).toEqual({ direction: "same", words: "as before", news: "neither" })
    expect(change(5, 0)).toMatchObject({ direction: "up", words: "none before", news: "neither" })
    expect(change(0, 0)).toMatchObject({ words: "none before either" })
    expect(change(3_000, 100)).toMatchObject({ words: "30 times as much" })
    expect(change(null, 100)).toMatchObject({ direction: "unknown" })
    expect(change(5, null)).toBeNull()
  })

  it("tells of shares in points", () => {
    expect(change(0.999, 0.98, { unit: "share" })).toMatchObject({ words: "1.9 points more" })
    expect(change(0.9999, 0.9998, { unit: "share" })).toMatchObject({ words: "0.010 points more" })
  })

  it("writes values by their units, and never calls what is not quite all all", () => {
    expect(amount(0.9999999, "share")).toBe("99.999 %")
    expect(amount(1, "share")).toBe("100 %")
    expect(amount(0.123, "share")).toBe("12.3 %")
    expect(amount(2_048, "bytes_per_second")).toBe("2.0 KiB/s")
    expect(amount(1_000_000, "seconds")).toBe("278 h")
    expect(amount(90, "seconds")).toBe("1 min 30 s")
    expect(amount(9_000, "seconds")).toBe("2.5 h")
    expect(amount(2.5, "count")).toBe("2.5")
    expect(cellWords(null, "count")).toBe("–")
    expect(cellWords("2026-11-23T12:00:00Z", "time", (at) => new Date(at).toISOString())).toBe(
      "2026-11-23T12:00:00.000Z"
    )
    expect(cellWords("fra-1", "text")).toBe("fra-1")
  })

  it("offers the kinds that a role may see", () => {
    expect(kindsFor(["reports:read"])).toEqual([])
    expect(kindsFor(["servers:read", "groups:read"])).toEqual(["inventory"])
  })

  it("says what became of the e-mail, and what to do", () => {
    const mail = {
      state: "failed",
      to: ["ada@example.com"],
      attempts: 3,
      problem: "550 no",
      nextAttemptAt: null
    } as const
    expect(mailWords(mail)).toBe("Not sent to ada@example.com: 550 no. Download the files, and check the mail server.")
    expect(mailWords({ ...mail, state: "sent", problem: null, to: ["a@x.org", "b@x.org"] })).toBe("Sent to 2 addresses")
  })
})

describe("a table of a report", () => {
  const table: ReportTable = {
    id: "servers",
    title: "Servers",
    columns: [
      { id: "server", label: "Server", unit: "text" },
      { id: "latency", label: "Latency", unit: "milliseconds" }
    ],
    rows: [
      ["fra-10", 12],
      ["fra-2", null],
      ["ams-1", 90]
    ],
    total: 3
  }
  const names = (column: string, down: boolean) =>
    sorted(table, { table: "servers", column, down }).map(([name]) => name)

  it("sorts numbers as numbers, and what is unknown last, both ways", () => {
    expect(names("latency", true)).toEqual(["ams-1", "fra-10", "fra-2"])
    expect(names("latency", false)).toEqual(["fra-10", "ams-1", "fra-2"])
    expect(names("server", false)).toEqual(["ams-1", "fra-2", "fra-10"])
    expect(sorted(table, { table: "others", column: "server", down: true })).toBe(table.rows)
  })

  it("turns round at the second click, and is as it came at the third", () => {
    const first = nextSort("servers", "latency", true, null)
    expect(first).toEqual({ table: "servers", column: "latency", down: true })
    const second = nextSort("servers", "latency", true, first)
    expect(second).toMatchObject({ down: false })
    expect(nextSort("servers", "latency", true, second)).toBeNull()
    expect(nextSort("servers", "server", false, second)).toEqual({ table: "servers", column: "server", down: false })
  })
})
