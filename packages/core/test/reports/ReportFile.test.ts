import * as ReportFile from "@broker/core/reports/ReportFile"
import * as ReportMail from "@broker/core/reports/ReportMail"
import { ReportData, type ReportFormat, ReportRunId } from "@broker/domain/Report"
import { assert, describe, it } from "@effect/vitest"
import { parse } from "csv-parse/sync"
import { DateTime, Effect, Schema, Stream } from "effect"
import { getDocument } from "pdfjs-dist/legacy/build/pdf.mjs"
import { data, names } from "./samples.ts"

const name = "Monthly usage of Łódź"

const bytesOf = (format: ReportFormat, of = data) =>
  Effect.map(Stream.runCollect(ReportFile.render(format, of, name, 100)), (parts) => Buffer.concat(parts))

/** Everything that a reader of PDFs finds in one. */
const opened = Effect.fnUntraced(function* (bytes: Buffer) {
  const document = yield* Effect.promise(() => getDocument({ data: new Uint8Array(bytes), verbosity: 0 }).promise)
  const { info } = yield* Effect.promise(() => document.getMetadata())
  const mark = yield* Effect.promise(() => document.getMarkInfo())
  const pages = yield* Effect.forEach(
    Array.from({ length: document.numPages }, (_, index) => index + 1),
    (number) =>
      Effect.promise(async () => {
        const page = await document.getPage(number)
        const { items } = await page.getTextContent()
        await page.getOperatorList()
        const written = items.flatMap((item) => ("str" in item ? [item] : []))
        const fonts = [...new Set(written.map(({ fontName }) => fontName))].map((font) => page.commonObjs.get(font))
        return { view: page.view, written, fonts, tree: await page.getStructTree() }
      })
  )
  return { info, mark, pages, text: pages.map(({ written }) => written.map(({ str }) => str).join(" ")) }
})

