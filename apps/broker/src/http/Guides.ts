/** The pages of `docs/`, as they stand there, for whoever has a broker and no repository. */
import { fileURLToPath } from "node:url"
import { Effect, FileSystem, Path } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Changelog from "../pages/Changelog.ts"
import { type ListedPage, pages, sections } from "../pages/Contents.ts"
import { render } from "../pages/Markdown.ts"
import { contentSecurityPolicy, escape, page } from "../pages/Page.ts"
import * as Static from "./Static.ts"

const directory = fileURLToPath(new URL("../../../../docs", import.meta.url))

const made = (body: string) =>
  Static.compressed(new TextEncoder().encode(body), "text/html; charset=utf-8", {
    "cache-control": "no-cache",
    "content-security-policy": `${contentSecurityPolicy}; img-src 'self'`
  })

/** Opened by itself, a drawing is a document, and runs nothing. */
const drawing = (content: Uint8Array) =>
  Static.compressed(content, "image/svg+xml", {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"
  })

const index = () =>
  page({
    title: "Documentation",
    path: "/docs/guides",
    body: `<h1>Documentation</h1><p>The control plane of a fleet of peer-to-peer gateways: how to join it, use it, build on it and run it.</p>${sections
      .map(
        ({ pages, title }) =>
          `<h2>${escape(title)}</h2><ul class="cards">${pages
            .map(
              ({ about, label, path }) => `<li><a href="${path}">${escape(label)}</a><span>${escape(about)}</span></li>`
            )
            .join("")}</ul>`
      )
      .join("")}`
  })

const isServed = ({ file, path }: ListedPage): boolean => file !== undefined && path.startsWith("/docs/")

/** Serves `/docs/guides` and all that it lists. A page is made when it is first asked for. */
export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const read = (file: string) => fs.readFileString(path.join(directory, file))

    // Where somebody has taken the broker without its documentation.
    const missing = HttpServerResponse.empty({ status: 404 })

    const contents = yield* Effect.cached(made(index()))
    yield* router.add("GET", "/docs/guides", (request) =>
      Effect.map(contents, (answer) => Static.respond(answer, request))
    )

    for (const { file = "", path } of pages.filter(isServed)) {
      const written = Effect.map(read(file), (markdown) => {
        const { headings, html, title } = render(file, markdown)
        return page({ title, headings, path, body: html })
      })
      const answer = yield* Effect.cached(Effect.flatMap(written, made))
      yield* router.add("GET", path as HttpRouter.PathInput, (request) =>
        answer.pipe(
          Effect.map((answer) => Static.respond(answer, request)),
          Effect.orElseSucceed(() => missing)
        )
      )
    }

    const listed = yield* Effect.orElseSucceed(
      fs.readDirectory(path.join(directory, "images"), { recursive: true }),
      (): Array<string> => []
    )
    for (const name of listed.filter((name) => name.endsWith(".svg"))) {
      const answer = yield* Effect.cached(Effect.flatMap(fs.readFile(path.join(directory, "images", name)), drawing))
      yield* router.add("GET", `/docs/images/${name.replaceAll("\\", "/")}`, (request) =>
        answer.pipe(
          Effect.map((answer) => Static.respond(answer, request)),
          Effect.orElseSucceed(() => missing)
        )
      )
    }

    const releases = yield* Effect.cached(
      Effect.orDie(Effect.map(read("changelog.md"), (markdown) => ({ items: Changelog.releases(markdown) })))
    )
    yield* router.add(
      "GET",
      "/docs/changelog.json",
      Effect.map(releases, (body) => HttpServerResponse.jsonUnsafe(body))
    )
  })
)
