/** How strong a password is by its length alone: the broker asks for nothing else. */

export interface Strength {
  /** 0 to 4. */
  readonly score: number
  readonly word: string
}

const levels: ReadonlyArray<readonly [from: number, word: string]> = [
  [12, "Enough"],
  [16, "Good"],
  [24, "Strong"]
]

const minLength = 12

export const strength = (password: string): Strength => {
  if (password.length === 0) return { score: 0, word: "" }
  const missing = minLength - password.length
  if (missing > 0) return { score: 1, word: `${missing} more to go` }
  const reached = levels.filter(([from]) => password.length >= from)
  return { score: reached.length + 1, word: reached.at(-1)?.[1] ?? "" }
}
