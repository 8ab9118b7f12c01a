/**
 * The language in which people look for servers: `tag:eu cap:vpn version:<1.4 -status:offline frankfurt`.
 *
 * Terms are divided by blanks, and all of them have to hold. A minus before a term turns it round. Values with blanks
 * stand in double quotes, in which a backslash stands before a quote or a backslash.
 */
import { Effect, Result, Schema } from "effect"
import { pathKey } from "./Group.ts"
import { isWellFormedText, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { Admission, Duty, ServerStatus, Tag, Version } from "./Server.ts"

export class InvalidSearch extends Problem<InvalidSearch>()("InvalidSearch", {
  code: "invalid_search",
  status: 400,
  title: "Search not understood",
  detail: "A part of the search is not understood.",
  remedy: "Write words of a name, or tag:, label:, cap:, group:, version:, status:, seen: and the like."
}) {}

/** How many terms one search may have. */
const maxTerms = 32

const compares = ["<=", ">=", "<", ">", "="] as const
const Compare = Schema.Literals(compares)
export type Compare = typeof Compare.Type

/** Written out with digits only, and so read back as the same number. */
const plainNumber = /^-?\d{1,15}(\.\d{1,9})?$/
const PlainNumber = Schema.Finite.check(
  Schema.makeFilter((value) => (plainNumber.test(String(value)) && !Object.is(value, -0)) || "must be a plain number")
)

const units = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const
type Unit = keyof typeof units

/** How long ago: a whole number of one unit. */
const Age = Schema.Struct({
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 99_999 })),
  unit: Schema.Literals(["s", "m", "h", "d", "w"])
})
type Age = typeof Age.Type

export const secondsOf = ({ count, unit }: Age) => count * units[unit]

const AgeCompare = Schema.Literals(["<", ">"])

/** Whether a text is an IP address of either kind. */
export const isAddress = (text: string) =>
  /^\d{1,3}(\.\d{1,3}){3}$/.test(text)
    ? text.split(".").every((part) => Number(part) <= 255 && String(Number(part)) === part)
    : text.includes(":") && /^[0-9a-f:.]{2,45}$/i.test(text) && URL.canParse(`http://[${text}]/`)

/** An address, or a network such as `10.0.0.0/8`. */
const Network = Schema.String.check(
  Schema.makeFilter((text) => {
    const [address = "", bits, ...more] = text.split("/")
    if (!isAddress(address) || more.length > 0) return "must be an address or a network"
    if (bits === undefined) return true
    const isFit = /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (address.includes(":") ? 128 : 32)
    return isFit || "must be an address or a network"
  })
)

const Words = Text(512).check(Schema.isMinLength(1))
const some = <S extends Schema.Top>(item: S) => Schema.Array(item).check(Schema.isBetweenLength(1, 16))

const LabelKey = Schema.String.check(Schema.isPattern(/^[A-Za-z][A-Za-z0-9_./-]{0,62}$/))
const CapabilityName = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9_.-]{0,31}$/))
const MetricName = Schema.String.check(Schema.isPattern(/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/))

/** Names from the top down, none of them empty; read as groups are found elsewhere. */
const GroupPath = Words.check(
  Schema.makeFilter((path) => !pathKey(path).split("/").includes("") || "must be a path such as eu/frankfurt")
)

/** What begins with a number has a place in the order of versions; anything else is only like itself. */
const isOrdered = (version: string) => /^v?\d{1,9}/.test(version)

