/** How hard a password is to guess, as it is judged and as it is shown. */

export interface Question {
  readonly password: string
  /** Words that whoever guesses would try first. */
  readonly about: ReadonlyArray<string>
}

export interface Judgement {
  /** What was judged, as it may have been typed on since. */
  readonly password: string
  /** 0 to 4. */
  readonly score: number
  readonly advice: ReadonlyArray<string>
}

export interface Meter {
  /** How many of four steps are lit. */
  readonly steps: number
  readonly tone: "bad" | "warn" | "ok"
  readonly word: string
  readonly advice: ReadonlyArray<string>
}

const minLength = 12

/** A name as a whole, and the words it is made of: what whoever guesses tries first. */
export const wordsOf = (name: string) => {
  const whole = name.trim().toLowerCase()
  const words = whole.split(/[^\p{L}\p{N}]+/u)
  return [whole, words.join(""), ...words].filter((word) => word.length >= 3)
}

const levels: ReadonlyArray<Omit<Meter, "advice">> = [
  { steps: 1, tone: "bad", word: "Too easy to guess" },
  { steps: 1, tone: "bad", word: "Too easy to guess" },
  { steps: 2, tone: "warn", word: "Still too easy to guess" },
  { steps: 3, tone: "ok", word: "Good" },
  { steps: 4, tone: "ok", word: "Strong" }
]

/** What to show. Without a judgement, which takes a moment, only the length counts. */
export const meterOf = (password: string, judgement: Judgement | null): Meter => {
  if (password.length === 0) return { steps: 0, tone: "bad", word: "", advice: [] }
  const missing = minLength - password.length
  if (missing > 0) return { steps: 1, tone: "bad", word: `${missing} more to go`, advice: judgement?.advice ?? [] }
  const level = judgement === null ? undefined : levels[judgement.score]
  return level === undefined
    ? { steps: 2, tone: "warn", word: "Long enough", advice: [] }
    : { ...level, advice: level.tone === "ok" ? [] : (judgement?.advice ?? []) }
}
