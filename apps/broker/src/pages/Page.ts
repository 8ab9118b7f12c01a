/** The frame of every page that the broker writes itself: no script, nothing from elsewhere, readable on a phone. */
import { createHash } from "node:crypto"
import { sections } from "./Contents.ts"

const style = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b2430;--soft:#55606e;--line:#dfe4e9;--shade:#f4f6f8;--accent:#0b6e6e;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media(prefers-color-scheme:dark){:root{--bg:#12181f;--fg:#e6ebf0;--soft:#a3afbb;--line:#2b3640;--shade:#1a222b;
--accent:#5fd0c5}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.6 system-ui,sans-serif;overflow-wrap:break-word}
a{color:var(--accent);text-underline-offset:.15em}
a:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:2px}
.skip{position:absolute;left:-100vw}.skip:focus{left:1rem;top:.5rem;background:var(--bg);padding:.25rem .5rem;z-index:1}
header{display:flex;gap:1rem;align-items:baseline;padding:.75rem 1.5rem;border-bottom:1px solid var(--line)}
header a{color:var(--soft);text-decoration:none}header a:hover{text-decoration:underline}
header a:first-of-type{color:var(--fg);font-weight:600;margin-right:auto}
.frame{display:grid;grid-template-columns:15rem minmax(0,50rem);gap:3rem;max-width:71rem;margin:0 auto;padding:0 1.5rem}
nav{grid-row:1;padding:1.75rem 0 3rem;font-size:.875rem;line-height:1.45;position:sticky;top:0;align-self:start;
max-height:100vh;overflow-y:auto}
nav h2{font-size:.8125rem;font-weight:600;margin:1.25rem 0 .35rem;color:var(--soft)}nav h2:first-child{margin-top:0}
nav ul{list-style:none;margin:0;padding:0}
nav a{display:block;padding:.2rem .6rem;border-left:2px solid var(--line);color:var(--fg);text-decoration:none}
nav a:hover{color:var(--accent)}
nav a[aria-current]{border-left-color:var(--accent);color:var(--accent);font-weight:600}
nav ul ul a{padding-left:1.35rem;color:var(--soft)}
main{padding:1.75rem 0 4rem;min-width:0}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 1rem;letter-spacing:-.01em}
main h2{font-size:1.25rem;line-height:1.3;margin:2.5rem 0 .75rem;padding-top:1.25rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.75rem 0 .5rem}
h2 .anchor,h3 .anchor{margin-left:.4rem;color:var(--soft);text-decoration:none;opacity:0}
h2:hover .anchor,h3:hover .anchor,.anchor:focus{opacity:1}
p,ul,ol,pre,blockquote{margin:0 0 1rem}ul,ol{padding-left:1.4rem}li{margin:.2rem 0}
code{font-family:var(--mono);font-size:.875em;background:var(--shade);padding:.1em .3em;border-radius:4px}
pre{font:.8125rem/1.55 var(--mono);background:var(--shade);border:1px solid var(--line);border-radius:8px;
padding:.9rem 1rem;overflow-x:auto;tab-size:2}
pre code{font:inherit;background:none;padding:0}
.table{overflow-x:auto;margin:0 0 1.25rem}
table{border-collapse:collapse;font-size:.875rem;line-height:1.5;min-width:100%}
th{text-align:left;font-weight:600;color:var(--soft)}
th,td{padding:.45rem .9rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top;min-width:3.75rem}
td code{white-space:nowrap}
blockquote{border-left:3px solid var(--line);padding-left:1rem;color:var(--soft)}
img{max-width:100%;height:auto}
hr{border:0;border-top:1px solid var(--line);margin:2rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.25rem 2rem;list-style:none;padding:0}
.cards li{margin:.35rem 0}.cards span{display:block;color:var(--soft);font-size:.875rem}
.narrow{display:none}
@media(max-width:56rem){.frame{display:block;padding:0 1rem}header{padding:.75rem 1rem}.narrow{display:inline}
nav{position:static;max-height:none;border-top:1px solid var(--line);font-size:1rem}nav a{padding:.5rem .75rem}
main{padding:1.25rem 0 2rem}h1{font-size:1.5rem}}
@media print{header,nav{display:none}.frame{display:block}}
`.replaceAll("\n", "")

/** Of pages with this style and without any script. */
export const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${createHash("sha256")
  .update(style)
  .digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

export const escape = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** A heading that can be led to. */
export interface Heading {
  readonly anchor: string
  readonly text: string
}

export interface Content {
  readonly title: string
  /** Where the page is served, which the navigation marks. */
  readonly path: string
  /** HTML, made by us. */
  readonly body: string
  readonly headings?: ReadonlyArray<Heading>
}

const link = (href: string, label: string, current = false) =>
  `<a href="${escape(href)}"${current ? ' aria-current="page"' : ""}>${escape(label)}</a>`

const navigation = ({ headings = [], path }: Content) =>
  sections
    .map(({ pages, title }) => {
      const items = pages.map((page) => {
        const isCurrent = page.path === path
        const inside = isCurrent ? headings.map(({ anchor, text }) => `<li>${link(`#${anchor}`, text)}</li>`) : []
        const list = inside.length === 0 ? "" : `<ul>${inside.join("")}</ul>`
        return `<li>${link(page.path, page.label, isCurrent)}${list}</li>`
      })
      return `<h2>${escape(title)}</h2><ul>${items.join("")}</ul>`
    })
    .join("")

/** The whole page. What it is about comes first for whoever reads it top down, and the navigation beside it or below. */
export const page = (content: Content) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8">` +
  `<meta name="viewport" content="width=device-width,initial-scale=1">` +
  `<title>${escape(content.title)} · Broker</title><style>${style}</style></head><body>` +
  `<a class="skip" href="#main">Skip to the text</a>` +
  `<header><a href="/docs/guides">Broker documentation</a><a href="#pages" class="narrow">All pages</a>` +
  `<a href="/docs">API</a></header><div class="frame"><main id="main">${content.body}</main>` +
  `<nav id="pages" aria-label="Documentation">${navigation(content)}</nav></div></body></html>`
