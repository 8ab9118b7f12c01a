/** All of `docs/` is served, in order, with links that lead somewhere and nothing that a page may not have. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { pages } from "../../src/pages/Contents.ts"
import { render, served } from "../../src/pages/Markdown.ts"
import { broker } from "../http/TinyBroker.ts"
import { get } from "../http/Wire.ts"

const docs = fileURLToPath(new URL("../../../../docs", import.meta.url))

const files = readdirSync(docs, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"))

const linksOf = (html: string) => [...html.matchAll(/ href="([^"]+)"/g)].map(([, href = ""]) => href)

/** What the broker serves beside these pages. */
const elsewhere = /^\/(docs|problems|api\/v1\/openapi\.json|\.well-known\/[\w.]+|docs\/changelog\.json)$/

layer(broker(), { excludeTestServices: true })("documentation", (it) => {
  it("lists every page there is, once", () => {
    const listed = pages.flatMap(({ file }) => (file === undefined ? [] : [file]))
    assert.deepStrictEqual(listed.toSorted(), files.toSorted())
  })

  it("leads nowhere that is not there", () => {
    const rendered = new Map(files.map((file) => [file, render(file, readFileSync(join(docs, file), "utf8"))]))
    const anchors = new Map(
      [...rendered].map(([file, { html }]) => {
        const path = pages.find((page) => page.file === file)?.path ?? ""
        return [path, new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id = ""]) => id))] as const
      })
    )
    const broken = [...rendered].flatMap(([file, { html }]) => {
      const own = pages.find((page) => page.file === file)?.path ?? ""
      return linksOf(html).flatMap((href) => {
        const [, code] = /^\/problems\/(\w+)$/.exec(href) ?? []
        if (code !== undefined) return anchors.get("/problems")?.has(code) ? [] : [`${file}: ${href}`]
        if (/^https?:/.test(href) || elsewhere.test(href)) return []
        const [path = "", anchor] = href.split("#")
        const ids = anchors.get(path === "" ? own : path)
        return ids === undefined || (anchor !== undefined && !ids.has(decodeURIComponent(anchor)))
          ? [`${file}: ${href}`]
          : []
      })
    })
    assert.deepStrictEqual(broken, [])
  })

  it("has no link that only the broker, or only the repository, can follow", () => {
    const broken = [...files.map((file) => join("docs", file)), "README.md"].flatMap((file) =>
      [...readFileSync(join(docs, "..", file), "utf8").matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, href = ""]) => {
        const [path = ""] = href.split("#")
        return /^https?:/.test(href) || path === "" || existsSync(join(docs, "..", dirname(file), path))
          ? []
          : [`${file}: ${href}`]
      })
    )
    assert.deepStrictEqual(broken, [])
  })

  it("knows where a link to another file leads", () => {
    assert.strictEqual(served("guides/write-a-client.md", "../client-sdk.md#a-client"), "/docs/client-sdk#a-client")
    assert.strictEqual(served("rules.md", "security.md"), "/docs/security")
    assert.strictEqual(served("rules.md", "../README.md"), undefined)
    assert.strictEqual(served("guides/write-a-client.md", "../problems.md#gone"), "/problems/gone")
  })

  it.effect("serves each, with its heading, without scripts, and to be read on a phone", () =>
    Effect.gen(function* () {
      for (const path of ["/docs/guides", ...pages.map(({ path }) => path)]) {
        if (path === "/docs") continue
        const answer = yield* get(path, { accept: "text/html" })
        assert.strictEqual(answer.status, 200, path)
        assert.match(answer.headers["content-type"] ?? "", /^text\/html/)
        const policy = answer.headers["content-security-policy"] ?? ""
        assert.match(policy, /^default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri 'none'/)
        for (const [, src = ""] of answer.body.matchAll(/<img src="([^"]*)"/g)) {
          const image = yield* get(src)
          assert.strictEqual(image.headers["content-type"], "image/svg+xml", `${path}: ${src}`)
          assert.include(policy, "img-src 'self'")
        }
        assert.notMatch(answer.body, /<script|style="|<iframe|\son\w+=/, path)
        assert.match(answer.body, /<h1>[^<]+/, path)
        assert.include(answer.body, "width=device-width")
        assert.include(answer.body, `href="${path}"`)
      }
    })
  )

  it.effect("sends a page once", () =>
    Effect.gen(function* () {
      const first = yield* get("/docs/glossary")
      const again = yield* get("/docs/glossary", { "if-none-match": first.headers.etag ?? "" })
      assert.strictEqual(again.status, 304)
    })
  )

  it.effect("gives the changelog to programs, too", () =>
    Effect.gen(function* () {
      const { json } = yield* get("/docs/changelog.json")
      const [unreleased] = json.items as ReadonlyArray<{ readonly version: string; readonly changes: unknown }>
      assert.strictEqual(unreleased?.version, "Unreleased")
      assert.isNotEmpty(unreleased?.changes)
    })
  )

  it.effect("has no page of another name", () =>
    Effect.gen(function* () {
      for (const path of ["/docs/nope", "/docs/guides/nope", "/docs/..%2fREADME", "/docs/README.md"]) {
        assert.strictEqual((yield* get(path, { accept: "text/html" })).status, 404, path)
      }
    })
  )
})