/** What one term asks of a server. Of several values in one term, one has to hold. */
export const Condition = Schema.Union([
  /** Part of a name, or a whole id or address. */
  Schema.TaggedStruct("Word", { text: Words }),
  Schema.TaggedStruct("Name", { text: Words }),
  Schema.TaggedStruct("Id", { id: Uuid }),
  Schema.TaggedStruct("Tag", { tags: some(Tag) }),
  /** With null, whatever its value. */
  Schema.TaggedStruct("Label", { key: LabelKey, value: Schema.NullOr(Text(128)) }),
  Schema.TaggedStruct("Capability", { names: some(CapabilityName) }),
  /** In the group or below; with null, in any. */
  Schema.TaggedStruct("Group", { path: Schema.NullOr(GroupPath) }),
  Schema.TaggedStruct("Version", { compare: Compare, version: Version.check(Schema.isMinLength(1)) }).check(
    Schema.makeFilter(({ compare, version }) => compare === "=" || isOrdered(version) || "must begin with a number")
  ),
  Schema.TaggedStruct("Status", { statuses: some(ServerStatus) }),
  Schema.TaggedStruct("Admission", { admissions: some(Admission) }),
  Schema.TaggedStruct("Duty", { duties: some(Duty) }),
  Schema.TaggedStruct("Verified", { verified: Schema.Boolean }),
  Schema.TaggedStruct("Seen", { compare: AgeCompare, age: Age }),
  Schema.TaggedStruct("NeverSeen", {}),
  Schema.TaggedStruct("Registered", { compare: AgeCompare, age: Age }),
  /** The share of the connections that it may have. */
  Schema.TaggedStruct("Load", { compare: Compare, value: PlainNumber }),
  Schema.TaggedStruct("Connections", { compare: Compare, value: PlainNumber }),
  Schema.TaggedStruct("Metric", { name: MetricName, compare: Compare, value: PlainNumber }),
  Schema.TaggedStruct("Address", { network: Network })
])
export type Condition = typeof Condition.Type

export const Term = Schema.Struct({ negated: Schema.Boolean, condition: Condition })
export type Term = typeof Term.Type

/** All terms have to hold. None finds every server. */
export const ServerSearch = Schema.Array(Term).check(Schema.isMaxLength(maxTerms))
export type ServerSearch = typeof ServerSearch.Type

/** What is not understood, and where it stands in the text. */
export interface SearchFault {
  readonly from: number
  readonly to: number
  readonly message: string
  /** What may have been meant, in the place of what stands there. */
  readonly meant: string | null
}

/** A term as it was cut from the text, without its minus and its quotes. */
interface Token {
  readonly from: number
  readonly to: number
  readonly raw: string
  readonly negated: boolean
  readonly text: string
  /** Whether each code unit of `text` stood in quotes. */
  readonly quoted: ReadonlyArray<boolean>
}

const isBlank = (character: string | undefined) => character !== undefined && /\s/u.test(character)

/** After these a quote begins a quoted value; elsewhere in a word it is a character like others. */
const isOpening = (before: string | undefined) => before === undefined || /[:=<>,]/.test(before)

/** Reads one term from where it begins. */
const tokenAt = (text: string, from: number): Result.Result<Token, SearchFault> => {
  const negated = text[from] === "-" && text[from + 1] !== undefined && !isBlank(text[from + 1])
  let at = negated ? from + 1 : from
  let read = ""
  const quoted: Array<boolean> = []
  while (at < text.length && !isBlank(text[at])) {
    if (text[at] !== '"' || !isOpening(read === "" ? undefined : quoted.at(-1) === true ? "x" : read.at(-1))) {
      read += text[at]
      quoted.push(false)
      at += 1
      continue
    }
    const opened = at
    const before = read.length
    at += 1
    while (at < text.length && text[at] !== '"') {
      if (text[at] === "\\" && (text[at + 1] === '"' || text[at + 1] === "\\")) at += 1
      read += text[at]
      quoted.push(true)
      at += 1
    }
    if (at >= text.length) {
      return Result.fail({ from: opened, to: text.length, message: "The quote has no end.", meant: null })
    }
    at += 1
    if (read.length === before) {
      return Result.fail({ from, to: at, message: "Nothing stands between the quotes.", meant: null })
    }
  }
  return Result.succeed({ from, to: at, raw: text.slice(from, at), negated, text: read, quoted })
}

