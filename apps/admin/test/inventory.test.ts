import { describe, expect, it } from "vitest"
import { changesOf, formatOf, hrefOf, planWords, refusalOf, textOf } from "../src/routes/(app)/inventory/file.ts"

const totals = { rows: 9, creates: 0, updates: 0, unchanged: 9, problems: 0, ignored: 0 }

describe("a file to import", () => {
  it("is read by what it is called, or else by how it begins", () => {
    expect(formatOf("fleet.JSON", "kind,name")).toBe("json")
    expect(formatOf("fleet.csv", "{")).toBe("csv")
    expect(formatOf("fleet", '\uFEFF {"format":')).toBe("json")
    expect(formatOf("fleet", "kind,name")).toBe("csv")
  })

  it("is read as UTF-8, and not at all where it is anything else", async () => {
    expect(await textOf(new Blob(["\uFEFFkind,group\r\ngroup,münchen"]))).toBe("kind,group\r\ngroup,münchen")
    // As spreadsheets of old save it.
    expect(await textOf(new Blob([new Uint8Array([0x6d, 0xfc, 0x6e])]))).toBeNull()
  })

  it("is not sent where it is empty or too large", () => {
    expect(refusalOf({ size: 10 })).toBeNull()
    expect(refusalOf({ size: 0 })).toMatch(/^The file is empty/)
    expect(refusalOf({ size: 11 * 1024 * 1024 })).toMatch(/^The file has 11 MiB, and an import takes 10 MiB at most/)
  })

  it("says what it would do", () => {
    expect(planWords({ totals: { ...totals, creates: 1, updates: 2 } })).toBe(
      "It creates 1 group, changes 2 rows, leaves 9 as they are"
    )
    expect(planWords({ totals: { ...totals, unchanged: 0 } })).toBe("It does nothing")
    expect(changesOf({ totals: { ...totals, creates: 1, updates: 2 } })).toBe(3)
    expect(hrefOf({ id: "x", kind: "server" })).toBe("/servers/x")
    expect(hrefOf({ id: null, kind: "group" })).toBeNull()
  })
})
