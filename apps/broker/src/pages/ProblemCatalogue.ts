/** All there is to say of each problem: what it means, what to do, which calls answer with it, and what that looks like. */
import { sample } from "@broker/api/Example"
import type { OpenApi } from "effect/http-api"
import { markdownTable } from "../MarkdownTable.ts"

/** What a problem is declared with. */
export interface Problem {
  readonly status: number
  readonly title: string
  /** What happened, for whoever reads the answer. */
  readonly meaning: string
  /** What to do next. */
  readonly remedy: string
}

export interface Entry extends Problem {
  readonly code: string
  /** Whether the same request may be sent once more. */
  readonly retry: string
  /** Calls of the public API, such as `GET /api/v1/me`; `null` for any call there is. */
  readonly calls: ReadonlyArray<string> | null
  /** The body of an answer. */
  readonly example: Readonly<Record<string, unknown>>
}

/** Which calls answer with a code; null for every one. */
export type Calls = ReadonlyMap<string, ReadonlyArray<string> | null>

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Every code in what an answer may be, through whatever it refers to. */
const codesIn = (schemas: Readonly<Record<string, unknown>>, schema: unknown): ReadonlyArray<string> => {
  if (Array.isArray(schema)) return schema.flatMap((each) => codesIn(schemas, each))
  if (!isObject(schema)) return []
  const { anyOf, $ref, properties } = schema
  if (typeof $ref === "string") return codesIn(schemas, schemas[$ref.slice($ref.lastIndexOf("/") + 1)])
  if (anyOf !== undefined) return codesIn(schemas, anyOf)
  const code = isObject(properties) ? properties["code"] : undefined
  return isObject(code) && Array.isArray(code["enum"]) ? code["enum"].map(String) : []
}

/** Read from the contract. */
export const callsIn = ({ components, paths }: OpenApi.OpenAPISpec): Calls => {
  const found = new Map<string, Array<string>>()
  let operations = 0
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries<unknown>(item)) {
      operations += 1
      const responses = isObject(operation) ? operation["responses"] : {}
      const codes = Object.values(isObject(responses) ? responses : {})
        .flatMap((response) =>
          Object.values(isObject(response) && isObject(response["content"]) ? response["content"] : {})
        )
        .flatMap((media) => codesIn(components.schemas, isObject(media) ? media["schema"] : undefined))
      for (const code of new Set(codes)) {
        found.set(code, [...(found.get(code) ?? []), `${method.toUpperCase()} ${path}`])
      }
    }
  }
  return new Map([...found].map(([code, calls]) => [code, calls.length === operations ? null : calls]))
}

/** What some problems hold beside what all do. */
const beside: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  validation_failed: { errors: [{ pointer: "/name", message: "must be 1 to 64 characters" }] },
  rate_limited: { budget: "api", retryAfterSeconds: 12 },
  too_many_attempts: { retryAfterSeconds: 30 },
  permission_missing: { permission: "servers:read" },
  webhook_target_refused: { reason: "address" },
  more_than_held: { permissions: ["servers:retire"] },
  connection_limit: { scope: "device" },
  group_in_use: { servers: 3, groups: 1, registrationKeys: 0, maintenanceWindows: 0 },
  events_gone: { oldest: "48213" }
}

/** Where it is enough to wait, although the status does not say so. */
const later: ReadonlySet<string> = new Set([
  "server_unavailable",
  "no_server_matches",
  "connection_limit",
  "server_suspended",
  "report_file_not_found",
  "bulk_act_conflict"
])

const retryOf = (code: string, status: number) => {
  if (status === 429 || status === 503) return "Yes, after as many seconds as `Retry-After` says."
  if (status === 408) return "Yes, at once."
  if (status >= 500 && status !== 501)
    return "Yes, a few times and ever more slowly; with the same `Idempotency-Key` where the call takes one."
  if (later.has(code)) return "Later: the same request may succeed once what is in its way has changed."
  return "Not as it is: it is refused again until what is in its way has changed, or the request has."
}

