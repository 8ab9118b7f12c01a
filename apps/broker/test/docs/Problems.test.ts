/** `docs/problems.md` and the pages behind `type`, from the same declarations. */
import { fileURLToPath } from "node:url"
import { Api } from "@broker/api/Api"
import { OpenApi } from "effect/http-api"
import { assert, describe, expect, it } from "vitest"
import { explained } from "../../src/Broker.ts"
import { entriesOf } from "../../src/http/ProblemPages.ts"
import { callsIn, problemsPage } from "../../src/pages/ProblemCatalogue.ts"
import { type Document, faults } from "../wire/Described.ts"

const spec = OpenApi.fromApi(Api)
const calls = callsIn(spec)
const entries = entriesOf(explained, calls)
const file = fileURLToPath(new URL("../../../../docs/problems.md", import.meta.url))

describe("docs/problems.md", () => {
  it("says of every code what it means (`--update=all` writes it)", async () => {
    await expect(problemsPage(entries)).toMatchFileSnapshot(file)
  })

  it("has a code for whatever any call answers with", () => {
    const known = new Set(entries.map(({ code }) => code))
    assert.deepStrictEqual(
      [...calls.keys()].filter((code) => !known.has(code)),
      []
    )
  })

  it("shows answers of the declared shape", () => {
    const document = spec as unknown as Document
    const found = Object.entries(document.components.schemas).flatMap(([name, schema]) => {
      const codes = schema.properties?.["code"]?.enum ?? []
      return entries
        .filter(({ code }) => codes.includes(code))
        .flatMap(({ code, example }) => {
          const strange = Object.keys(example).filter((field) => schema.properties?.[field] === undefined)
          // The edge's schema for a status is for several codes; the code's own says more.
          const own = codes.length === 1 ? strange.map((field) => `${field} is not declared`) : []
          return [...faults(document, schema, example), ...own].map((fault) => `${name} ${code}: ${fault}`)
        })
    })
    assert.deepStrictEqual(found, [])
  })
})
