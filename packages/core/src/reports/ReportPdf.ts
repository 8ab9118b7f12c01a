/**
 * A report as a PDF: a title, the figures with what became of them, charts, and tables whose heads come again on each
 * page. Tagged for screen readers. It holds no time of its making, so that the same data give the same bytes (W4).
 */
import type { ReportData, ReportFigure, ReportTable } from "@broker/domain/Report"
import { DateTime, Stream } from "effect"
import PDFDocument from "pdfkit"
import { type Box, chartWords, drawChart, type Palette } from "./PdfChart.ts"
import { PdfText } from "./PdfText.ts"
import { cellWords, changeOf, count, numberWords, spanWords } from "./ReportWords.ts"

/** Those of the dashboard's light theme. */
const colors = {
  ink: "#141b21",
  second: "#434e57",
  quiet: "#5d6871",
  line: "#dfe3e6",
  accent: "#00706c",
  before: "#8b959d",
  good: "#0b7443",
  bad: "#b8232b",
  white: "#ffffff"
} as const

const palette: Palette = {
  ink: colors.ink,
  quiet: colors.quiet,
  line: colors.line,
  accent: colors.accent,
  before: colors.before,
  paper: colors.white
}

const page = { width: 595.28, height: 841.89, margin: 44, foot: 40 }
const inner = page.width - 2 * page.margin
const bottom = page.height - page.margin - 8
const gap = 14

/** A table's text, its lines, and what is around it. */
const cell = { size: 7.5, leading: 9.5, pad: 3.5, side: 4 }

interface Layout {
  readonly document: PDFKit.PDFDocument
  readonly text: PdfText
  readonly root: PDFKit.PDFStructureElement
  y: number
}

/** Draws something that means something, as that. */
const tag = (
  { document }: Layout,
  parent: PDFKit.PDFStructureElement,
  type: string,
  draw: () => void,
  alt?: string
) => {
  const content = document.markStructureContent(type)
  draw()
  document.endMarkedContent()
  parent.add(document.struct(type, alt === undefined ? {} : { alt }, [content]))
}

/** Draws what is only there to be looked at. */
const adorn = ({ document }: Layout, draw: () => void) => {
  document.markContent("Artifact", { type: "Layout" })
  draw()
  document.endMarkedContent()
}

const breakPage = (layout: Layout) => {
  layout.document.addPage()
  layout.y = page.margin
}

/** Goes on on the next page where there is no room left. */
const room = (layout: Layout, height: number) => {
  if (layout.y + height > bottom) breakPage(layout)
}

const drawTitle = (layout: Layout, data: ReportData, name: string) => {
  const { document, root, text } = layout
  adorn(layout, () => document.rect(0, 0, page.width, 6).fill(colors.accent))
  layout.y = page.margin + 6
  const kicker = name === data.title ? "Report" : data.title
  tag(layout, root, "P", () => {
    text.write("Broker", page.margin, layout.y, { size: 9, weight: "strong", color: colors.accent })
    text.writeRight(kicker, page.width - page.margin, layout.y, { size: 9, color: colors.quiet })
  })
  layout.y += 34
  const style = { size: 24, weight: "strong", color: colors.ink } as const
  const lines = text.wrap(name, inner, style)
  tag(layout, root, "H1", () => {
    for (const [index, line] of lines.entries()) text.write(line, page.margin, layout.y + index * 28, style)
  })
  layout.y += (lines.length - 1) * 28 + 20
  const facts = [
    `${spanWords(data, data.timeZone)}${data.complete ? "" : ", so far"}`,
    data.group === null ? "The whole organization" : `Group ${data.group} and below`,
    `Days in ${data.timeZone}`,
    ...(data.previous === null ? [] : [`compared with ${spanWords(data.previous, data.timeZone)}`])
  ]
  for (const [index, fact] of facts.entries()) {
    const style = { size: index === 0 ? 11 : 9, color: index === 0 ? colors.ink : colors.second }
    for (const line of text.wrap(fact, inner, style)) {
      tag(layout, root, "P", () => text.write(line, page.margin, layout.y, style))
      layout.y += index === 0 ? 15 : 12.5
    }
  }
  if (!data.complete) {
    const note = "Not all of this time is over and counted: made again, the report may say more."
    tag(layout, root, "P", () => text.write(note, page.margin, layout.y, { size: 9, color: colors.bad }))
    layout.y += 12.5
  }
  for (const note of data.notes) {
    const style = { size: 9, color: colors.second }
    for (const line of text.wrap(note, inner, style)) {
      tag(layout, root, "P", () => text.write(line, page.margin, layout.y, style))
      layout.y += 12.5
    }
  }
  layout.y += 6
}

