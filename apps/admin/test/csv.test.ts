import { describe, expect, it } from "vitest"
import { line, quote } from "../src/lib/csv.ts"

describe("csv", () => {
  it.each(["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])("defuses the formula %j", (text) => {
    expect(quote(text).replaceAll('"', "").startsWith("'")).toBe(true)
  })

  it("leaves numbers alone, negative ones too", () => {
    expect(quote(-12)).toBe("-12")
    expect(quote(0.5)).toBe("0.5")
  })

  it("quotes what would break a row, and doubles quotes", () => {
    expect(quote('say "hi", then\nleave')).toBe('"say ""hi"", then\nleave"')
    expect(quote("=a,b")).toBe('"\'=a,b"')
  })

  it("ends lines as RFC 4180 does", () => {
    expect(line(["fra-1", 3, true, null])).toBe("fra-1,3,true,\r\n")
  })
})
