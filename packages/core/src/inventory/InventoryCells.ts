/** Values as cells of a spreadsheet have them, and back. */
import type { Endpoint } from "@broker/domain/Server"
import { Option, Predicate, Schema } from "effect"

/** W4: spreadsheets take what begins so for a formula. What begins with the guard itself is guarded, to be told apart. */
const dangerous = /^['=+\-@\t\r]/
const guarded = /^'['=+\-@\t\r]/

export const guard = (text: string) => (dangerous.test(text) ? `'${text}` : text)
export const unguard = (text: string) => (guarded.test(text) ? text.slice(1) : text)

/** Separators of other spreadsheets as well. */
const quoted = /[",;\t\r\n]/

const cell = (text: string) => {
  const safe = guard(text)
  return quoted.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export const line = (cells: ReadonlyArray<string>) => `${cells.map(cell).join(",")}\r\n`

const isBare = (value: string) => value !== "" && value === value.trim() && !/[;"\p{Cc}]/u.test(value)

/** `rack=a1; site="north; hall 2"`: what a semicolon or a quote would mix up is a JSON string. */
export const labelsText = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${isBare(value) ? value : JSON.stringify(value)}`)
    .join("; ")

const pair = /\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*?)\s*(?:;|$)/uy

const fromJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.String))

/** None where it is not written so, or names a key twice. */
export const readLabels = (text: string): Option.Option<Readonly<Record<string, string>>> => {
  const labels = new Map<string, string>()
  for (let at = 0; at < text.length; ) {
    pair.lastIndex = at
    const [all = "", key = "", raw = ""] = pair.exec(text) ?? []
    const value = raw.startsWith('"') ? fromJson(raw) : Option.some(raw)
    if (all === "" || labels.has(key) || Option.isNone(value)) return Option.none()
    labels.set(key, value.value)
    at += all.length
  }
  return Option.some(Object.fromEntries(labels))
}

export const readTags = (text: string) => text.split(/[\s,;]+/u).filter((tag) => tag !== "")

/** Whole or decimal; the text itself where it is no number, for the schema to refuse. */
export const readNumber = (text: string) => (text === "" ? null : /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text)

const endpointText = ({ host, port, protocol }: typeof Endpoint.Type) =>
  `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`

export const endpointsText = (endpoints: ReadonlyArray<typeof Endpoint.Type>) => endpoints.map(endpointText).join(" ")

/** Any value of a row in words. */
export const valueText = (value: unknown): string => {
  if (value === null || value === undefined) return ""
  if (Array.isArray(value)) return value.map(valueText).join(" ")
  if (Predicate.isObject(value))
    return labelsText(
      Object.fromEntries(Object.entries(value).map(([k, v]) => [k, typeof v === "string" ? v : JSON.stringify(v)]))
    )
  return String(value)
}
