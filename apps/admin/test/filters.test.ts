import { describe, expect, it } from "vitest"
import { decodeSavedView, shownView } from "../src/lib/saved-views.ts"
import * as Keys from "../src/routes/(app)/registration-keys/filters.ts"
import { canonical, parseView, searchedFor, viewSearch } from "../src/routes/(app)/servers/filters.ts"

const saved = decodeSavedView({
  id: "01936b3e-0000-7000-9000-000000000002",
  adminId: "01936b3e-0000-7000-9000-000000000003",
  page: "servers",
  name: "Europe",
  search: "q=tag:eu",
  shared: true,
  createdAt: "2026-11-23T12:00:00.000Z",
  owner: "ada",
  mine: true
})

const read = (search: string) => parseView(new URLSearchParams(search))

describe("servers in the URL", () => {
  const group = "01936b3e-0000-7000-9000-000000000001"

  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it("comes back as it was written", () => {
    const search = `?q=tag:eu%20version:<1.4%20%26%20ams&status=online,offline&group=${group}&verified=no&sort=-load`
    expect(viewSearch(read(search))).toBe(search)
    expect(read(search)).toEqual({
      text: "tag:eu version:<1.4 & ams",
      statuses: ["online", "offline"],
      verified: false,
      groupId: group,
      sort: "-load"
    })
  })

  it("ignores what makes no sense", () => {
    const view = read("status=online,nonsense,online&group=x&verified=maybe&sort=random&limit=7&after=x")
    expect(view).toEqual({ ...read(""), statuses: ["online"] })
  })

  it("takes the tags of older links for words to search for", () => {
    expect(read("q=fra&tag=eu,,%20,rack-2").text).toBe("fra tag:eu tag:rack-2")
  })

  it("names no tag twice", () => {
    expect(searchedFor("fra tag:eu", "tag:eu")).toBe("fra tag:eu")
    expect(searchedFor("", "tag:eu")).toBe("tag:eu")
  })

  it("finds a saved view by what it asks, one's own first", () => {
    const views = [
      { ...saved, name: "Theirs", mine: false },
      { ...saved, name: "Mine", mine: true },
      { ...saved, name: "Other", search: "q=other", mine: true }
    ]
    const search = viewSearch(read("tag=eu&sort=name"))
    expect(shownView(views, search, canonical)?.name).toBe("Mine")
    expect(shownView(views, "", canonical)).toBeNull()
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
