/**
 * What a browser has to fetch before it shows a page, counted in the files of the last build.
 *
 * Read are the files as the broker sends them, and which of them a page needs as the build itself has noted it.
 */
import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Schema } from "effect"
import { assert, describe, it } from "vitest"

const admin = join(dirname(fileURLToPath(import.meta.url)), "..")
const notes = join(admin, ".svelte-kit", "output", "server")

/** JavaScript at the first load of any page, in bytes of brotli. */
const budget = 200_000

const Files = Schema.Array(Schema.String)
const Node = Schema.Struct({ imports: Files })
const Manifest = Schema.Struct({
  manifest: Schema.Struct({
    client: Schema.Struct({ imports: Files }),
    routes: Schema.Array(
      Schema.Struct({
        id: Schema.String,
        page: Schema.Struct({
          layouts: Schema.Array(Schema.UndefinedOr(Schema.Int)),
          errors: Schema.Array(Schema.UndefinedOr(Schema.Int)),
          leaf: Schema.Int
        })
      })
    )
  })
})

const noted = async (path: string): Promise<unknown> => import(pathToFileURL(join(notes, path)).href)

/** What the document has the browser fetch ahead, whichever page it is for. */
const preloaded = () =>
  [...readFileSync(join(admin, "build", "index.html"), "utf8").matchAll(/href="\/([^"]+\.js)"/g)].map(
    ([, file]) => file ?? ""
  )

/** The files that a page needs: the start of every page, its layouts, and what they show when something fails. */
const pagesOf = async () => {
  assert(existsSync(join(admin, "build", ".stamp")), "There is no build of the dashboard: make one with pnpm build")
  const { client, routes } = Schema.decodeUnknownSync(Manifest)(await noted("manifest-full.js")).manifest
  return Promise.all(
    routes.map(async ({ id, page }) => {
      const nodes = [...page.layouts, ...page.errors, page.leaf].filter((node) => node !== undefined)
      const files = await Promise.all(
        nodes.map(async (node) => Schema.decodeUnknownSync(Node)(await noted(`nodes/${node}.js`)).imports)
      )
      return { id, files: new Set([...preloaded(), ...client.imports, ...files.flat()]) }
    })
  )
}

const sizeOf = (file: string) => statSync(join(admin, "build", `${file}.br`)).size

describe("the dashboard", () => {
  it("loads no page with more than 200 kB of JavaScript", async () => {
    const pages = await pagesOf()
    assert.isAbove(pages.length, 20)

    const sizes = pages.map(({ files, id }) => ({ id, size: [...files].reduce((sum, file) => sum + sizeOf(file), 0) }))
    // Less than the runtime alone weighs: nothing was counted.
    assert.deepStrictEqual(
      sizes.filter(({ size }) => size < 50_000),
      []
    )
    assert.deepStrictEqual(
      sizes.filter(({ size }) => size > budget),
      []
    )
  })
})
