/** The changelog as data: a heading for each release, and under it what it can do. */
import { lexer } from "marked"

export interface Release {
  /** `Unreleased`, or a version. */
  readonly version: string
  readonly changes: ReadonlyArray<string>
}

export const releases = (markdown: string): ReadonlyArray<Release> => {
  const found: Array<{ version: string; changes: Array<string> }> = []
  for (const token of lexer(markdown)) {
    if (token.type === "heading" && token["depth"] === 2) found.push({ version: String(token["text"]), changes: [] })
    if (token.type !== "list") continue
    for (const item of token["items"]) found.at(-1)?.changes.push(String(item.text).replace(/\s+/g, " "))
  }
  return found
}