/** Points up for more, down for less: never by colour alone. */
const arrow = ({ document }: Layout, direction: "up" | "down" | "none", x: number, y: number, color: string) => {
  if (direction === "up") document.polygon([x, y], [x + 5, y], [x + 2.5, y - 4.5]).fill(color)
  if (direction === "down") document.polygon([x, y - 4.5], [x + 5, y - 4.5], [x + 2.5, y]).fill(color)
}

const drawFigure = (layout: Layout, section: PDFKit.PDFStructureElement, figure: ReportFigure, box: Box) => {
  const { document, text } = layout
  adorn(layout, () =>
    document.roundedRect(box.x, box.y, box.width, box.height, 5).lineWidth(0.7).strokeColor(colors.line).stroke()
  )
  const left = box.x + 9
  const wide = box.width - 18
  tag(layout, section, "P", () => {
    const style = { size: 7.5, color: colors.quiet }
    for (const [index, line] of text.wrap(figure.label, wide, style).slice(0, 2).entries()) {
      text.write(line, left, box.y + 14 + index * 9, style)
    }
    const value = numberWords(figure.value, figure.unit)
    const size = [17, 15, 13, 11].find((size) => text.width(value, { size, weight: "strong" }) <= wide) ?? 9
    text.write(value, left, box.y + 42, { size, weight: "strong", color: colors.ink })
    const change = changeOf(figure)
    if (change !== null) {
      const color = { good: colors.good, bad: colors.bad, neither: colors.second }[change.news]
      arrow(layout, change.direction, left, box.y + 54.5, color)
      const from = change.direction === "none" ? left : left + 8
      text.write(change.words, from, box.y + 54.5, { size: 7.5, color })
    }
  })
}

const drawFigures = (layout: Layout, data: ReportData) => {
  if (data.figures.length === 0) return
  const columns = 4
  const width = (inner - gap * 0.6 * (columns - 1)) / columns
  const height = 63
  const section = layout.document.struct("Sect")
  layout.root.add(section)
  for (const [index, figure] of data.figures.entries()) {
    const column = index % columns
    if (column === 0) room(layout, height)
    drawFigure(layout, section, figure, { x: page.margin + column * (width + gap * 0.6), y: layout.y, width, height })
    if (column === columns - 1 || index === data.figures.length - 1) layout.y += height + gap * 0.6
  }
  section.end()
  layout.y += 10
}

const drawKey = (layout: Layout, data: ReportData) => {
  if (data.previous === null) return
  const { document, root, text } = layout
  const words = `the time before, ${spanWords(data.previous, data.timeZone)}`
  tag(layout, root, "P", () => {
    document
      .dash(2, { space: 2 })
      .moveTo(page.margin, layout.y - 2.5)
      .lineTo(page.margin + 16, layout.y - 2.5)
    document.lineWidth(0.9).strokeColor(colors.before).stroke().undash()
    text.write(words, page.margin + 21, layout.y, { size: 7.5, color: colors.quiet })
  })
  layout.y += 10
}

const drawCharts = (layout: Layout, data: ReportData) => {
  const { document, root, text } = layout
  const columns = 2
  const width = (inner - gap * 1.6) / columns
  const height = 118
  if (data.series.length > 0) room(layout, height + 12)
  drawKey(layout, data)
  for (const [index, series] of data.series.entries()) {
    const column = index % columns
    if (column === 0) room(layout, height)
    const box = { x: page.margin + column * (width + gap * 1.6), y: layout.y, width, height }
    tag(layout, root, "Figure", () => drawChart(document, text, data, series, box, palette), chartWords(series, data))
    if (column === columns - 1 || index === data.series.length - 1) layout.y += height + gap
  }
}

interface Column {
  readonly label: string
  readonly width: number
  readonly isNumber: boolean
}

