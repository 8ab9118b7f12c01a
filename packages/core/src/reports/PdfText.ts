/**
 * Text in a PDF, in fonts that are embedded: Geist, and for signs that it has not, GNU Unifont (UnifontEX), which has one
 * for nearly every sign there is. Both are under the SIL Open Font License 1.1.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as fontkit from "fontkit"
import { unpack } from "./Woff.ts"

const require = createRequire(import.meta.url)

export type Weight = "regular" | "strong"

interface Face {
  readonly name: string
  readonly file: Buffer
  has(codePoint: number): boolean
}

const faceOf = (name: string, path: string): Face => {
  const file = unpack(readFileSync(require.resolve(path)))
  const font = fontkit.create(file)
  return { name, file, has: (codePoint) => "hasGlyphForCodePoint" in font && font.hasGlyphForCodePoint(codePoint) }
}

const scripts = ["latin", "latin-ext", "cyrillic", "cyrillic-ext", "vietnamese"] as const

/** In the order in which a sign is looked for. */
const load = () => {
  const geist = (weight: number) =>
    scripts.map((script) =>
      faceOf(`geist-${script}-${weight}`, `@fontsource/geist/files/geist-${script}-${weight}-normal.woff`)
    )
  const last = faceOf("unifont", "@fontsource/unifontex/files/unifontex-latin-400-normal.woff")
  return { regular: [...geist(400), last], strong: [...geist(600), last] }
}

let loaded: ReturnType<typeof load> | undefined

/** Read once, by whoever first makes a PDF. */
const faces = (weight: Weight) => {
  loaded ??= load()
  return loaded[weight]
}

/** A piece of a text that one font has. */
interface Run {
  readonly face: Face
  readonly text: string
}

const missing = "\u{fffd}"

/** Signs that stand alone, with what belongs to them. */
const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" })

const runsOf = (text: string, weight: Weight): ReadonlyArray<Run> => {
  const all = faces(weight)
  const fallback = all.at(-1)
  const runs: Array<{ face: Face; text: string }> = []
  // What has no sign, such as a tab, is a space.
  for (const { segment } of segmenter.segment(text.replaceAll(/\p{Cc}+/gu, " "))) {
    const own = all.find((face) => [...segment].every((sign) => face.has(sign.codePointAt(0) ?? 0)))
    const face = own ?? fallback
    if (face === undefined) continue
    const written =
      own === undefined
        ? [...segment].map((sign) => (face.has(sign.codePointAt(0) ?? 0) ? sign : missing)).join("")
        : segment
    const last = runs.at(-1)
    if (last?.face === face) last.text += written
    else runs.push({ face, text: written })
  }
  return runs
}

export interface Style {
  readonly size: number
  readonly weight?: Weight
  readonly color: string
}

export class PdfText {
  readonly #document: PDFKit.PDFDocument
  readonly #known = new Set<string>()
  readonly #widths = new Map<string, number>()

  constructor(document: PDFKit.PDFDocument) {
    this.#document = document
  }

  #use({ face }: Run, size: number) {
    if (!this.#known.has(face.name)) {
      this.#document.registerFont(face.name, face.file)
      this.#known.add(face.name)
    }
    return this.#document.font(face.name).fontSize(size)
  }

  width(text: string, { size, weight = "regular" }: Pick<Style, "size" | "weight">): number {
    const key = `${weight} ${size} ${text}`
    const known = this.#widths.get(key)
    if (known !== undefined) return known
    const width = runsOf(text, weight).reduce((sum, run) => sum + this.#use(run, size).widthOfString(run.text), 0)
    this.#widths.set(key, width)
    return width
  }

  /** Lines that are no wider than that: broken between words where there are some, else within. */
  wrap(text: string, width: number, style: Pick<Style, "size" | "weight">): ReadonlyArray<string> {
    if (this.width(text, style) <= width) return [text]
    const lines: Array<string> = []
    let line = ""
    for (const word of text.split(/(?<=[\s/\-_,.])/u)) {
      if (this.width((line + word).trimEnd(), style) <= width) {
        line += word
        continue
      }
      if (line.trim() !== "") lines.push(line.trimEnd())
      line = ""
      for (const { segment } of segmenter.segment(word)) {
        if (line !== "" && this.width(line + segment, style) > width) {
          lines.push(line)
          line = ""
        }
        line += segment
      }
    }
    if (line.trim() !== "") lines.push(line.trimEnd())
    return lines
  }

  /** One line, on its baseline. */
  write(text: string, x: number, baseline: number, style: Style) {
    let at = x
    for (const run of runsOf(text, style.weight ?? "regular")) {
      const document = this.#use(run, style.size).fillColor(style.color)
      document.text(run.text, at, baseline, { lineBreak: false, baseline: "alphabetic" })
      at += document.widthOfString(run.text)
    }
    return at
  }

  writeRight(text: string, right: number, baseline: number, style: Style) {
    this.write(text, right - this.width(text, style), baseline, style)
  }
}
