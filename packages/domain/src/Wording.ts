/** Words for people: of what is wrong with a value, which go on after its name ("name must not be empty"), and of codes. */

const types: Readonly<Record<string, ReadonlyArray<string>>> = {
  string: ["a string"],
  number: ["a number"],
  boolean: ["true", "false"],
  array: ["an array"],
  object: ["an object"]
}

const choice = (all: ReadonlyArray<string>) =>
  all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`

const phrases: ReadonlyArray<readonly [RegExp, string]> = [
  [/^Missing key$/, "is missing"],
  [/^Expected an integer$/, "must be a whole number"],
  [/^Expected a finite number$/, "must be a number"],
  [/^Expected a value between (\S+) and (\S+)$/, "must be from $1 to $2"],
  [/^Expected a value with a length of at least 1$/, "must not be empty"],
  [/^Expected a value with a length of at most (\d+)$/, "must not be longer than $1"],
  [/^Expected a string with no leading or trailing whitespace$/, "must not begin or end with a space"],
  [/^Expected an array with unique items$/, "must not name anything twice"]
]

/** A schema's own message in such words, and without the value, which may be a secret. */
export const plain = (message: string): string => {
  const wanted = message.replace(/, (?:got|actual) [\s\S]*$/, "")
  for (const [pattern, words] of phrases) if (pattern.test(wanted)) return wanted.replace(pattern, words)
  if (!wanted.startsWith("Expected ")) return wanted
  const all = wanted.slice("Expected ".length).split(" | ")
  return `must be ${choice(all.flatMap((one) => types[one] ?? one))}`
}

export const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1)

/** A stable word that has no phrase is read with spaces; what somebody typed stays as it was typed. */
export const readable = (reason: string) => (/^[a-z]+(_[a-z]+)*$/.test(reason) ? reason.replaceAll("_", " ") : reason)

/** The phrase for a word, which may be anybody's: `constructor` has none. */
export const phraseOf = (phrases: Readonly<Record<string, string>>, word: string) =>
  Object.hasOwn(phrases, word) ? phrases[word] : undefined
