/** What is wrong with a value, in words that go on after its name: "name must not be empty". */

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
