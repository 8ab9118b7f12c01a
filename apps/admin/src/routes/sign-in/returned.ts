/** What single sign-on came back with. */
import {
  FactorAsked,
  SingleSignOnFailed,
  SingleSignOnRefused,
  SingleSignOnUnavailable
} from "@broker/domain/AdminSession"
import { declarationOf } from "@broker/domain/Problem"
import { Option, Schema } from "effect"
import type { Asked } from "#lib/factors.ts"

const declared = [SingleSignOnRefused, SingleSignOnFailed, SingleSignOnUnavailable].flatMap((problem) => {
  const declaration = declarationOf(problem)
  return declaration === undefined ? [] : [declaration]
})

const words: ReadonlyMap<string, string> = new Map([
  ...declared.map(({ code, detail, remedy }) => [code, `${detail} ${remedy}`] as const),
  ["rate_limited", "Too many requests came from your address. Wait a minute, and try again."]
])

export const problemWords = (code: string) =>
  words.get(code) ?? "Single sign-on did not work. Try again, or sign in with your name and password."

const decode = Schema.decodeUnknownOption(
  Schema.StringFromBase64Url.pipe(Schema.decodeTo(Schema.fromJsonString(FactorAsked)))
)

/** The second factor that is still asked for, from the fragment; null where it is none. */
export const askedIn = (hash: string): Asked | null => Option.getOrNull(decode(hash.slice(1)))
