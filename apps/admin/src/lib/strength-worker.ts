/** Judges passwords apart from the page: a judgement may take 0.3 s, and what it knows is large. */
import { ZxcvbnFactory } from "@zxcvbn-ts/core"
import { adjacencyGraphs, dictionary as common } from "@zxcvbn-ts/language-common"
import { dictionary as english, translations } from "@zxcvbn-ts/language-en"
import type { Judgement, Question } from "./meter.ts"

/** What follows so many characters seldom matters, and takes long. The broker's own judge does the same. */
const judged = 100
const surnames = 10_000

const { "lastnames-en": lastnames, ...words } = english
const judge = new ZxcvbnFactory({
  dictionary: { ...common, ...words, "lastnames-en": lastnames.slice(0, surnames) },
  graphs: adjacencyGraphs,
  translations,
  maxLength: judged,
  l33tMaxSubstitutions: 20
})

const answer = ({ about, password }: Question): Judgement => {
  const { feedback, score } = judge.check(password.slice(0, judged), [...about])
  return { password, score, advice: [feedback.warning, ...feedback.suggestions].filter((line) => line !== null) }
}

addEventListener("message", ({ data }: MessageEvent<Question>) => postMessage(answer(data)))
