import * as ReportPeriod from "@broker/core/reports/ReportPeriod"
import { changeOf, numberWords, spanWords } from "@broker/core/reports/ReportWords"
import { nextSlot, type ReportRange, ReportSchedule } from "@broker/domain/Report"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option, Schema } from "effect"

const at = (text: string) => DateTime.makeUnsafe(text)

const resolve = (range: ReportRange, timeZone: string, asOf: string) => {
  const { from, previous, step, to } = ReportPeriod.resolve({ range, timeZone, compare: true }, at(asOf))
  const iso = (at: DateTime.Utc | undefined) => (at === undefined ? null : DateTime.formatIso(at).slice(0, 16))
  return [iso(from), iso(to), iso(previous?.from), step]
}

describe("ReportPeriod", () => {
  it("C7 days begin at midnight of the zone, also where one lasts 23 or 25 hours, or begins late", () => {
    const yesterday = { kind: "named", name: "yesterday" } as const
    // Berlin's clocks went back on 25 October, and forth on 28 March.
    assert.deepStrictEqual(resolve(yesterday, "Europe/Berlin", "2026-10-26T05:00:00Z"), [
      "2026-10-24T22:00",
      "2026-10-25T23:00",
      "2026-10-23T22:00",
      "hour"
    ])
    assert.deepStrictEqual(resolve(yesterday, "Europe/Berlin", "2027-03-29T05:00:00Z"), [
      "2027-03-27T23:00",
      "2027-03-28T22:00",
      "2027-03-26T23:00",
      "hour"
    ])
    // Cairo skips midnight: its day begins at one o'clock.
    assert.deepStrictEqual(resolve(yesterday, "Africa/Cairo", "2026-04-25T09:00:00Z"), [
      "2026-04-23T22:00",
      "2026-04-24T21:00",
      "2026-04-22T22:00",
      "hour"
    ])
    assert.deepStrictEqual(resolve({ kind: "days", days: 7 }, "Asia/Kathmandu", "2026-11-22T18:30:00Z"), [
      "2026-11-15T18:15",
      "2026-11-22T18:15",
      "2026-11-08T18:15",
      "day"
    ])
  })

  it("weeks begin on Mondays, months on their first, and what is compared has as many days", () => {
    const week = { kind: "named", name: "last_week" } as const
    for (const day of ["2026-11-23T00:00:00Z", "2026-11-25T12:00:00Z", "2026-11-29T23:59:59Z"]) {
      assert.deepStrictEqual(resolve(week, "UTC", day), [
        "2026-11-16T00:00",
        "2026-11-23T00:00",
        "2026-11-09T00:00",
        "day"
      ])
    }
    const month = { kind: "named", name: "last_month" } as const
    assert.deepStrictEqual(resolve(month, "UTC", "2027-03-31T12:00:00Z"), [
      "2027-02-01T00:00",
      "2027-03-01T00:00",
      "2027-01-04T00:00",
      "day"
    ])
    assert.deepStrictEqual(resolve(month, "Europe/Berlin", "2027-01-01T00:00:00Z"), [
      "2026-11-30T23:00",
      "2026-12-31T23:00",
      "2026-10-30T23:00",
      "day"
    ])
  })

  it("two instants are widened to quarters of an hour, and what is compared is as long", () => {
    const range = { kind: "between", from: at("2026-11-01T10:07:00Z"), to: at("2026-11-01T12:01:00Z") } as const
    assert.deepStrictEqual(resolve(range, "UTC", "2026-11-22T00:00:00Z"), [
      "2026-11-01T10:00",
      "2026-11-01T12:15",
      "2026-11-01T07:45",
      "hour"
    ])
  })

  it("a slot that the clock skips comes after it, and one that it repeats comes once", () => {
    const slots = (cron: string, timeZone: string, after: string, count: number) => {
      const found: Array<string> = []
      let last = at(after)
      while (found.length < count) {
        const slot = nextSlot({ cron, timeZone }, last)
        if (Option.isNone(slot)) break
        last = slot.value
        found.push(DateTime.formatIso(last).slice(0, 16))
      }
      return found
    }
    assert.deepStrictEqual(slots("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2), [
      "2026-10-25T00:30",
      "2026-10-26T01:30"
    ])
    assert.strictEqual(slots("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 1)[0]?.slice(0, 10), "2027-03-28")
    // Days that never come are known without looking for them, however often somebody types.
    const began = performance.now()
    for (const cron of ["0 7 30 2 *", "0 7 31 4,6 *", "0 7 30,31 2 *"]) {
      for (let times = 0; times < 10; times += 1) {
        assert.deepStrictEqual(slots(cron, "UTC", "2026-11-22T00:00:00Z", 1), [], cron)
      }
    }
    assert.isBelow(performance.now() - began, 1_000)
    assert.deepStrictEqual(slots("0 7 29 2 *", "UTC", "2026-11-22T00:00:00Z", 1), ["2028-02-29T07:00"])
    assert.deepStrictEqual(slots("0 7 30 2 1", "UTC", "2026-11-22T00:00:00Z", 1), ["2027-02-01T07:00"])
    const isSchedule = Schema.is(ReportSchedule)
    assert.isTrue(isSchedule({ cron: "0 7 * * 1", timeZone: "Europe/Berlin" }))
    for (const cron of ["", "0 7 * *", "* * * * * *", "0 25 * * *", "@daily"]) {
      assert.isFalse(isSchedule({ cron, timeZone: "UTC" }), cron)
    }
  })

  it("values are read as people write them, and what became of them is told in words", () => {
    assert.deepStrictEqual(
      [
        numberWords(null, "count"),
        numberWords(1_234_567, "count"),
        numberWords(0.9999, "share"),
        numberWords(0.999_999, "share"),
        numberWords(0.5, "share"),
        numberWords(1, "share"),
        numberWords(93_784, "seconds"),
        numberWords(59, "seconds"),
        numberWords(2_684_354_560, "bytes_per_second"),
        numberWords(7.25, "milliseconds")
      ],
      ["–", "1,234,567", "99.99 %", "99.99+ %", "50 %", "100 %", "1 d 2 h", "59 s", "2.5 GiB/s", "7.3 ms"]
    )
    const change = (value: number | null, previous: number | null, unit: "count" | "share" = "count") =>
      changeOf({ id: "a", label: "A", unit, value, previous, better: "more" })
    assert.deepStrictEqual(change(112, 100), { words: "12 % more", direction: "up", news: "good" })
    assert.deepStrictEqual(change(0.98, 0.995, "share"), { words: "1.50 points less", direction: "down", news: "bad" })
    assert.deepStrictEqual(change(3, 0), { words: "none before", direction: "up", news: "good" })
    assert.isNull(change(null, 1))
    assert.strictEqual(
      spanWords({ from: at("2026-10-31T23:00:00Z"), to: at("2026-11-30T23:00:00Z") }, "Europe/Berlin"),
      "1–30 November 2026"
    )
  })
})
