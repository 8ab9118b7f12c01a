import { describe, expect, it } from "vitest"
import { changed } from "../src/lib/views.ts"
import * as Keys from "../src/routes/(app)/registration-keys/filters.ts"
import { parseView, viewSearch } from "../src/routes/(app)/servers/filters.ts"

const read = (search: string) => parseView(new URLSearchParams(search))

describe("servers in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it("comes back as it was written", () => {
    const search =
      "?q=fra%20%26%20ams&status=online,offline&tag=eu,rack-2&verified=no&sort=-lastSeen&limit=100&after=a%3D%3D"
    expect(viewSearch(read(search))).toBe(search)
    expect(read(search)).toEqual({
      text: "fra & ams",
      statuses: ["online", "offline"],
      tags: ["eu", "rack-2"],
      verified: false,
      sort: "-lastSeen",
      limit: 100,
      cursor: "a=="
    })
  })

  it("ignores what makes no sense", () => {
    const view = read("status=online,nonsense,online&tag=,%20,ok&verified=maybe&sort=random&limit=7")
    expect(view).toEqual({ ...read(""), statuses: ["online"], tags: ["ok"] })
  })

  it("goes back to the first page when the question changes", () => {
    expect(changed(read("after=x&q=fra"), { text: "ams" })).toMatchObject({ text: "ams", cursor: null })
  })
})

describe("registration keys in the URL", () => {
  it("comes back as it was written", () => {
    const search = "?state=active,revoked&key=01936b3e-0000-7000-9000-000000000001"
    expect(Keys.viewSearch(Keys.parseView(new URLSearchParams(search)))).toBe(search)
  })

  it("opens no key by an id that is none", () => {
    expect(Keys.parseView(new URLSearchParams("key=1%27--")).open).toBeNull()
  })
})