const head = { size: cell.size, weight: "strong" } as const

/** No row is higher than a page. */
const mostLines = 40

/** Wider ones are broken into lines. */
const longest = 190

/** Numbers have the room that they need; texts share the rest by theirs. */
const columnsOf = (
  text: PdfText,
  table: ReportTable,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<Column> => {
  const measured = table.columns.map(({ label, unit }, index) => {
    const widest = rows.reduce((most, row) => Math.max(most, text.width(row[index] ?? "", cell)), 0)
    return {
      label,
      isNumber: unit !== "text",
      // The words of a head may stand below each other.
      // A hair wider, as sums of widths are not exact.
      least: Math.max(...label.split(" ").map((word) => text.width(word, head))) + 0.5,
      // One long name makes no column of its own width.
      natural: Math.min(longest, Math.max(widest, text.width(label, head)) + 0.5),
      values: widest + 0.5
    }
  })
  const sides = cell.side * 2
  const fixed = measured.map(({ isNumber, least, values }) => (isNumber ? Math.max(values, least) + sides : 0))
  const left = inner - fixed.reduce((sum, width) => sum + width, 0)
  const texts = measured.filter(({ isNumber }) => !isNumber)
  const wanted = texts.reduce((sum, { natural }) => sum + natural + sides, 0)
  const leastOf = Math.min(48, left / Math.max(1, texts.length))
  const spare = Math.max(0, left - leastOf * texts.length)
  const over = texts.reduce((sum, { natural }) => sum + Math.max(0, natural + sides - leastOf), 0)
  const extra = texts.length === 0 || wanted >= left ? 0 : (left - wanted) / texts.length
  return measured.map(({ isNumber, label, natural }, index) => ({
    label,
    isNumber,
    width: isNumber
      ? (fixed[index] ?? 0) + (texts.length === 0 ? left / measured.length : 0)
      : wanted < left
        ? natural + sides + extra
        : leastOf + (over === 0 ? 0 : (spare * Math.max(0, natural + sides - leastOf)) / over)
  }))
}

interface TableRow {
  readonly cells: ReadonlyArray<ReadonlyArray<string>>
  readonly height: number
}

const rowOf = (
  text: PdfText,
  columns: ReadonlyArray<Column>,
  cells: ReadonlyArray<string>,
  weight: "regular" | "strong"
): TableRow => {
  const wrapped = columns.map(({ width }, index) => {
    const lines = text.wrap(cells[index] ?? "", width - cell.side * 2, { size: cell.size, weight })
    return lines.length > mostLines ? [...lines.slice(0, mostLines), "…"] : lines
  })
  return { cells: wrapped, height: Math.max(...wrapped.map((lines) => lines.length)) * cell.leading + cell.pad * 2 }
}

const drawRow = (
  layout: Layout,
  parent: PDFKit.PDFStructureElement | null,
  columns: ReadonlyArray<Column>,
  row: TableRow,
  isHead: boolean
) => {
  const { document, text } = layout
  const style = {
    size: cell.size,
    weight: isHead ? "strong" : "regular",
    color: isHead ? colors.second : colors.ink
  } as const
  const element = parent === null ? null : document.struct("TR")
  if (parent !== null && element !== null) parent.add(element)
  let x = page.margin
  for (const [index, { isNumber, width }] of columns.entries()) {
    const from = x
    const draw = () => {
      for (const [at, line] of (row.cells[index] ?? []).entries()) {
        const baseline = layout.y + cell.pad + cell.size * 0.95 + at * cell.leading
        if (isNumber) text.writeRight(line, from + width - cell.side, baseline, style)
        else text.write(line, from + cell.side, baseline, style)
      }
    }
    if (element === null) adorn(layout, draw)
    else tag(layout, element, isHead ? "TH" : "TD", draw)
    x += width
  }
  element?.end()
  layout.y += row.height
  adorn(layout, () =>
    document
      .moveTo(page.margin, layout.y)
      .lineTo(page.margin + inner, layout.y)
      .lineWidth(isHead ? 0.8 : 0.4)
      .strokeColor(isHead ? colors.before : colors.line)
      .stroke()
  )
}

const drawTable = (layout: Layout, data: ReportData, table: ReportTable) => {
  const { document, root, text } = layout
  const words = table.rows.map((row) =>
    row.map((value, at) => cellWords(value, table.columns[at]?.unit ?? "text", data.timeZone))
  )
  const columns = columnsOf(text, table, words)
  const heading = rowOf(
    text,
    columns,
    table.columns.map(({ label }) => label),
    "strong"
  )
  const rows = words.map((cells) => rowOf(text, columns, cells, "regular"))
  room(layout, 26 + heading.height + (rows[0]?.height ?? 16) + (rows[1]?.height ?? 0))
  layout.y += 12
  tag(layout, root, "H2", () =>
    text.write(table.title, page.margin, layout.y, { size: 11.5, weight: "strong", color: colors.ink })
  )
  if (table.total > table.rows.length) {
    const told = `${count(table.rows.length)} of ${count(table.total)}`
    tag(layout, root, "P", () =>
      text.writeRight(told, page.width - page.margin, layout.y, { size: 8, color: colors.quiet })
    )
  }
  layout.y += 7
  if (rows.length === 0) {
    layout.y += 9
    tag(layout, root, "P", () =>
      text.write("Nothing to tell.", page.margin, layout.y, { size: 8.5, color: colors.quiet })
    )
    layout.y += 12
    return
  }
  const element = document.struct("Table")
  root.add(element)
  drawRow(layout, element, columns, heading, true)
  for (const row of rows) {
    if (layout.y + row.height > bottom) {
      breakPage(layout)
      drawRow(layout, null, columns, heading, true)
    }
    drawRow(layout, element, columns, row, false)
  }
  element.end()
  if (table.total > table.rows.length) {
    room(layout, 18)
    layout.y += 12
    const more = `and ${count(table.total - table.rows.length)} more, which the CSV and JSON files have`
    tag(layout, root, "P", () => text.write(more, page.margin + cell.side, layout.y, { size: 8, color: colors.quiet }))
    layout.y += 4
  }
  layout.y += 12
}

const drawFeet = (layout: Layout, data: ReportData, name: string) => {
  const { document, text } = layout
  const { count: pages, start } = document.bufferedPageRange()
  const style = { size: 7.5, color: colors.quiet }
  const about = `${spanWords(data, data.timeZone)}${data.complete ? "" : ", so far"}`
  for (let index = 0; index < pages; index += 1) {
    document.switchToPage(start + index)
    document.markContent("Artifact", { type: "Pagination" })
    const baseline = page.height - page.margin + 14
    const number = `${index + 1} of ${pages}`
    const wide = inner - text.width(number, style) - 16
    const [first = "", ...rest] = text.wrap(`${name} · ${about}`, wide, style)
    text.write(
      rest.length === 0
        ? first
        : `${text.wrap(name, wide - text.width(` … · ${about}`, style), style)[0] ?? ""} … · ${about}`,
      page.margin,
      baseline,
      style
    )
    text.writeRight(number, page.width - page.margin, baseline, style)
    document.endMarkedContent()
  }
}

const draw = (data: ReportData, name: string) => {
  const document = new PDFDocument({
    size: [page.width, page.height],
    margin: 0,
    bufferPages: true,
    tagged: true,
    lang: "en",
    displayTitle: true,
    pdfVersion: "1.7",
    info: {
      Title: `${name}, ${spanWords(data, data.timeZone)}`,
      Author: "Broker",
      Subject: `${data.title} of ${data.group ?? "the whole organization"}`,
      // Not when it was made, which is no part of what it says.
      CreationDate: DateTime.toDateUtc(data.to)
    }
  })
  const root = document.struct("Document")
  document.addStructure(root)
  const layout: Layout = { document, text: new PdfText(document), root, y: page.margin }
  drawTitle(layout, data, name)
  drawFigures(layout, data)
  drawCharts(layout, data)
  for (const table of data.tables) drawTable(layout, data, table)
  drawFeet(layout, data, name)
  root.end()
  document.end()
  return document
}

export const render = (data: ReportData, name: string): Stream.Stream<Uint8Array> =>
  Stream.suspend(() => {
    const parts: AsyncIterable<Uint8Array> = draw(data, name)
    return Stream.orDie(Stream.fromAsyncIterable(parts, (cause) => cause))
  })
