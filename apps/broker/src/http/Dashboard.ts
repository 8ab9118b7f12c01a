/**
 * The admin app's static build, for every GET that nothing else claims. It is held in memory; paths are only looked up,
 * never resolved, so none leads out of the build.
 */

import { fileURLToPath } from "node:url"
import { Effect, FileSystem, Option, Path } from "effect"
import { HttpRouter, HttpServerResponse, Mime } from "effect/http"
import { catchAll } from "./RouteTable.ts"
import * as Static from "./Static.ts"

const built = fileURLToPath(new URL("../../../admin/build", import.meta.url))

/** Below these a missing file is missing; anywhere else it may be a page of the dashboard. */
const claimed = /^\/(?:api|rpc|_app|problems|docs|\.well-known)(?:\/|$)/

/** Scripts of the build and the inline ones that index.html came with, nothing from elsewhere. */
const pageHeaders = (html: string) => ({
  "cache-control": "no-cache",
  "content-security-policy": [
    "default-src 'self'",
    `script-src 'self' ${Static.scriptHashes(html)}`.trim(),
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'"
  ].join("; "),
  "referrer-policy": "same-origin"
})

const fileHeaders = (name: string) => ({
  "cache-control": name.startsWith("_app/immutable/") ? "public, max-age=31536000, immutable" : "no-cache"
})

const contentType = (name: string) => {
  const type = Option.getOrElse(Mime.getType(name), () => "application/octet-stream")
  return /^text\/|javascript|json|xml/.test(type) ? `${type}; charset=utf-8` : type
}

const unbuilt =
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Broker</title></head><body>` +
  `<h1>The dashboard is not built</h1><p>The API works. For the dashboard run <code>pnpm build</code> in the ` +
  `broker's directory, then start the broker again.</p><p><a href="/docs">API documentation</a></p></body></html>`

const load = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const files = new Map<string, Static.Static>()
  if (!(yield* fs.exists(path.join(root, "index.html")))) return files

  const base = yield* fs.realPath(root)
  const names = new Set(yield* fs.readDirectory(base, { recursive: true }))
  const read = (name: string) => (names.has(name) ? fs.readFile(path.join(base, name)) : Effect.succeed(undefined))
  for (const name of names) {
    const full = path.join(base, name)
    const isFile = (yield* fs.stat(full)).type === "File" && (yield* fs.realPath(full)) === full
    if (!isFile || /\.(?:br|gz)$/.test(name)) continue
    const body = yield* fs.readFile(full)
    const url = name.split(path.sep).join("/")
    files.set(
      `/${url}`,
      Static.make({
        body,
        contentType: contentType(url),
        headers: url === "index.html" ? pageHeaders(new TextDecoder().decode(body)) : fileHeaders(url),
        br: yield* read(`${name}.br`),
        gzip: yield* read(`${name}.gz`)
      })
    )
  }
  return files
})

/** Add it with the other routes, in any order: the router prefers every other path. */
export const layer = (root: string = built) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const files = yield* load(root)
      const index =
        files.get("/index.html") ??
        Static.make({
          body: new TextEncoder().encode(unbuilt),
          contentType: "text/html; charset=utf-8",
          headers: { "cache-control": "no-store" }
        })
      if (files.size === 0) yield* Effect.logWarning("The dashboard is not built: run `pnpm build`")
      files.delete("/index.html")
      const missing = HttpServerResponse.empty({ status: 404 })
      const noIcon = HttpServerResponse.empty({ headers: { "cache-control": "public, max-age=86400" } })

      yield* router.add("GET", catchAll, (request) => {
        const query = request.url.indexOf("?")
        const path = query === -1 ? request.url : request.url.slice(0, query)
        const file = files.get(path)
        // Browsers ask for it beside every page that is not the dashboard's.
        if (path === "/favicon.ico" && file === undefined) return Effect.succeed(noIcon)
        if (file !== undefined) return Effect.succeed(Static.respond(file, request))
        const isPage = path === "/" || (!claimed.test(path) && (request.headers.accept ?? "").includes("text/html"))
        return Effect.succeed(isPage ? Static.respond(index, request) : missing)
      })
    })
  )