/** Where a character stands outside of quotes, from a place on; -1 where it does not. */
const indexIn = ({ quoted, text }: Token, character: string, from = 0) => {
  for (let at = text.indexOf(character, from); at !== -1; at = text.indexOf(character, at + 1)) {
    if (quoted[at] === false) return at
  }
  return -1
}

/** How many letters have to change to make one word of another. */
const distance = (a: string, b: string) => {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** The one of some words that was most likely meant. */
const nearest = (word: string, words: ReadonlyArray<string>) => {
  const lower = word.slice(0, 32).toLowerCase()
  const prefixed = words.filter((other) => lower.length > 1 && (other.startsWith(lower) || lower.startsWith(other)))
  const near = words
    .map((other) => [distance(lower, other), other] as const)
    .filter(([away, other]) => away <= Math.max(1, Math.floor(other.length / 3)))
    .sort(([a], [b]) => a - b)
  return near[0]?.[1] ?? prefixed[0] ?? null
}

/** Each key with what its values look like, for messages and suggestions. */
const keys = {
  tag: { takes: "tags, such as tag:eu", hint: "A tag" },
  label: { takes: "a label's key, and its value where it matters: label:rack or label:rack=b2", hint: "A label" },
  cap: { takes: "names of capabilities, such as cap:vpn", hint: "A capability" },
  group: { takes: "a group's path, such as group:eu/frankfurt, or group:* for any", hint: "In a group or below" },
  version: { takes: "a version, with <, <=, >, >= or = before it, such as version:<1.4", hint: "Its version" },
  status: { takes: `one or more of ${ServerStatus.literals.join(", ")}`, hint: "Its status" },
  admission: { takes: `one or more of ${Admission.literals.join(", ")}`, hint: "Whether it is let in" },
  duty: { takes: `one or more of ${Duty.literals.join(", ")}`, hint: "Whether it wants connections" },
  verified: { takes: "yes or no", hint: "Whether it has proven its key" },
  seen: { takes: "an age, such as seen:<5m or seen:>2h, or never", hint: "When it was last heard" },
  registered: { takes: "an age, such as registered:<7d", hint: "When it joined" },
  load: { takes: "a share, such as load:>0.8 or load:>80%", hint: "The share of its connections in use" },
  connections: { takes: "a number, such as connections:>10", hint: "Live connections" },
  metric: { takes: "a metric's name and a number, such as metric.cpu:>0.9", hint: "A metric as last reported" },
  name: { takes: "a part of a name, such as name:edge", hint: "A part of its name" },
  id: { takes: "a whole id", hint: "Its id" },
  address: { takes: "an address or a network, such as address:10.0.0.0/8", hint: "Its address" }
} as const
type Key = keyof typeof keys

/** What else some keys are called. */
const aliases: Readonly<Record<string, Key>> = { capability: "cap", ip: "address" }

const isKey = (word: string): word is Key => Object.hasOwn(keys, word)
const keyNames = Object.keys(keys)

const isTag = Schema.is(Tag)
const isTerm = Schema.is(Term)
const isWellFormed = Schema.is(Schema.String.check(isWellFormedText))

const isOneOf =
  <A extends string>(literals: ReadonlyArray<A>) =>
  (word: string): word is A =>
    literals.some((literal) => literal === word)

const compareOf = (value: string) => compares.find((sign) => value.startsWith(sign))

const numberOf = (text: string): number | undefined => {
  const [, digits = "", percent] = /^(.*?)(%?)$/s.exec(text) ?? []
  if (!plainNumber.test(digits)) return undefined
  // Without what division leaves behind the ninth digit.
  return percent === "%" ? Number((Number(digits) / 100).toFixed(9)) : Number(digits)
}

const ageOf = (text: string): Age | undefined => {
  const [, count, unit] = /^(\d{1,5})([smhdw])$/.exec(text) ?? []
  return count === undefined ? undefined : { count: Number(count), unit: unit as Unit }
}

/** A condition as far as it could be read; why not, where it could not. */
type Read = Condition | { readonly wrong: string; readonly meant?: string | null }

/** One or more words of a few, divided by commas. */
const chosen = <A extends string>(
  parts: ReadonlyArray<string>,
  literals: ReadonlyArray<A>,
  make: (some: ReadonlyArray<A>) => Condition
): Read => {
  const words = parts.map((part) => part.toLowerCase().replaceAll("-", "_"))
  const wrong = words.find((word) => !isOneOf(literals)(word))
  return wrong === undefined
    ? make(words.filter(isOneOf(literals)))
    : { wrong: `takes ${`one or more of ${literals.join(", ")}`}, not ${wrong}`, meant: nearest(wrong, literals) }
}

/** A sign and what it is compared with. */
const compared = (value: string) => {
  const compare = compareOf(value)
  return { compare, rest: value.slice(compare?.length ?? 0) }
}

const measured = (value: string, make: (compare: Compare, value: number) => Condition, takes: string): Read => {
  const { compare = "=", rest } = compared(value)
  const number = numberOf(rest)
  return number === undefined ? { wrong: `takes ${takes}, not ${value}` } : make(compare, number)
}

const aged = (value: string, make: (compare: "<" | ">", age: Age) => Condition, takes: string): Read => {
  const { compare, rest } = compared(value)
  const age = ageOf(rest)
  return age === undefined || (compare !== "<" && compare !== ">")
    ? { wrong: `takes ${takes}, not ${value}: a number and s, m, h, d or w, with < or > before it` }
    : make(compare, age)
}

/** What a key and its value ask. */
const readValue = (key: Key, token: Token, at: number, metric: string): Read => {
  const value = token.text.slice(at)
  const { takes } = keys[key]
  const parts = () => {
    const found: Array<string> = []
    let from = at
    for (let comma = indexIn(token, ",", from); comma !== -1; comma = indexIn(token, ",", from)) {
      found.push(token.text.slice(from, comma))
      from = comma + 1
    }
    return [...found, token.text.slice(from)]
  }
  if (value === "") return { wrong: `takes ${takes}` }
  switch (key) {
    case "name":
      return { _tag: "Name", text: value }
    case "id":
      return { _tag: "Id", id: value.toLowerCase() }
    case "address":
      return { _tag: "Address", network: value }
    case "tag":
      return { _tag: "Tag", tags: parts() }
    case "cap":
      return { _tag: "Capability", names: parts() }
    case "group":
      return { _tag: "Group", path: value === "*" && token.quoted[at] === false ? null : value }
    case "label": {
      const sign = indexIn(token, "=", at)
      if (sign === -1) {
        const [label = "", ...rest] = value.split(":")
        if (rest.length > 0)
          return { wrong: `takes ${takes}`, meant: `label:${label}=${quote(rest.join(":"), "value")}` }
        return { _tag: "Label", key: value, value: null }
      }
      return { _tag: "Label", key: token.text.slice(at, sign), value: token.text.slice(sign + 1) }
    }
    case "version": {
      const sign = token.quoted[at] === false ? compareOf(value) : undefined
      return { _tag: "Version", compare: sign ?? "=", version: value.slice(sign?.length ?? 0) }
    }
    case "status":
      return chosen(parts(), ServerStatus.literals, (statuses) => ({ _tag: "Status", statuses }))
    case "admission":
      return chosen(parts(), Admission.literals, (admissions) => ({ _tag: "Admission", admissions }))
    case "duty":
      return chosen(parts(), Duty.literals, (duties) => ({ _tag: "Duty", duties }))
    case "verified": {
      const word = value.toLowerCase()
      return word === "yes" || word === "no"
        ? { _tag: "Verified", verified: word === "yes" }
        : {
            wrong: `takes yes or no, not ${value}`,
            meant: /^[yt1]/.test(word) ? "yes" : /^[nf0]/.test(word) ? "no" : null
          }
    }
    case "seen":
      return value.toLowerCase() === "never"
        ? { _tag: "NeverSeen" }
        : aged(value, (compare, age) => ({ _tag: "Seen", compare, age }), takes)
    case "registered":
      return aged(value, (compare, age) => ({ _tag: "Registered", compare, age }), takes)
    case "load":
      return measured(value, (compare, value) => ({ _tag: "Load", compare, value }), takes)
    case "connections":
      return measured(value, (compare, value) => ({ _tag: "Connections", compare, value }), takes)
    case "metric":
      return metric === ""
        ? { wrong: `takes ${takes}` }
        : measured(value, (compare, value) => ({ _tag: "Metric", name: metric, compare, value }), takes)
  }
}

/** Splits `metric.cpu` into what is a key and what is a metric's name. */
const keyOf = (word: string): { readonly key: Key; readonly metric: string } | undefined => {
  const lower = word.toLowerCase()
  if (lower.startsWith("metric.")) return { key: "metric", metric: word.slice("metric.".length) }
  const key = aliases[lower] ?? lower
  return isKey(key) ? { key, metric: "" } : undefined
}

const termOf = (token: Token): Result.Result<Term, SearchFault> => {
  const { from, negated, raw, to } = token
  const fault = (message: string, meant: string | null = null) => Result.fail({ from, to, message, meant })
  const colon = indexIn(token, ":")
  const word = token.text.slice(0, Math.max(0, colon))
  if (!isWellFormed(token.text)) return fault("holds characters that no text has")
  // Addresses of the newer kind have colons of their own.
  if (colon <= 0 || token.quoted[0] === true || !/^[a-z][a-z_.-]*/i.test(word) || isAddress(token.text)) {
    const term: Term = { negated, condition: { _tag: "Word", text: token.text } }
    return isTerm(term) ? Result.succeed(term) : fault("is too long")
  }
  const known = keyOf(word)
  if (known === undefined) {
    const near = nearest(word, keyNames)
    const all = `keys are ${keyNames.join(", ")}; to look for it in names, put it in quotes`
    return fault(`there is no ${word}:`, near === null ? null : `${near}:`).pipe(
      Result.mapError((found) => (found.meant === null ? { ...found, message: `${found.message}; ${all}` } : found))
    )
  }
  const condition = readValue(known.key, token, colon + 1, known.metric)
  const name = known.key === "metric" && known.metric !== "" ? word : known.key
  if ("wrong" in condition) return fault(`${name}: ${condition.wrong}`, condition.meant ?? null)
  const term: Term = { negated, condition }
  if (isTerm(term)) return Result.succeed(term)
  const wrongTag = condition._tag === "Tag" && condition.tags.every(isTag)
  return fault(
    `${name}: takes ${wrongTag ? "16 tags at most" : keys[known.key].takes}, not ${raw.slice(raw.indexOf(":") + 1)}`
  )
}

/** Reads a search. Any text without quotes and colons is one. */
export const parse = (text: string): Result.Result<ServerSearch, SearchFault> => {
  const terms: Array<Term> = []
  let at = 0
  while (true) {
    while (isBlank(text[at])) at += 1
    if (at >= text.length) return Result.succeed(terms)
    const term = Result.flatMap(tokenAt(text, at), (token) =>
      Result.map(termOf(token), (term) => ({ term, to: token.to }))
    )
    if (Result.isFailure(term)) return Result.fail(term.failure)
    terms.push(term.success.term)
    if (terms.length > maxTerms) {
      return Result.fail({ from: at, to: text.length, message: `a search has ${maxTerms} terms at most`, meant: null })
    }
    at = term.success.to
  }
}

/** What is wrong with a search, for people: the place, what was read, and what would be right. */
export const explain = (text: string, { from, meant, message, to }: SearchFault) => {
  const read = text.slice(from, Math.min(to, from + 64)).toWellFormed()
  const did = meant === null ? "" : ` Did you mean ${meant}?`
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`
  return `At character ${from + 1}, ${read}: ${sentence}${did}`
}

/** Reads a search, or fails with the words of what is not understood. */
export const read = (text: string): Effect.Effect<ServerSearch, InvalidSearch> =>
  Effect.mapError(Effect.fromResult(parse(text)), (fault) => new InvalidSearch({ detail: explain(text, fault) }))

/** As it has to be written to be read as one value again. */
const quote = (value: string, place: "word" | "value") => {
  const isBare =
    place === "word"
      ? /^[\p{L}\p{N}._@%+/][\p{L}\p{N}._@%+/-]*$/u.test(value)
      : /^[\p{L}\p{N}._@%+/-][\p{L}\p{N}._@%+/:-]*$/u.test(value)
  return isBare ? value : `"${value.replaceAll(/[\\"]/g, "\\$&")}"`
}

