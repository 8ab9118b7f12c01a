/** Our own Markdown as HTML: headings with anchors as GitHub makes them, and links that lead to what is served. */
import { posix } from "node:path"
import { Marked, type Tokens } from "marked"
import { pages } from "./Contents.ts"
import { escape, type Heading } from "./Page.ts"

const byFile = new Map(pages.flatMap(({ file, path }) => (file === undefined ? [] : [[file, path] as const])))

/** The plain text of a heading. */
const plain = (text: string) => text.replace(/`|\*\*/g, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")

/** As GitHub makes it, so that the same links work there. */
export const anchorOf = (text: string) =>
  plain(text)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-")

/** Where a link of a file leads on the broker; undefined for what is not served. */
export const served = (file: string, href: string): string | undefined => {
  if (/^(https?:|\/|#)/.test(href)) return href
  const [target = "", anchor] = href.split("#")
  const path = byFile.get(posix.join(posix.dirname(file), target))
  if (path === undefined || anchor === undefined) return path
  // Each problem has a page of its own.
  return path === "/problems" ? `/problems/${anchor}` : `${path}#${anchor}`
}

/** Where an image of a file is served. */
const imageAt = (file: string, href: string) => posix.join("/docs", posix.dirname(file), href)

export interface Rendered {
  readonly title: string
  readonly headings: ReadonlyArray<Heading>
  readonly html: string
}

/** Headings of the page, each with an anchor of its own. */
const anchors = () => {
  const seen = new Map<string, number>()
  return (text: string) => {
    const anchor = anchorOf(text)
    const times = seen.get(anchor) ?? 0
    seen.set(anchor, times + 1)
    return times === 0 ? anchor : `${anchor}-${times}`
  }
}

/** Renders a file below `docs/`. */
export const render = (file: string, markdown: string): Rendered => {
  const headings: Array<Heading> = []
  let title = ""
  const anchorFor = anchors()
  const marked = new Marked({
    renderer: {
      heading({ depth, text, tokens }) {
        const inner = this.parser.parseInline(tokens)
        if (depth === 1) {
          title = plain(text)
          return `<h1>${inner}</h1>`
        }
        const anchor = anchorFor(text)
        if (depth === 2) headings.push({ anchor, text: plain(text) })
        const label = `<a class="anchor" href="#${anchor}" aria-label="Link to this section">#</a>`
        return `<h${depth} id="${anchor}">${inner}${label}</h${depth}>`
      },
      link({ href, tokens }) {
        const inner = this.parser.parseInline(tokens)
        const path = served(file, href)
        return path === undefined ? inner : `<a href="${escape(path)}">${inner}</a>`
      },
      image: ({ href, text }) => `<img src="${escape(imageAt(file, href))}" alt="${escape(text)}" loading="lazy">`,
      // A region that scrolls has to be reachable by keys.
      code: ({ text }) => `<pre tabindex="0"><code>${escape(text)}</code></pre>`,
      table(token: Tokens.Table) {
        // The corner above a column that needs no heading is none.
        const tagOf = ({ text }: Tokens.TableCell, tag: "th" | "td") => (text === "" ? "td" : tag)
        const row = (cells: ReadonlyArray<Tokens.TableCell>, tag: "th" | "td") =>
          `<tr>${cells
            .map((cell) => `<${tagOf(cell, tag)}>${this.parser.parseInline(cell.tokens)}</${tagOf(cell, tag)}>`)
            .join("")}</tr>`
        const body = token.rows.map((cells) => row(cells, "td")).join("")
        return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`
      }
    }
  })
  const html = marked.parse(markdown, { async: false })
  return { title, headings, html }
}
