import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { brotliCompressSync, gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll } from "vitest"
import { broker } from "./TinyBroker.ts"
import { get, post, request, send } from "./Wire.ts"

const inline = "document.documentElement.dataset.theme = 'dark'"
const index = `<!doctype html><title>Broker</title><script>${inline}</script><script type="module" src="/_app/immutable/a.js"></script>`
const script = "console.log('a')".repeat(20)

const directory = mkdtempSync(join(tmpdir(), "dashboard-"))
const build = join(directory, "build")
mkdirSync(join(build, "_app/immutable"), { recursive: true })
writeFileSync(join(directory, "secret.txt"), "secret")
symlinkSync(join(directory, "secret.txt"), join(build, "link.txt"))
for (const [name, text] of [
  ["index.html", index],
  ["_app/immutable/a.js", script],
  ["robots.txt", "User-agent: *"]
] as const) {
  writeFileSync(join(build, name), text)
  writeFileSync(join(build, `${name}.br`), brotliCompressSync(text))
  writeFileSync(join(build, `${name}.gz`), gzipSync(text))
}
afterAll(() => rmSync(directory, { recursive: true }))

const page = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" }

layer(broker({ dashboard: build }), { excludeTestServices: true })("dashboard", (it) => {
  it.effect("is at / and at every page's address, also one with dots", () =>
    Effect.gen(function* () {
      for (const path of ["/", "/servers", "/servers/fra-1.example.net", "/servers?status=offline", "/link.html"]) {
        const answer = yield* get(path, page)
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        assert.strictEqual(answer.headers["cache-control"], "no-cache")
        assert.strictEqual(answer.body, index)
      }
      assert.strictEqual((yield* get("/")).body, index)
    })
  )

  it.effect("runs its own scripts only", () =>
    Effect.gen(function* () {
      const { headers } = yield* get("/", page)
      const scripts = headers["content-security-policy"]?.split("; ").find((_) => _.startsWith("script-src"))
      assert.strictEqual(scripts, `script-src 'self' 'sha256-${createHash("sha256").update(inline).digest("base64")}'`)
      assert.include(headers["content-security-policy"], "frame-ancestors 'none'")
      assert.notMatch(headers["content-security-policy"] ?? "", /https?:|\*/)
    })
  )

  it.effect("leaves missing things missing", () =>
    Effect.gen(function* () {
      const paths = [
        "/api/v1/typo",
        "/api",
        "/rpc",
        "/_app/immutable/old.js",
        "/_app/version.json",
        "/problems/typo",
        "/.well-known/typo",
        "/docs/typo"
      ]
      for (const path of paths) {
        const answer = yield* get(path, page)
        assert.strictEqual(answer.status, path === "/rpc" ? 405 : 404, path)
        assert.strictEqual(answer.headers["content-type"], "application/problem+json")
      }
      assert.strictEqual((yield* get("/servers", { accept: "application/json" })).status, 404)
      assert.strictEqual((yield* post("/servers", "{}")).status, 404)
      assert.strictEqual((yield* get("/index.html.br")).status, 404)
      assert.strictEqual((yield* get("/favicon.ico")).status, 204)
    })
  )

  it.effect("sends what was compressed beforehand to who accepts it", () =>
    Effect.gen(function* () {
      const plain = yield* get("/robots.txt")
      const br = yield* send(request("HEAD", "/robots.txt", { "accept-encoding": "gzip, br" }))
      const gzip = yield* send(request("HEAD", "/robots.txt", { "accept-encoding": "gzip, br;q=0" }))
      const none = yield* send(request("HEAD", "/robots.txt", { "accept-encoding": "br;q=0, gzip;q=0.0, brotli" }))
      assert.strictEqual(plain.body, "User-agent: *")
      assert.strictEqual(br.headers["content-encoding"], "br")
      assert.strictEqual(gzip.headers["content-encoding"], "gzip")
      assert.isUndefined(none.headers["content-encoding"])
      for (const answer of [plain, br, gzip, none]) assert.strictEqual(answer.headers.vary, "accept-encoding")
      assert.lengthOf(new Set([plain, br, gzip].map(({ headers }) => headers.etag)), 3)
    })
  )

  it.effect("is kept by browsers: hashed files for good, the rest as long as it is the same", () =>
    Effect.gen(function* () {
      const hashed = yield* get("/_app/immutable/a.js")
      assert.strictEqual(hashed.headers["cache-control"], "public, max-age=31536000, immutable")
      assert.match(hashed.headers["content-type"] ?? "", /^text\/javascript/)
      assert.strictEqual(hashed.body, script)

      const etag = (yield* get("/", page)).headers.etag ?? ""
      for (const seen of [etag, `W/${etag}`, `"other", ${etag}`]) {
        const unchanged = yield* get("/", { ...page, "if-none-match": seen })
        assert.strictEqual(unchanged.status, 304)
        assert.strictEqual(unchanged.body, "")
        assert.strictEqual(unchanged.headers.etag, etag)
      }
      assert.strictEqual((yield* get("/", { ...page, "if-none-match": '"other"' })).status, 200)
    })
  )

  it.effect("answers HEAD", () =>
    Effect.gen(function* () {
      const answer = yield* send(request("HEAD", "/servers", page))
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.headers["content-length"], String(index.length))
      assert.strictEqual(answer.body, "")
    })
  )

  it.effect("leads nowhere else", () =>
    Effect.gen(function* () {
      const paths = [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/robots.txt%00.html",
        "/_app/../../secret.txt",
        "//etc/passwd",
        "/%zz",
        "/link.txt/../../secret.txt"
      ]
      for (const path of paths) {
        for (const headers of [{}, page]) {
          const answer = yield* get(path, headers)
          assert.notInclude(answer.body, "secret\n")
          assert.notStrictEqual(answer.body, "secret")
          assert.isTrue(answer.status === 404 || answer.body === index, path)
        }
      }
      assert.notStrictEqual((yield* get("/link.txt")).body, "secret")
    })
  )
})

layer(broker(), { excludeTestServices: true })("without a build", (it) => {
  it.effect("says how to make one", () =>
    Effect.gen(function* () {
      const answer = yield* get("/servers", page)
      assert.strictEqual(answer.status, 200)
      assert.include(answer.body, "pnpm build")
      assert.strictEqual((yield* get("/api/v1/who")).status, 200)
    })
  )
})