const listed = (values: ReadonlyArray<string>) => values.map((value) => quote(value, "value")).join(",")

const printAge = ({ count, unit }: Age) => `${count}${unit}`

const printCondition = (condition: Condition): string => {
  switch (condition._tag) {
    case "Word":
      return quote(condition.text, "word")
    case "Name":
      return `name:${quote(condition.text, "value")}`
    case "Id":
      return `id:${condition.id}`
    case "Tag":
      return `tag:${listed(condition.tags)}`
    case "Label":
      return condition.value === null
        ? `label:${condition.key}`
        : `label:${condition.key}=${condition.value === "" ? "" : quote(condition.value, "value")}`
    case "Capability":
      return `cap:${listed(condition.names)}`
    case "Group":
      return `group:${condition.path === null ? "*" : quote(condition.path, "value")}`
    case "Version":
      return `version:${condition.compare === "=" ? "" : condition.compare}${quote(condition.version, "value")}`
    case "Status":
      return `status:${listed(condition.statuses)}`
    case "Admission":
      return `admission:${listed(condition.admissions)}`
    case "Duty":
      return `duty:${listed(condition.duties)}`
    case "Verified":
      return `verified:${condition.verified ? "yes" : "no"}`
    case "Seen":
      return `seen:${condition.compare}${printAge(condition.age)}`
    case "NeverSeen":
      return "seen:never"
    case "Registered":
      return `registered:${condition.compare}${printAge(condition.age)}`
    case "Load":
      return `load:${condition.compare}${condition.value}`
    case "Connections":
      return `connections:${condition.compare}${condition.value}`
    case "Metric":
      return `metric.${condition.name}:${condition.compare}${condition.value}`
    case "Address":
      return `address:${condition.network}`
  }
}

