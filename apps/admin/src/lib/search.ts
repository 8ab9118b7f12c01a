/** The language of searches, as its field needs it. */
import { type Known, parse, print, type SearchFault, suggestions } from "@broker/domain/ServerSearch"
import { Result } from "effect"
import type { ServerView } from "./fleet.ts"
import { capital } from "./words.ts"

/** What could stand in the place of what somebody is writing. */
export interface Suggestion {
  /** From where to where it takes the place of what is there. */
  readonly from: number
  readonly to: number
  readonly text: string
  readonly hint: string | null
}

/** What is not understood; null where all is. */
export const faultOf = (text: string): Omit<SearchFault, "meant"> | null => {
  const read = parse(text)
  if (Result.isSuccess(read)) return null
  const { from, meant, message, to } = read.failure
  const sentence = capital(/[.!?]$/.test(message) ? message : `${message}.`)
  return { from, to, message: meant === null ? sentence : `${sentence} Did you mean ${meant}?` }
}

/** For fields that find servers by whatever is typed: what is no search is looked for as it stands. */
export const asSearch = (text: string) =>
  Result.isSuccess(parse(text)) ? text : print([{ negated: false, condition: { _tag: "Word", text } }])

/** What may stand where the caret is. A value ends with a blank, so that the next term can follow. */
export const suggest = (text: string, caret: number, known: Known): ReadonlyArray<Suggestion> => {
  const { from, items, to } = suggestions(text, caret, known)
  const ends = text.slice(to).trim() === ""
  const written = text.slice(from, to)
  return items
    .map(({ hint, text }) => ({
      from,
      to,
      text: ends && !text.endsWith(":") ? `${text} ` : text,
      hint: hint === "" ? null : hint
    }))
    .filter(({ text }) => text.trim() !== written)
}

const most = 200
const some = (words: Iterable<string>) => [...new Set(words)].toSorted().slice(0, most)

/** What is in use among some servers, and which groups there are. */
export const knownOf = (servers: ReadonlyArray<ServerView>, groups: ReadonlyArray<string>): Known => {
  const labels = Map.groupBy(
    servers.flatMap((server) => Object.entries(server.labels)),
    ([key]) => key
  )
  return {
    tags: some(servers.flatMap((server) => server.tags)),
    labels: Object.fromEntries([...labels].map(([key, pairs]) => [key, some(pairs.map(([, value]) => value))])),
    capabilities: some(servers.flatMap((server) => Object.keys(server.capabilities))),
    groups: groups.length > 0 ? groups : some(servers.flatMap(({ group }) => group ?? [])),
    versions: some(servers.flatMap(({ version }) => version ?? [])),
    metrics: some(servers.flatMap(({ metrics }) => Object.keys(metrics)))
  }
}
