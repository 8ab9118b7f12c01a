/** Reports in words: what each kind tells, how values of each unit are written, and how they changed. */
import type { Permission } from "@broker/domain/Permission"
import {
  type ReportKind as Kind,
  type ReportCell,
  type ReportData,
  type ReportFigure,
  type ReportFormat,
  ReportKind,
  type ReportRun,
  type ReportRunState,
  type ReportUnit,
  reportNeeds
} from "@broker/domain/Report"
import { bytes, count, milliseconds, plural } from "#lib/numbers.ts"
import type { Tone } from "#lib/status.ts"
import { dated, duration, second } from "#lib/time.ts"

export const kinds: Record<Kind, { readonly word: string; readonly meaning: string }> = {
  usage: { word: "Usage", meaning: "Connections, users, time and bytes: who used the fleet, and how much." },
  performance: { word: "Performance", meaning: "Latency, loss and throughput, and how servers proved themselves." },
  health: { word: "Health", meaning: "Availability, outages and flaps: how well servers stood." },
  inventory: { word: "Inventory", meaning: "Which servers there are, where, in which versions and groups." }
}

/** The kinds that one may see. */
export const kindsFor = (permissions: ReadonlyArray<Permission>): ReadonlyArray<Kind> =>
  ReportKind.literals.filter((kind) => reportNeeds[kind].every((permission) => permissions.includes(permission)))

export const formats: Record<ReportFormat, { readonly word: string; readonly meaning: string }> = {
  pdf: { word: "PDF", meaning: "For people: figures, charts and the first rows of each table." },
  csv: { word: "CSV", meaning: "For spreadsheets: every row." },
  json: { word: "JSON", meaning: "For programs: everything, exact." }
}

export const runStates: Record<
  ReportRunState,
  { readonly word: string; readonly tone: Tone; readonly meaning: string }
> = {
  waiting: { word: "Waiting", tone: "info", meaning: "It is made as soon as a broker has time." },
  running: { word: "Being made", tone: "info", meaning: "A broker is making it." },
  done: { word: "Done", tone: "ok", meaning: "Its files can be downloaded." },
  failed: { word: "Failed", tone: "bad", meaning: "It could not be made." }
}

export const isOver = (state: ReportRunState) => state === "done" || state === "failed"

/** Whether more of a run is to be told soon: that it is made, or that it was sent. */
export const isUnderWay = ({ mail, state }: Pick<ReportRun, "mail" | "state">) =>
  !isOver(state) || (mail?.state === "waiting" && mail.attempts < 2)

/** What became of the e-mail of a run. */
export const mailWords = ({ attempts, problem, state, to }: NonNullable<ReportRun["mail"]>) => {
  const whom = to.length === 1 ? (to[0] ?? "") : plural(to.length, "address", "addresses")
  const why = problem === null ? "" : `: ${problem}`
  switch (state) {
    case "sent":
      return `Sent to ${whom}`
    case "failed":
      return `Not sent to ${whom}${why}. Download the files, and check the mail server.`
    case "waiting":
      return attempts === 0 ? `Being sent to ${whom}` : `Not sent to ${whom} yet${why}. It is tried again.`
  }
}

const trimmed = (value: number) => count(Number(value.toFixed(value !== 0 && Math.abs(value) < 10 ? 2 : 1)))

/** A share of 1 as percent; what is not quite all never reads as all. */
const share = (value: number) => {
  const percent = value * 100
  const digits = percent > 99 && percent < 100 ? 3 : 1
  const rounded = Number(percent.toFixed(digits))
  return `${rounded === 100 && percent < 100 ? "99.999" : rounded} %`
}

/** A sum of time: in hours where it has some, as days would hide that it is that of many. */
const length = (value: number) => {
  const hours = value / 3_600
  if (hours >= 1) return `${hours < 10 ? Number(hours.toFixed(1)) : count(Math.round(hours))} h`
  return value > 0 && value < 1 ? "< 1 s" : duration(value * second)
}

const writers: Record<Exclude<ReportUnit, "text" | "time">, (value: number) => string> = {
  count: trimmed,
  bytes,
  bytes_per_second: (value) => `${bytes(value)}/s`,
  seconds: length,
  milliseconds,
  share
}

export const isNumeric = (unit: ReportUnit) => unit !== "text" && unit !== "time"

/** Whether values of steps add up to that of the whole. */
export const isSummed = (unit: ReportUnit) => unit === "count" || unit === "bytes" || unit === "seconds"

/** A number of a unit. */
export const amount = (value: number, unit: ReportUnit) =>
  unit === "text" || unit === "time" ? String(value) : writers[unit](value)

/** Whether there is nothing in it at all. */
export const isNothing = ({ figures, notes, series }: Pick<ReportData, "figures" | "notes" | "series">) =>
  notes.length === 0 &&
  figures.every(({ previous, value }) => !value && !previous) &&
  series.every(({ points }) => points.every(({ previous, value }) => !value && !previous))

/** A cell of a table. */
export const cellWords = (cell: ReportCell, unit: ReportUnit, momentOf: (at: number) => string = dated) => {
  if (cell === null || cell === "") return "–"
  if (typeof cell === "number") return amount(cell, unit)
  const at = unit === "time" ? Date.parse(cell) : Number.NaN
  return Number.isNaN(at) ? cell : momentOf(at)
}

export interface Change {
  readonly direction: "up" | "down" | "same" | "unknown"
  readonly words: string
  /** Whether that is good news. */
  readonly news: "good" | "bad" | "neither"
}

const newsOf = ({ better }: Pick<ReportFigure, "better">, direction: "up" | "down"): Change["news"] => {
  if (better === "neither") return "neither"
  return (better === "more") === (direction === "up") ? "good" : "bad"
}

/** How a figure moved since the time before; null where there is nothing to hold it against. */
export const changeOf = (figure: Pick<ReportFigure, "better" | "previous" | "unit" | "value">): Change | null => {
  const { previous, unit, value } = figure
  if (previous === null) return null
  if (value === null) return { direction: "unknown", words: "nothing now", news: "neither" }
  const difference = value - previous
  const direction = difference > 0 ? "up" : "down"
  const news = newsOf(figure, direction)
  if (unit === "share") {
    // Of shares, the difference is told in points: from 98 to 99 % is not 1 % more.
    const points = Math.abs(difference) * 100
    if (points < 0.0005) return { direction: "same", words: "as before", news: "neither" }
    const told = points < 0.1 ? points.toFixed(3) : points.toFixed(1)
    return { direction, words: `${told} points ${direction === "up" ? "more" : "less"}`, news }
  }
  if (previous === 0) {
    if (value === 0) return { direction: "same", words: "none before either", news: "neither" }
    return { direction: "up", words: "none before", news: "neither" }
  }
  const change = Math.abs(difference / previous) * 100
  if (change < 0.5) return { direction: "same", words: "as before", news: "neither" }
  if (change >= 1_000) return { direction, words: `${count(Math.round(value / previous))} times as much`, news }
  return { direction, words: `${Math.round(change)} % ${direction === "up" ? "more" : "less"}`, news }
}