/** A search as text that is read as the same search. */
export const print = (search: ServerSearch) =>
  search.map(({ condition, negated }) => `${negated ? "-" : ""}${printCondition(condition)}`).join(" ")

/** What is known of the fleet, for suggestions. */
export interface Known {
  readonly tags?: ReadonlyArray<string>
  /** Values by key. */
  readonly labels?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly capabilities?: ReadonlyArray<string>
  /** Paths. */
  readonly groups?: ReadonlyArray<string>
  readonly versions?: ReadonlyArray<string>
  readonly metrics?: ReadonlyArray<string>
}

export interface Suggestion {
  /** What is put in the place of what stands from `from` to `to`. */
  readonly text: string
  readonly hint: string
}

export interface Suggestions {
  readonly from: number
  readonly to: number
  readonly items: ReadonlyArray<Suggestion>
}

/** How many are offered at once. */
const maxSuggestions = 12

/** Those that begin with what was typed, and then those that have it elsewhere. */
const fitting = (typed: string, items: ReadonlyArray<Suggestion>, shown: (item: Suggestion) => string) => {
  const lower = typed.toLowerCase()
  const places = items.map((item) => ({ item, at: shown(item).toLowerCase().indexOf(lower) }))
  return [...places.filter(({ at }) => at === 0), ...places.filter(({ at }) => at > 0)]
    .slice(0, maxSuggestions)
    .map(({ item }) => item)
}

