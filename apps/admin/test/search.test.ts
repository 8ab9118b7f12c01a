import { parse } from "@broker/domain/ServerSearch"
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { asSearch, faultOf, suggest } from "../src/lib/search.ts"

const known = { tags: ["eu", "eu-west"], groups: ["eu/frankfurt"], versions: ["1.4.0"] }
const texts = (text: string) => suggest(text, text.length, known).map((one) => one.text)

describe("the search field", () => {
  it("offers keys, and then their values with a blank behind them", () => {
    expect(texts("ta")).toEqual(["tag:"])
    expect(texts("fra tag:e")).toEqual(["eu ", "eu-west "])
    expect(texts("-group:")).toContain("eu/frankfurt ")
  })

  it("adds no blank in the middle of a search, and does not offer what stands there", () => {
    expect(suggest("tag:e fra", 5, known).map((one) => one.text)).toEqual(["eu", "eu-west"])
    expect(texts("tag:eu")).toEqual(["eu-west "])
  })

  it("looks for what is no search as it stands", () => {
    for (const text of ["", "fra", "tag:eu fra", "2001:db8::1"]) expect(asSearch(text)).toBe(text)
    for (const text of ["fe80:", "word: x", 'a "b', "status:up", "x:y\\"]) {
      expect(Result.getOrThrow(parse(asSearch(text)))).toEqual([{ negated: false, condition: { _tag: "Word", text } }])
    }
  })

  it("marks the place of what is not understood", () => {
    expect(faultOf("fra tag:eu -status:offline")).toBeNull()
    const fault = faultOf("fra stauts:offline")
    expect(fault).toMatchObject({ from: 4, to: 18 })
    expect(fault?.message).toMatch(/^There is no stauts:.*Did you mean status:/)
  })
})
