/** Values that a schema refuses, for each place in a value that it accepts. */
import { type Document, faults, type JsonSchema, resolve } from "./Described.ts"
import type { Json } from "./Wire.ts"

export interface Case {
  /** JSON Pointer to the value that is wrong. */
  readonly pointer: string
  readonly label: string
  /** The whole body, as text: some of it could not come from `JSON.stringify`. */
  readonly text: string
}

const deep = (levels: number, open: string, close: string) => `${open.repeat(levels)}1${close.repeat(levels)}`

/** JSON texts that somebody may send in the place of anything. */
const texts: ReadonlyArray<readonly [label: string, json: string]> = [
  ["null", "null"],
  ["true", "true"],
  ["a number", "7"],
  ["negative", "-1"],
  ["minus zero", "-0"],
  ["a fraction", "1.5"],
  ["beyond doubles", "1e400"],
  ["beyond doubles, negative", "-1e400"],
  ["2^53 + 1", "9007199254740993"],
  ["2^31", "2147483648"],
  ["a large number", "1e21"],
  ["tiny", "5e-324"],
  ["empty", '""'],
  ["a space", '" "'],
  ["10,000 characters", `"${"x".repeat(10_000)}"`],
  ["3,000 characters of three bytes", `"${"字".repeat(3_000)}"`],
  ["NUL", '"\\u0000"'],
  ["NUL inside", '"fra\\u0000-1"'],
  ["half a surrogate pair", '"\\ud800"'],
  ["the other half", '"x\\udc00"'],
  ["text that turns round", '"\\u202efra"'],
  ["a line feed", '"a\\nb"'],
  ["a number as text", '"1"'],
  ["NaN as text", '"NaN"'],
  ["SQL", `"'; drop table servers; --"`],
  ["a path", '"../../../etc/passwd"'],
  ["__proto__", '"__proto__"'],
  ["an array", "[]"],
  ["an array with null", "[null]"],
  ["an object", "{}"],
  ["an object with a prototype", '{"__proto__":{"admission":"approved"}}'],
  ["an object with a constructor", '{"constructor":{"prototype":{"x":1}}}'],
  ["an object with an empty key", '{"":1}'],
  ["an object with a long key", `{"${"k".repeat(5_000)}":1}`],
  ["an object with NUL in a key", '{"a\\u0000":1}'],
  ["1,001 items", `[${"1,".repeat(1_000)}1]`],
  ["3,000 arrays deep", deep(3_000, "[", "]")],
  ["1,000 objects deep", deep(1_000, '{"a":', "}")]
]

const marker = "@@here@@"

const put = (value: unknown, path: ReadonlyArray<string>, leaf: unknown): unknown => {
  const [key, ...rest] = path
  if (key === undefined) return leaf
  if (Array.isArray(value)) return value.map((item, at) => (String(at) === key ? put(item, rest, leaf) : item))
  return { ...(value as Json), [key]: put((value as Json)[key], rest, leaf) }
}

const without = (value: unknown, [key = "", ...rest]: ReadonlyArray<string>): unknown => {
  if (rest.length > 0) {
    return Array.isArray(value)
      ? value.map((item, at) => (String(at) === key ? without(item, rest) : item))
      : { ...(value as Json), [key]: without((value as Json)[key], rest) }
  }
  return Object.fromEntries(Object.entries(value as Json).filter(([name]) => name !== key))
}

const pointer = (path: ReadonlyArray<string>) =>
  path.map((segment) => `/${segment.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")

/** Of the choices of a schema the one that the sample is of. */
const member = (document: Document, schema: JsonSchema, sample: unknown): JsonSchema => {
  const found = resolve(document, schema)
  const choices = found.anyOf?.map((choice) => resolve(document, choice)) ?? []
  return choices.find((choice) => faults(document, choice, sample).length === 0) ?? found
}

/** Every place in the sample, with its schema. */
const places = (
  document: Document,
  schema: JsonSchema,
  sample: unknown,
  path: ReadonlyArray<string> = []
): ReadonlyArray<readonly [path: ReadonlyArray<string>, schema: JsonSchema, required: boolean]> => {
  const { additionalProperties, items, properties = {}, required = [] } = member(document, schema, sample)
  const inside = (key: string, inner: JsonSchema, isRequired: boolean) =>
    [
      [[...path, key], inner, isRequired] as const,
      ...places(document, inner, (sample as Json)[key], [...path, key])
    ] as const
  if (Array.isArray(sample)) return sample.flatMap((_, at) => inside(String(at), items ?? {}, false))
  if (typeof sample !== "object" || sample === null) return []
  return Object.keys(sample).flatMap((key) =>
    inside(
      key,
      properties[key] ?? (typeof additionalProperties === "object" ? additionalProperties : {}),
      required.includes(key)
    )
  )
}

/** Refused: what the schema does not allow. Strange: what it allows, or says nothing about. */
export const cases = (document: Document, schema: JsonSchema, sample: Json) => {
  const refused: Array<Case> = []
  const strange: Array<Case> = []
  for (const [path, inner, isRequired] of [[[], schema, false] as const, ...places(document, schema, sample)]) {
    const marked = JSON.stringify(put(sample, path, marker))
    for (const [label, json] of texts) {
      const text = marked.replace(JSON.stringify(marker), () => json)
      const isWrong = faults(document, inner, JSON.parse(json)).length > 0
      ;(isWrong ? refused : strange).push({ pointer: pointer(path), label, text })
    }
    if (!isRequired) continue
    refused.push({ pointer: pointer(path), label: "missing", text: JSON.stringify(without(sample, path)) })
    // Of two of a name the last one counts, wherever it comes from.
    const key = JSON.stringify(path.at(-1))
    const twice = JSON.stringify(put(sample, path, marker)).replace(
      JSON.stringify(marker),
      () => `${JSON.stringify(path.reduce<unknown>((value, segment) => (value as Json)[segment], sample))},${key}:[[]]`
    )
    refused.push({ pointer: pointer(path), label: "twice", text: twice })
  }
  return { refused, strange }
}

/** Bodies that are no JSON, or not the JSON of any request. */
export const bodies: ReadonlyArray<readonly [label: string, body: string | Uint8Array]> = [
  ["no JSON", "nonsense"],
  ["cut off", '{"name":"fra-1","publicKey'],
  ["a trailing comma", '{"name":"fra-1",}'],
  ["NaN", '{"name":NaN}'],
  ["two values", "{}{}"],
  ["an array", "[]"],
  ["null", "null"],
  ["a string", '"name"'],
  ["30,000 arrays deep", deep(30_000, "[", "]")],
  ["30,000 arrays open", "[".repeat(30_000)],
  ["10,000 objects deep", deep(10_000, '{"a":', "}")],
  [
    "invalid UTF-8",
    Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff, 0xfe, 0xc0, 0x80]), Buffer.from('"}')])
  ],
  ["an overlong encoding", Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d])],
  ["a surrogate in UTF-8", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ["UTF-16", Buffer.from("\ufeff{}", "utf16le")],
  ["NUL bytes", Buffer.alloc(100)],
  ["1 MB", `{"name":"${"x".repeat(1_000_000)}"}`],
  ["64 KiB and one", `{"name":"${"x".repeat(65_526)}"}`],
  ["prototype only", '{"__proto__":{"name":"fra-1"}}'],
  ["many keys", `{${Array.from({ length: 5_000 }, (_, at) => `"k${at}":1`).join(",")}}`]
]
