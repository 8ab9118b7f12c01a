/** Tags and labels as somebody types them. */

export const joinTags = (tags: ReadonlyArray<string>) => tags.join(", ")

export const splitTags = (text: string): ReadonlyArray<string> => [
  ...new Set(
    text
      .split(/[,\s]+/)
      .map((tag) => tag.trim())
      .filter((tag) => tag !== "")
  )
]

export const joinLabels = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n")

/** A line without `=` is a key without a value. */
export const splitLabels = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .map((line) => {
        const at = line.indexOf("=")
        return at === -1 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()]
      })
  )
