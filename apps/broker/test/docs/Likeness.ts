/**
 * Whether an answer is what an example says: ids, times and secrets are compared by their form, and an id of the
 * examples stands for the same id of this run everywhere.
 */

/** What the ids of the examples are in this run. */
export type Names = Map<string, string>

const id = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$/
const secret = /^(brk_[a-z]{3}_|whsec_)/

const typeOf = (value: unknown) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value)

const show = (value: unknown) => JSON.stringify(value) ?? "nothing"

const unlikeText = (expected: string, actual: string, names: Names) => {
  if (id.test(expected)) {
    const known = names.get(expected)
    if (!id.test(actual)) return "is no id"
    if (known !== undefined && known !== actual) return "is another's id"
    names.set(expected, actual)
    return undefined
  }
  if (time.test(expected)) return time.test(actual) ? undefined : "is no time"
  const prefix = secret.exec(expected)?.[0]
  if (prefix !== undefined) return actual.startsWith(prefix) && actual.length > 20 ? undefined : "is no such secret"
  return expected === actual ? undefined : "is another text"
}

export interface Given {
  readonly names: Names
  /** Names of fields that differ from run to run. */
  readonly varies: ReadonlySet<string>
}

/** What of an answer is not as the example says, each with where it is. An id is bound where it is first met. */
export const unlike = (expected: unknown, actual: unknown, given: Given, at = ""): ReadonlyArray<string> => {
  const differs = (how: string) => [`${at || "/"} ${how}: ${show(actual)}, in the example ${show(expected)}`]
  if (given.varies.has(at.slice(at.lastIndexOf("/") + 1))) {
    const types = [typeOf(expected), typeOf(actual)]
    return types[0] === types[1] || types.includes("null") ? [] : differs("is of another type")
  }
  if (typeOf(expected) !== typeOf(actual)) return differs("is of another type")
  if (typeof expected === "string" && typeof actual === "string") {
    const how = unlikeText(expected, actual, given.names)
    return how === undefined ? [] : differs(how)
  }
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (at.endsWith("/items")) return expected.flatMap((item, index) => unlisted(item, actual, given, `${at}/${index}`))
    if (expected.length !== actual.length) return differs("has another length")
    return expected.flatMap((item, index) => unlike(item, actual[index], given, `${at}/${index}`))
  }
  if (isObject(expected) && isObject(actual)) {
    const keys = [...new Set([...Object.keys(expected), ...Object.keys(actual)])]
    return keys.flatMap((key) => {
      if (!Object.hasOwn(actual, key)) return [`${at}/${key} is not in the answer`]
      if (!Object.hasOwn(expected, key)) return [`${at}/${key} is not in the example: ${show(actual[key])}`]
      return unlike(expected[key], actual[key], given, `${at}/${key}`)
    })
  }
  return expected === actual ? [] : differs("is another value")
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeOf(value) === "object"

/** A list may hold more than the example shows. */
const unlisted = (expected: unknown, actual: ReadonlyArray<unknown>, given: Given, at: string) => {
  const tries = actual.map((item) => {
    const names = new Map(given.names)
    return { names, found: unlike(expected, item, { ...given, names }, at) }
  })
  const fits = tries.find(({ found }) => found.length === 0)
  if (fits === undefined) {
    const nearest = tries.toSorted((a, b) => a.found.length - b.found.length)[0]
    return nearest === undefined ? [`${at} is not in the list, which is empty`] : nearest.found
  }
  for (const [name, value] of fits.names) given.names.set(name, value)
  return []
}

/** A line without what differs from run to run. */
const shape = (line: string) =>
  line
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<id>")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replace(/\d+(\.\d+)?(e[+-]\d+)?/g, "<number>")

/** Lines of an example that an answer in plain text does not have. */
export const missingLines = (expected: string, actual: string): ReadonlyArray<string> => {
  const there = new Set(actual.split("\n").map(shape))
  return expected.split("\n").filter((line) => !there.has(shape(line)))
}

/** The same with the ids of this run. */
export const translated = <A>(value: A, names: Names): A =>
  JSON.parse(
    JSON.stringify(value).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (known) => names.get(known) ?? known)
  )