describe("ReportFile", () => {
  it.effect("W4 the same data give the same bytes in every format", () =>
    Effect.gen(function* () {
      for (const format of ["csv", "json", "pdf"] as const) {
        assert.isTrue((yield* bytesOf(format)).equals(yield* bytesOf(format)), format)
      }
    })
  )

  it.effect("W4 CSV has all rows, all of the same width, and no formulas", () =>
    Effect.gen(function* () {
      const rows: ReadonlyArray<ReadonlyArray<string>> = parse(yield* bytesOf("csv"), { relax_column_count: false })
      const cells = rows.flat()
      for (const cell of cells) assert.notMatch(cell, /^[=+\-@\t\r]/)
      for (const wanted of names) {
        assert.include(cells, /^[=+\-@\t\r]/.test(wanted) ? `'${wanted}` : wanted)
      }
      const servers = rows.findIndex(([first]) => first === "By server")
      assert.deepStrictEqual(rows[servers + 1]?.slice(0, 4), ["Server", "Group", "Connections", "Received (bytes)"])
      assert.strictEqual(rows.filter(([first]) => first?.startsWith("gateway-")).length, 150 - names.length)
      assert.isTrue(rows.some(([first]) => first === "and 1850 more"))
      // Of the time zone that the report is of.
      assert.isTrue(rows.some(([first, second]) => first === "From" && second === "2026-10-01T02:00:00.000+02:00"))
      assert.deepStrictEqual(rows.find(([first]) => first === "Connections")?.slice(0, 3), [
        "Connections",
        "1234",
        "1000"
      ])
    })
  )

  it.effect("JSON is the data itself, under the report's name", () =>
    Effect.gen(function* () {
      const text = (yield* bytesOf("json")).toString()
      assert.strictEqual(JSON.parse(text).name, name)
      assert.deepStrictEqual(Schema.decodeUnknownSync(ReportData)(JSON.parse(text)), data)
    })
  )

  it.effect(
    "a PDF tells all of it: pages with numbers, embedded fonts, names of any script, and nothing over an edge",
    () =>
      Effect.gen(function* () {
        const bytes = yield* bytesOf("pdf")
        const embedded = [...bytes.toString("latin1").matchAll(/\/BaseFont \/(\S+)/gu)].map(([, font]) => font ?? "")
        assert.isAbove(embedded.length, 4)
        for (const font of embedded) assert.match(font, /^[A-Z]{6}\+(Geist|Unifont)/)
        const { info, mark, pages, text } = yield* opened(bytes)
        assert.deepInclude<object>(info, {
          Title: `${name}, 2026-10-01 02:00 to 2026-11-01 01:00`,
          Author: "Broker",
          Language: "en",
          // The end of what it is about.
          CreationDate: "D:20261101000000Z"
        })
        assert.deepInclude(Object.fromEntries(Object(mark)), { Marked: true })
        const all = text.join("\n").replaceAll(/\s+/gu, "")
        // Of what is written from the right, or not sign by sign, readers make what they can.
        const plain = names.flatMap((each) => each.split(" · ")).filter((each) => !/[\u0590-\u097f]|👩/u.test(each))
        for (const wanted of plain) {
          assert.include(all, wanted.replaceAll(/\s+/gu, ""), wanted)
        }
        for (const wanted of [
          "1,234",
          "23%more",
          "99.91%",
          "0.08pointsless",
          "100of2,000",
          "and1,900more",
          "Nothingtotell."
        ]) {
          assert.include(all, wanted)
        }
        assert.isAbove(pages.length, 2)
        for (const [index, { fonts, tree, view, written }] of pages.entries()) {
          assert.include(text[index], `${index + 1} of ${pages.length}`)
          const [, , width, height] = view
          for (const { str, transform, width: wide } of written) {
            const [, , , , x, y] = transform
            assert.isAtLeast(x, 40, str)
            assert.isAtMost(x + wide, Number(width) - 40, str)
            assert.isAtLeast(y, 20, str)
            assert.isAtMost(y, Number(height) - 20, str)
          }
          for (const font of fonts) assert.isFalse(font.missingFile)
          assert.isNotNull(tree)
          // The heads of a table come again where it goes on.
          if (text[index]?.includes("gateway-")) assert.include(text[index], "Connections")
        }
      })
  )

  it("an e-mail has no more attached than mail servers take, and names the rest", () => {
    const at = DateTime.makeUnsafe("2026-11-02T00:00:00Z")
    const files = [
      ["pdf", 6_000_000],
      ["csv", 5_000_000],
      ["json", 1_000_000]
    ] as const
    const { attachments, text } = ReportMail.message(
      {
        id: ReportRunId.make("019ab8f0-4d77-7c52-9e0a-6f3b8d1c4e0a"),
        name: "Large",
        parameters: {
          kind: "usage",
          range: { kind: "named", name: "yesterday" },
          timeZone: "UTC",
          groupId: null,
          compare: false
        },
        startsAt: DateTime.subtract(at, { days: 1 }),
        endsAt: at,
        complete: true,
        finishedAt: at,
        mailLeft: ["ada@example.com"],
        mailAttempts: 1
      },
      files.map(([format, bytes]) => ({
        name: `large.${format}`,
        type: format,
        bytes,
        sha256: format,
        content: Stream.empty
      })),
      { attachedBytes: 10_000_000, audience: "https://broker.example.com" }
    )
    assert.deepStrictEqual(
      attachments.map(({ name }) => name),
      ["large.pdf", "large.json"]
    )
    assert.include(text, "large.csv (too large to be attached: download it)\nSHA-256 csv")
    assert.include(text, "large.pdf\nSHA-256 pdf")
  })

  it("a file's name is safe wherever it is saved", () => {
    assert.strictEqual(ReportFile.disposition("it's (5*).pdf"), "attachment; filename*=UTF-8''it%27s%20%285%2A%29.pdf")
    const span = {
      from: DateTime.makeUnsafe("2026-10-31T23:00:00Z"),
      to: DateTime.makeUnsafe("2026-11-30T23:00:00Z"),
      timeZone: "Europe/Berlin"
    }
    assert.strictEqual(
      ReportFile.nameOf('../eu\\ber\r\nlin: "all"', span, "pdf"),
      ".. eu ber lin all 2026-11-01 to 2026-11-30.pdf"
    )
  })
})
