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

export const put = (value: unknown, path: ReadonlyArray<string>, leaf: unknown): unknown => {
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

const at = (value: unknown, path: ReadonlyArray<string>) =>
  path.reduce<unknown>((inner, key) => (inner as Json)[key], value)

/** Every place in the sample, with its schema. */
export const places = (
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

/** Of schemas that differ in their words only, one is the other. */
const wordless = (key: string, value: unknown) => (/^(description|title|examples?)$/.test(key) ? undefined : value)

/** How often schemas were attacked, each by what it says. */
export type Attacked = Map<string, number>

/** The same schema is read by the same code: in full where it is met first, and then in turns. A whole body always is. */
const turns = 8

/** Refused: what the schema does not allow. Strange: what it allows, or says nothing about. */
export const cases = (document: Document, schema: JsonSchema, sample: Json, attacked: Attacked) => {
  const refused: Array<Case> = []
  const strange: Array<Case> = []
  for (const [path, inner, isRequired] of [[[], schema, false] as const, ...places(document, schema, sample)]) {
    const said = JSON.stringify(resolve(document, inner), wordless)
    const times = path.length === 0 ? 0 : (attacked.get(said) ?? 0)
    attacked.set(said, times + 1)
    const marked = JSON.stringify(put(sample, path, marker))
    for (const [index, [label, json]] of texts.entries()) {
      if (times > 0 && (index + times) % turns !== 0) continue
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

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
export const randomFrom = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
export type Random = ReturnType<typeof randomFrom>

export const pick = <A>(random: Random, items: ReadonlyArray<A>): A => {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new Error("nothing to pick from")
  return item
}

/** Pieces that texts are made of: what other languages end their texts by, and what is not quite a character. */
const pieces: ReadonlyArray<string> = [
  "a",
  "Ω",
  "字",
  "😀",
  "\u0000",
  "\u0007",
  "\n",
  "\r\n",
  "\u001b[31m",
  "\u2028",
  "\ud83d",
  "\udc00",
  "\ufeff",
  "\u0301",
  "'",
  '"',
  "`",
  "\\",
  "--",
  ";",
  "%s",
  "%00",
  "#{7*7}",
  "{{7*7}}",
  "<script>",
  "=1+1",
  "../",
  "x".repeat(300),
  "019845e1-682f-7b02-a706-3b2422d13aec",
  "2026-11-01T00:00:00Z",
  "999999999999-01-01T00:00:00Z"
]

const randomText = (random: Random) =>
  JSON.stringify(Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(random, pieces)).join(""))

const randomNumber = (random: Random) =>
  pick(random, [
    String(Math.floor((random() - 0.5) * 2 ** 53)),
    String((random() - 0.5) * 10 ** Math.floor(random() * 320)),
    String(Math.floor(random() * 100)),
    `${Math.floor(random() * 10)}`.repeat(400),
    `1e${Math.floor(random() * 100_000)}`
  ])

const randomJson = (random: Random, depth = 0): string => {
  const kind = random()
  if (kind < 0.35) return randomText(random)
  if (kind < 0.5) return randomNumber(random)
  if (kind < 0.75 || depth > 3) return pick(random, texts)[1]
  const inner = Array.from({ length: Math.floor(random() * 4) }, () => randomJson(random, depth + 1))
  return kind < 0.87 ? `[${inner.join()}]` : `{${inner.map((value) => `${randomText(random)}:${value}`).join()}}`
}

/** Names that somebody hopes are taken over into a row, or into a prototype. */
const foreign: ReadonlyArray<string> = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "id",
  "organizationId",
  "role",
  "permissions",
  "admission",
  "verified",
  "uses",
  "createdAt"
]

/**
 * A body in which up to four places are wrong at once: other values, values missing or given twice, fields that nobody
 * asked for, and now and then a text that is cut off or has bytes changed.
 */
export const mutation = (
  { document, sample, schema }: { readonly document: Document; readonly schema: JsonSchema; readonly sample: Json },
  random: Random
): string | Uint8Array => {
  const all: ReadonlyArray<ReadonlyArray<string>> = places(document, schema, sample).map(([path]) => path)
  let text = JSON.stringify(sample)
  let value: unknown = sample
  const leaves = new Map<string, string>()
  // Now and then nothing is wrong but what is added, so that it gets past the schema.
  for (let wrong = random() < 0.15 ? 0 : 1 + Math.floor(random() * 4); wrong > 0; wrong--) {
    const path = all.length === 0 ? [] : pick(random, all)
    // Of what an earlier one has replaced, nothing is left to be wrong.
    const isThere = path.reduce<unknown>(
      (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Json)[key] : undefined),
      value
    )
    if (isThere === undefined || path.length === 0) continue
    const kind = random()
    if (kind < 0.15) value = without(value, path)
    else {
      const leaf = `${marker}${leaves.size}@@`
      const json = randomJson(random)
      const twice = kind < 0.25 ? `${json},${JSON.stringify(path.at(-1))}:${randomJson(random)}` : json
      leaves.set(leaf, Array.isArray(at(value, path.slice(0, -1))) ? json : twice)
      value = put(value, path, leaf)
    }
  }
  if (random() < 0.3 && typeof value === "object" && value !== null) {
    const leaf = `${marker}${leaves.size}@@`
    leaves.set(leaf, randomJson(random))
    // Spelled out: as a key of a literal it would become the prototype.
    text = JSON.stringify(value).replace(/^\{/, (open) => `${open}${JSON.stringify(pick(random, foreign))}:"${leaf}",`)
    text = text.replace(/,\}$/, "}")
  } else text = JSON.stringify(value)
  for (const [leaf, json] of leaves) text = text.replace(JSON.stringify(leaf), () => json)
  const damage = random()
  if (damage < 0.9) return text
  const bytes = Buffer.from(text)
  if (damage < 0.95) return bytes.subarray(0, Math.floor(random() * bytes.length))
  for (let n = 0; n < 3; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
  return bytes
}
