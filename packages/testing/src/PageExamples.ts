/** Code that a page shows, held against the test that runs it. */
import { readFileSync } from "node:fs"

const importing = /^import (?:\* as \w+|\{ (.*) \}) from "(.*)"$/

/** What of a module's names is not there. */
const unknownIn = async (names: string | undefined, module: string) => {
  const there: object = await import(module)
  return (names ?? "").split(", ").filter((name) => name !== "" && !Object.hasOwn(there, name))
}

/** The TypeScript of a page, block by block. */
export const blocksOf = (page: URL): ReadonlyArray<string> =>
  [...readFileSync(page, "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code)

const linesOf = (text: string) => text.split("\n").map((line) => line.trim())

/** Lines of a page's code that do not run in a test as they stand, and what they import that is not there. */
export const strangeLines = async (blocks: ReadonlyArray<string>, test: URL): Promise<ReadonlyArray<string>> => {
  const here = new Set(linesOf(readFileSync(test, "utf8")))
  const found: Array<string> = []
  for (const line of blocks.flatMap(linesOf).filter((line) => line !== "" && !here.has(line))) {
    const [, names, module] = importing.exec(line) ?? []
    if (module === undefined) found.push(line)
    else found.push(...(await unknownIn(names, module)).map((name) => `${module} has no ${name}`))
  }
  return found
}