const valuesOf = (key: Key, known: Known): ReadonlyArray<Suggestion> => {
  const all = (values: ReadonlyArray<string> | undefined, hint = "") =>
    (values ?? []).map((value) => ({ text: quote(value, "value"), hint }))
  const words = (values: ReadonlyArray<readonly [text: string, hint: string]>) =>
    values.map(([text, hint]) => ({ text, hint }))
  switch (key) {
    case "tag":
      return all(known.tags)
    case "cap":
      return all(known.capabilities)
    case "group":
      return [...all(known.groups), { text: "*", hint: "In any group" }]
    case "label":
      return Object.entries(known.labels ?? {}).flatMap(([label, values]) => [
        { text: label, hint: "Whatever its value" },
        ...values.map((value) => ({ text: `${label}=${value === "" ? "" : quote(value, "value")}`, hint: "" }))
      ])
    case "version":
      return [...all(known.versions), ...all(known.versions).map(({ text }) => ({ text: `<${text}`, hint: "Older" }))]
    case "status":
      return all(ServerStatus.literals)
    case "admission":
      return all(Admission.literals)
    case "duty":
      return all(Duty.literals)
    case "verified":
      return all(["yes", "no"])
    case "seen":
      return words([
        ["<5m", "In the last 5 minutes"],
        [">1h", "Not for an hour"],
        [">1d", "Not for a day"],
        ["never", "Never yet"]
      ])
    case "registered":
      return words([
        ["<1d", "In the last day"],
        ["<7d", "In the last week"],
        [">30d", "More than 30 days ago"]
      ])
    case "load":
      return words([
        [">0.8", "More than 80 % in use"],
        ["<0.2", "Less than 20 % in use"]
      ])
    case "connections":
      return words([
        [">0", "With connections"],
        ["=0", "Without connections"]
      ])
    case "metric":
    case "name":
    case "id":
    case "address":
      return []
  }
}