/** What stands in paths of examples, by the noun before it. */
const ids: ReadonlyMap<string, string> = new Map<string, string>([
  ["groups", sample.group],
  ["users", sample.user],
  ["personal-keys", sample.personalKey],
  ["connections", sample.connection],
  ["registration-keys", sample.registrationKey],
  ["files", "pdf"]
])

/** Where the answer is from: the first call of those that give it. */
const instanceOf = (calls: ReadonlyArray<string> | null) => {
  if (calls?.length === 0) return "/"
  const [, path = "/api/v1/servers"] = (calls?.[0] ?? "").split(" ")
  return path.replaceAll(/([\w-]+)\/\{\w+\}/g, (_, noun: string) => `${noun}/${ids.get(noun) ?? sample.server}`)
}

export const catalogue = (problems: Readonly<Record<string, Problem>>, calls: Calls): ReadonlyArray<Entry> =>
  Object.entries(problems)
    .toSorted(([a, x], [b, y]) => x.status - y.status || a.localeCompare(b))
    .map(([code, problem]) => {
      const from = calls.get(code)
      const known = from === undefined ? [] : from
      return {
        code,
        ...problem,
        retry: retryOf(code, problem.status),
        calls: known,
        example: {
          type: `/problems/${code}`,
          title: problem.title,
          status: problem.status,
          detail: problem.meaning,
          instance: instanceOf(known),
          code,
          requestId: "019ab8f3-2b4c-7d5e-8f60-7a8b9c0d1e15",
          ...beside[code]
        }
      }
    })

const callsOf = ({ calls }: Entry) => {
  if (calls === null) return ["Any call."]
  return calls.length === 0
    ? ["No call of the public API: the dashboard's own, or the edge before any call is known."]
    : calls.map((call) => `- \`${call}\``)
}

/** The page of one, in Markdown; its headings stand below one of that depth. */
const sectionsOf = (entry: Entry, depth: string) => [
  `\`${entry.status} ${entry.code}\``,
  "",
  ...[
    ["What it means", [entry.meaning]],
    ["What to do", [entry.remedy]],
    ["Send it again?", [entry.retry]],
    ["What answers with it", callsOf(entry)],
    ["An answer", ["```json", JSON.stringify(entry.example, null, 2), "```"]]
  ].flatMap(([title, lines]) => [`${depth} ${String(title)}`, "", ...[lines].flat(), ""])
]

export const problemPage = (entry: Entry) => [`# ${entry.title}`, "", ...sectionsOf(entry, "##")].join("\n")

const table = (entries: ReadonlyArray<Entry>, linkTo: (code: string) => string) =>
  markdownTable(
    ["status", "code", "what happened"],
    entries.map(({ code, status, title }) => [String(status), `[\`${code}\`](${linkTo(code)})`, title])
  )

const introduction = [
  "# Problems",
  "",
  "Every failure is answered as `application/problem+json` (RFC 9457). Its `code` is what programs switch on: it is never",
  "renamed. Its `type` leads to a page of the broker about it. `detail` says what happened this time, for people, and",
  "`requestId` finds the request in the broker's log.",
  ""
]

export const indexPage = (entries: ReadonlyArray<Entry>) =>
  [...introduction, ...table(entries, (code) => `/problems/${code}`), ""].join("\n")

/** `docs/problems.md`: all of them on one page. */
export const problemsPage = (entries: ReadonlyArray<Entry>) =>
  [
    ...introduction,
    "This page is written from the same declarations as those of the broker, and a test sees to it.",
    "",
    ...table(entries, (code) => `#${code}`),
    "",
    ...entries.flatMap((entry) => [
      `## ${entry.code}`,
      "",
      `**${entry.status} ${entry.title}.** ${entry.meaning}`,
      "",
      `${entry.remedy} Send it again? ${entry.retry}`,
      "",
      ...(entry.calls === null || entry.calls.length === 0 ? callsOf(entry) : ["Answered by:", "", ...callsOf(entry)]),
      "",
      "```json",
      JSON.stringify(entry.example, null, 2),
      "```",
      ""
    ])
  ].join("\n")
