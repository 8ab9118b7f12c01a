/**
 * Judges passwords in a process of its own: one judgement takes up to 0.3 s, and what it knows takes 130 MB with all
 * that belongs to it. Both are out of the way of requests, and all of the memory is given back when nobody sets a
 * password; a thread would keep half of it.
 */
import { readFileSync } from "node:fs"
import { brotliDecompressSync } from "node:zlib"
import { ZxcvbnFactory } from "@zxcvbn-ts/core"
import * as common from "@zxcvbn-ts/language-common"
import * as english from "@zxcvbn-ts/language-en"

export interface Question {
  readonly password: string
  /** Words that whoever guesses would try first. */
  readonly about: ReadonlyArray<string>
}

export interface Judgement {
  readonly strong: boolean
  readonly advice: ReadonlyArray<string>
}

/** Judging gets slow with length, and what follows so many characters seldom matters. */
const judged = 100

/** Of five: 3 is at least 10⁸ guesses, which nobody makes at a sign-in that slows down. */
const enough = 3

/** Half of all surnames in the list are so rare that they are no better guess than any word. */
const surnames = 10_000

/** Too young for the list, and the first that readers of advice about passwords try. */
const famous = ["correct horse battery staple", "correcthorsebatterystaple"]

const breached = [
  ...famous,
  ...brotliDecompressSync(readFileSync(new URL("../../data/breached-passwords.txt.br", import.meta.url)))
    .toString()
    .trimEnd()
    .split("\n")
]
const listed = new Set(breached)

const { "lastnames-en": lastnames, ...words } = english.dictionary
const judge = new ZxcvbnFactory({
  dictionary: {
    ...common.dictionary,
    ...words,
    "lastnames-en": lastnames.slice(0, surnames),
    "passwords-breached": breached
  },
  graphs: common.adjacencyGraphs,
  translations: english.translations,
  maxLength: judged,
  l33tMaxSubstitutions: 20
})

/** Without what people put between words. */
const squeezed = (password: string) => password.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "")

const answer = ({ about, password }: Question): Judgement => {
  const { feedback, score } = judge.check(password.slice(0, judged), [...about])
  if (listed.has(squeezed(password))) {
    return { strong: false, advice: [english.translations.warnings.similarToCommon] }
  }
  return {
    strong: score >= enough,
    advice: [feedback.warning, ...feedback.suggestions].filter((line) => line !== null)
  }
}

process.on("message", (question: Question) => process.send?.(answer(question)))
