/** Charts of a report, drawn in lines and bars: from zero, with the highest value named, and gaps left open. */
import type { ReportData, ReportSeries } from "@broker/domain/Report"
import type { PdfText } from "./PdfText.ts"
import { numberWords, stepWords } from "./ReportWords.ts"

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Palette {
  readonly ink: string
  readonly quiet: string
  readonly line: string
  readonly accent: string
  readonly before: string
  readonly paper: string
}

/** What is counted fills its step; what is measured is a line. */
const isCounted = ({ unit }: ReportSeries) => unit === "count" || unit === "bytes" || unit === "seconds"

const nice = [1, 2, 2.5, 5, 10]

/** The end of a scale in two even steps: round in its unit. */
const topOf = (highest: number, { unit }: ReportSeries) => {
  if (unit === "share" && highest > 0.5) return 1
  if (highest === 0) return unit === "share" ? 0.01 : 2
  const base =
    unit === "bytes" || unit === "bytes_per_second"
      ? 1024 ** Math.floor(Math.log2(Math.max(1, highest)) / 10)
      : unit === "seconds"
        ? highest >= 172_800
          ? 86_400
          : highest >= 7_200
            ? 3_600
            : highest >= 120
              ? 60
              : 1
        : 1
  const scaled = highest / base / 2
  const power = 10 ** Math.floor(Math.log10(scaled))
  const step = (nice.find((each) => each * power >= scaled - 1e-12) ?? 10) * power
  // Half a connection is none.
  return 2 * (unit === "count" ? Math.max(1, Math.ceil(step)) : step) * base
}

const known = (value: number | null): value is number => value !== null

/** In words, for whoever does not see it. */
export const chartWords = (series: ReportSeries, { step, timeZone }: ReportData) => {
  const values = series.points.map(({ value }) => value).filter(known)
  const [first, last] = [series.points[0], series.points.at(-1)]
  if (values.length === 0 || first === undefined || last === undefined) return `${series.label}: nothing was measured.`
  const words = (at: typeof first.at) => stepWords(at, timeZone, step)
  return `${series.label} by the ${step} from ${words(first.at)} to ${words(last.at)}: from ${numberWords(
    Math.min(...values),
    series.unit
  )} to ${numberWords(Math.max(...values), series.unit)}.`
}

const small = 7

export const drawChart = (
  document: PDFKit.PDFDocument,
  text: PdfText,
  data: ReportData,
  series: ReportSeries,
  { height, width, x, y }: Box,
  palette: Palette
) => {
  const { points } = series
  const label = { size: small, color: palette.quiet }
  const values = points.map(({ value }) => value)
  const former = points.map(({ previous }) => previous)
  const highest = Math.max(0, ...values.filter(known), ...former.filter(known))
  const top = topOf(highest, series)
  const grid = [0, top / 2, top]
  const words = grid.map((value) => numberWords(value, series.unit))
  const left = x + Math.max(...words.map((word) => text.width(word, label))) + 6
  const right = x + width
  const plot = { top: y + 22, bottom: y + height - 14 }
  const level = (value: number) => plot.bottom - (value / top) * (plot.bottom - plot.top)

  text.write(series.label, x, y + 8, { size: 8.5, weight: "strong", color: palette.ink })

  for (const [index, value] of grid.entries()) {
    document
      .moveTo(left, level(value))
      .lineTo(right, level(value))
      .lineWidth(0.5)
      .strokeColor(index === 0 ? palette.quiet : palette.line)
      .stroke()
    text.writeRight(words[index] ?? "", left - 5, level(value) + 2.5, label)
  }
  if (!values.some(known) && !former.some(known)) {
    const empty = "Nothing was measured"
    text.write(empty, (left + right - text.width(empty, label)) / 2, (plot.top + plot.bottom) / 2 - 4, label)
  }

  const band = (right - left) / Math.max(1, points.length)
  const middle = (index: number) => left + (index + 0.5) * band
  const line = (all: ReadonlyArray<number | null>, color: string, weight: number, dashed: boolean) => {
    document.lineWidth(weight).strokeColor(color).lineJoin("round").lineCap("round")
    if (dashed) document.dash(2, { space: 2 })
    for (const [index, value] of all.entries()) {
      if (value === null) continue
      const next = all[index + 1]
      if (next != null)
        document
          .moveTo(middle(index), level(value))
          .lineTo(middle(index + 1), level(next))
          .stroke()
      else if (all[index - 1] == null) document.circle(middle(index), level(value), weight).fill(color)
    }
    document.undash()
  }

  if (isCounted(series)) {
    const gap = band > 6 ? Math.min(3, band * 0.2) : band > 2.5 ? 0.6 : 0
    for (const [index, value] of values.entries()) {
      if (value === null || value === 0) continue
      document
        .rect(left + index * band + gap / 2, level(value), Math.max(0.2, band - gap), plot.bottom - level(value))
        .fill(palette.accent)
    }
  } else {
    line(values, palette.accent, 1.3, false)
  }
  // On bars it would be lost without a light one below it.
  if (isCounted(series)) line(former, palette.paper, 2, false)
  line(former, palette.before, 0.9, true)

  // The highest is named where it stands.
  const peak = values.reduce<number>((best, value, index) => ((value ?? -1) > (values[best] ?? -1) ? index : best), 0)
  const peakValue = values[peak] ?? null
  if (peakValue !== null && peakValue > 0) {
    const word = numberWords(peakValue, series.unit)
    const wide = text.width(word, { size: small, weight: "strong" })
    const at = Math.min(right - wide, Math.max(left, middle(peak) - wide / 2))
    text.write(word, at, Math.max(plot.top - 3, level(peakValue) - 3.5), {
      size: small,
      weight: "strong",
      color: palette.ink
    })
  }

  // As many of the words under the axis as do not touch.
  const every = Math.max(1, Math.ceil(44 / band))
  let free = left - 4
  for (let index = 0; index < points.length; index += every) {
    const point = points[index]
    if (point === undefined) continue
    const word = stepWords(point.at, data.timeZone, data.step)
    const wide = text.width(word, label)
    const at = Math.min(right - wide, Math.max(left, middle(index) - wide / 2))
    if (at < free) continue
    text.write(word, at, y + height - 4, label)
    free = at + wide + 6
  }
}
