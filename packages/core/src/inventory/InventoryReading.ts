/** A file as rows: what each says, and in which line. Whether it makes sense is not looked at here. */
import { Readable } from "node:stream"
import { finished } from "node:stream/promises"
import { setImmediate } from "node:timers/promises"
import {
  InventoryDocument,
  type InventoryFormat,
  InventoryKind,
  InventoryTooLarge,
  inventoryVersion,
  maxInventory
} from "@broker/domain/Inventory"
import { CsvError, parse } from "csv-parse"
import { Effect, Option, Predicate, Schema } from "effect"
import * as Cells from "./InventoryCells.ts"
import { type Column, columns, fieldOf, isColumn, isField } from "./InventoryColumns.ts"

export interface Row {
  readonly kind: InventoryKind
  /** Where it begins, from 1 on. */
  readonly line: number
  /** By the fields of the document; what is left out is not there. */
  readonly values: Readonly<Record<string, unknown>>
}

export interface Remark {
  readonly line: number
  /** By the fields of the document. */
  readonly field: string | null
  readonly message: string
}

interface File {
  readonly rows: ReadonlyArray<Row>
  readonly problems: ReadonlyArray<Remark>
}

/** What is not JSON, not CSV, or not an inventory at all. */
const unreadable = (line: number, message: string, field: string | null = null): File => ({
  rows: [],
  problems: [{ line, field, message }]
})

const kinds: ReadonlyMap<string, InventoryKind> = new Map([
  ["groups", "group"],
  ["servers", "server"]
])

/** How deep a document of an inventory goes, and as deep again. */
const maxDepth = 12

const isSpace = (code: number) => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

/**
 * In which line each key of the document stands, and each thing of its arrays: `JSON.parse` does not tell, nor whether a
 * key is there twice. For text that it has read, so that strings, brackets and commas are all there is to look at.
 */
const linesOf = (text: string) => {
  const keys = new Map<string, number>()
  const items = new Map<string, Array<number>>()
  const twice: Array<Remark> = []
  let tooDeep: number | undefined
  let [line, depth, key, begins] = [1, 0, "", false]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x0a) line++
    if (isSpace(code)) continue
    const character = text[at]
    if (begins && depth === 2 && character !== "]") {
      const known = items.get(key)
      if (known === undefined) items.set(key, [line])
      else known.push(line)
      begins = false
    }
    if (character === '"') {
      const start = at++
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1
      if (depth !== 1) continue
      let after = at + 1
      while (isSpace(text.charCodeAt(after))) after++
      if (text[after] !== ":") continue
      key = JSON.parse(text.slice(start, at + 1))
      const other = keys.get(key)
      if (other === undefined) keys.set(key, line)
      else twice.push({ line, field: key, message: `is in line ${other} already` })
    } else if (character === "{" || character === "[") {
      depth++
      if (depth === 2) begins = true
      if (depth > maxDepth) tooDeep ??= line
    } else if (character === "}" || character === "]") depth--
    else if (character === "," && depth === 2) begins = true
  }
  return { keys, items, twice, tooDeep }
}

const parsed = (text: string) => {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    const { message } = error as SyntaxError
    const [, position = "0"] = /at position (\d+)/.exec(message) ?? []
    const cut = /Unexpected end/.test(message) ? text : text.slice(0, Number(position))
    return { line: cut.split("\n").length }
  }
}

const readJson = Effect.fnUntraced(function* (text: string) {
  const document = parsed(text)
  if ("line" in document) return unreadable(document.line, "This is not JSON: something is missing or too much here.")
  const { value } = document
  const { items, keys, tooDeep, twice } = linesOf(text)
  if (tooDeep !== undefined) return unreadable(tooDeep, "Nothing in an inventory is nested so deep.")
  if (!Predicate.isReadonlyObject(value) || Array.isArray(value)) {
    return unreadable(1, "The file must be an object with `groups` and `servers`, as an export writes it.")
  }
  const lineOf = (key: string) => keys.get(key) ?? 1
  if (value["format"] !== "broker-inventory" || value["version"] !== inventoryVersion) {
    const field = value["format"] === "broker-inventory" ? "version" : "format"
    return unreadable(
      lineOf(field),
      `must be ${field === "format" ? '"broker-inventory"' : inventoryVersion}: this broker reads no other`,
      field
    )
  }
  // Of two, `JSON.parse` takes the later one: half of the file would be left out.
  if (twice.length > 0) return { rows: [], problems: twice }
  const rows: Array<Row> = []
  const problems: Array<Remark> = []
  for (const [key, list] of Object.entries(value)) {
    const kind = kinds.get(key)
    if (kind === undefined) {
      if (Object.hasOwn(InventoryDocument.fields, key) || key === "$schema") continue
      problems.push({
        line: lineOf(key),
        field: key,
        message: "is not part of an inventory; there are groups and servers"
      })
      continue
    }
    if (!Array.isArray(list)) {
      problems.push({ line: lineOf(key), field: key, message: "must be an array" })
      continue
    }
    if (rows.length + list.length > maxInventory.rows) return yield* new InventoryTooLarge()
    for (const [at, item] of list.entries()) {
      const line = items.get(key)?.[at] ?? lineOf(key)
      if (!Predicate.isReadonlyObject(item) || Array.isArray(item)) {
        problems.push({ line, field: null, message: `A ${kind} must be an object.` })
        continue
      }
      const values: Record<string, unknown> = Object.fromEntries(Object.entries(item))
      for (const field of Object.keys(values).filter((name) => !isField(kind, name))) {
        problems.push({ line, field, message: `is nothing that a ${kind} has` })
      }
      rows.push({ kind, line, values })
    }
  }
  return { rows, problems }
})