/** What may follow where the caret stands. */
export const suggestions = (text: string, caret: number, known: Known = {}): Suggestions => {
  const to = Math.max(0, Math.min(caret, text.length))
  let begin = 0
  while (begin < to) {
    if (isBlank(text[begin])) {
      begin += 1
      continue
    }
    const token = tokenAt(text, begin)
    // An open quote: its value goes on to the caret.
    const end = Result.isSuccess(token) ? token.success.to : Number.POSITIVE_INFINITY
    if (to <= end) break
    begin = end
  }
  const start = text[begin] === "-" && begin < to ? begin + 1 : begin
  const typed = text.slice(start, to)
  const colon = typed.indexOf(":")
  if (colon === -1) {
    const offered = [
      ...keyNames
        .filter((key) => key !== "metric")
        .map((key) => ({ text: `${key}:`, hint: isKey(key) ? keys[key].hint : "" })),
      ...(known.metrics ?? []).map((name) => ({ text: `metric.${name}:`, hint: keys.metric.hint }))
    ].filter(({ text }) => typed === "" || text.startsWith(typed.toLowerCase()))
    return {
      from: start,
      to,
      items: typed === "" ? offered.slice(0, keyNames.length) : offered.slice(0, maxSuggestions)
    }
  }
  const found = keyOf(typed.slice(0, colon))
  if (found === undefined) return { from: start, to, items: [] }
  const isList = ["tag", "cap", "status", "admission", "duty"].includes(found.key)
  const comma = isList ? typed.lastIndexOf(",") : -1
  const from = start + Math.max(colon, comma) + 1
  const items =
    found.key === "metric"
      ? [
          { text: ">0.9", hint: "More than" },
          { text: "<0.1", hint: "Less than" }
        ]
      : valuesOf(found.key, known)
  const plain = (word: string) => word.replaceAll('"', "")
  return { from, to, items: fitting(plain(text.slice(from, to)), items, (item) => plain(item.text)) }
}