/** What stands in a cell, as the document would have it; undefined for what is left out. */
const readCell = (column: Column, text: string): unknown => {
  switch (column) {
    case "id":
    case "name":
      return text === "" ? undefined : text
    case "tags":
      return Cells.readTags(text)
    case "labels":
      return Option.getOrElse(Cells.readLabels(text), () => text)
    case "connectionLimit":
    case "heartbeatIntervalSeconds":
    case "verificationPeriodSeconds":
      return Cells.readNumber(text)
    default:
      return text
  }
}

/** Nothing stands for a column that there is none of. */
type Header = ReadonlyArray<Column | undefined>

const isKind = Schema.is(InventoryKind)

const readRow = (
  header: Header,
  cells: ReadonlyArray<string>,
  line: number
): { readonly row: Row | undefined; readonly problems: ReadonlyArray<Remark> } => {
  const kind = cells[header.indexOf("kind")]?.toLowerCase() ?? ""
  if (!isKind(kind)) {
    return { row: undefined, problems: [{ line, field: "kind", message: "must be group or server" }] }
  }
  const values: Record<string, unknown> = {}
  const problems: Array<Remark> = []
  for (const [at, column] of header.entries()) {
    const text = cells[at] ?? ""
    if (column === undefined || column === "kind") continue
    const field = fieldOf(kind, column)
    if (!isField(kind, field)) {
      if (text !== "") problems.push({ line, field, message: `is nothing that a ${kind} has: leave the cell empty` })
      continue
    }
    const value = readCell(column, text)
    if (value !== undefined) values[field] = value
  }
  return { row: { kind, line, values }, problems }
}

/** Spreadsheets of some countries separate by semicolons, and what is copied from one by tabs. */
const delimiterOf = (text: string) => {
  const [head = ""] = /^[^\r\n]{0,10000}/.exec(text) ?? []
  return [",", ";", "\t"].toSorted((a, b) => head.split(b).length - head.split(a).length)[0] ?? ","
}

const readHeader = (cells: ReadonlyArray<string>, line: number) => {
  const problems: Array<Remark> = []
  const header = cells.map((name, at) => {
    if (!isColumn(name)) {
      const message = `is no column of an inventory; there are ${columns.join(", ")}`
      problems.push(
        name === "" ? { line, field: null, message: "A column has no name." } : { line, field: name, message }
      )
      return undefined
    }
    if (cells.indexOf(name) < at) problems.push({ line, field: name, message: "is there twice" })
    return name
  })
  if (!header.includes("kind")) {
    problems.push({
      line,
      field: "kind",
      message: "is missing: the first line names the columns, and kind says what a row is"
    })
  }
  return { header, problems }
}

const plainCell = (cell: string) => Cells.unguard(cell.trim()).trim()

const chunkSize = 65_536

/** Others get their turn between them. In bytes: of a character of two halves that is cut between them nothing is left. */
async function* chunks(text: string) {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += chunkSize) {
    yield bytes.subarray(at, at + chunkSize)
    await setImmediate()
  }
}

const readCsv = Effect.fnUntraced(function* (text: string) {
  const rows: Array<Row> = []
  const problems: Array<Remark> = []
  let header: Header | undefined
  let begins = 1
  let seen = 0
  const take = (cells: ReadonlyArray<string>, ends: number) => {
    const line = begins
    begins = ends + 1
    // Spreadsheets leave such behind.
    if (cells.every((cell) => cell === "")) return
    if (header === undefined) {
      const read = readHeader(cells, line)
      header = read.header
      problems.push(...read.problems)
      return
    }
    seen++
    if (cells.slice(header.length).some((cell) => cell !== "")) {
      problems.push({ line, field: null, message: "There are more cells than columns: is something not quoted?" })
      return
    }
    const read = readRow(header, cells, line)
    problems.push(...read.problems)
    if (read.row !== undefined) rows.push(read.row)
  }
  // All that follows would be as wrong, or is too much: rows that say nothing count as well.
  const isOver = () => header?.includes("kind") === false || seen > maxInventory.rows
  const failure = yield* Effect.promise(async () => {
    const records = parse({
      bom: true,
      delimiter: delimiterOf(text),
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      max_record_size: 100_000,
      on_record: (cells, { lines }) => {
        if (!isOver()) take(cells.map(plainCell), lines)
        return null
      }
    })
    try {
      await finished(Readable.from(chunks(text)).pipe(records).resume())
      return undefined
    } catch (error) {
      if (error instanceof CsvError) return error
      throw error
    }
  })
  if (seen > maxInventory.rows) return yield* new InventoryTooLarge()
  if (failure !== undefined) {
    problems.push({
      line: begins,
      field: null,
      message: "This row is not CSV: look for a quote that is not closed, or too many."
    })
  }
  if (header === undefined && problems.length === 0) {
    return unreadable(1, "The file is empty: its first line names the columns, as an export writes it.")
  }
  return { rows, problems }
})

export const read = (format: InventoryFormat, text: string): Effect.Effect<File, InventoryTooLarge> => {
  // A character has three bytes at most, and only what may be too large is counted.
  if (text.length * 3 > maxInventory.bytes && Buffer.byteLength(text) > maxInventory.bytes)
    return new InventoryTooLarge()
  const read = format === "json" ? readJson(text.replace(/^\uFEFF/, "")) : readCsv(text)
  return Effect.withSpan(read, "Inventory.read")
}
