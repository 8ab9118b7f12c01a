import { DateTime } from "effect"
import { describe, expect, it } from "vitest"
import { connectCommand } from "../src/lib/agent.ts"
import { cutWords, endReasonWords, standingOf } from "../src/lib/connection.ts"
import { duration } from "../src/lib/time.ts"
import { changed } from "../src/lib/views.ts"
import { tell } from "../src/routes/(app)/users/[id]/activity.ts"
import * as UserPage from "../src/routes/(app)/users/[id]/view.ts"
import { parseView, viewSearch } from "../src/routes/(app)/users/filters.ts"

const read = (search: string) => parseView(new URLSearchParams(search))
const readPage = (search: string) => UserPage.parseView(new URLSearchParams(search))

describe("users in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it("comes back as it was written", () => {
    const search = "?q=grace%20%26%20ada&state=suspended&sort=-lastSeen&limit=25&after=a%3D%3D&create=1"
    expect(viewSearch(read(search))).toBe(search)
  })

  it("ignores what makes no sense", () => {
    expect(read("state=gone,active,active&sort=random&limit=7&create=yes")).toEqual({ ...read(""), states: ["active"] })
  })

  it("goes back to the first page when the question changes", () => {
    expect(changed(read("after=x&q=grace"), { states: ["suspended"] })).toMatchObject({ text: "grace", cursor: null })
  })
})

describe("a user's page in the URL", () => {
  it("comes back as it was written", () => {
    const search = "?tab=connections&scope=live&after=a%3D%3D"
    expect(UserPage.viewSearch(readPage(search))).toBe(search)
  })

  it("opens the keys unless told otherwise, and leaves out what the tab does not list", () => {
    expect(readPage("tab=secrets").tab).toBe("keys")
    expect(UserPage.viewSearch({ ...readPage("tab=connections&scope=live"), tab: "devices" })).toBe("?tab=devices")
  })
})

describe("what happened around a user", () => {
  const at = DateTime.makeUnsafe("2026-11-22T10:00:00Z")
  const activity = { at, outcome: "done", by: "ada", address: "203.0.113.7", subject: "Laptop", details: {} } as const

  it("names the key and the reason of a revocation", () => {
    expect(tell({ ...activity, action: "personal-keys:revoke", details: { reason: "Lost on a train" } })).toEqual({
      tone: "bad",
      what: "Key revoked:",
      subject: "Laptop",
      details: ["Lost on a train"],
      by: "by ada"
    })
  })

  it("tells what an edit changed, and what was empty before", () => {
    const details = { fields: ["name", "note"], before: ["Grace", ""], after: ["Grace Hopper", "Navy"] }
    expect(tell({ ...activity, action: "users:update", details }).details).toEqual([
      "Name: “Grace” is now “Grace Hopper”",
      "Note: nothing is now “Navy”"
    ])
  })

  it("does not claim to know who was refused", () => {
    const refused = {
      ...activity,
      action: "clients:sign-in",
      outcome: "refused",
      details: { reason: "revoked" }
    } as const
    expect(tell(refused)).toMatchObject({ what: "Sign-in refused with", details: ["the key is revoked"], by: null })
  })

  it("reads acts that it does not know", () => {
    expect(tell({ ...activity, action: "users:new-thing" })).toMatchObject({ what: "Users new thing", tone: "idle" })
  })
})

describe("connections in words", () => {
  it("tells how far a cut has come", () => {
    expect(cutWords({ servers: 3, confirmedServers: 2, overdueServers: 1, medianSeconds: 4.1 })).toBe(
      "2 of 3 servers confirmed, 4.1 s median, 1 overdue"
    )
    expect(cutWords({ servers: 1, confirmedServers: 1, overdueServers: 0, medianSeconds: 0.8 })).toBe(
      "1 server confirmed, 0.8 s median"
    )
    expect(cutWords({ servers: 2, confirmedServers: 0, overdueServers: 0, medianSeconds: null })).toBe(
      "0 of 2 servers confirmed"
    )
  })

  it("calls an active connection stale while its server is offline", () => {
    expect(standingOf({ status: "active", staleSince: DateTime.makeUnsafe(0) })).toBe("stale")
    expect(standingOf({ status: "active", staleSince: null })).toBe("active")
  })

  it("keeps the reason that a side gave, and reads the broker's own", () => {
    expect(endReasonWords("key_revoked")).toBe("the personal key was revoked")
    expect(endReasonWords("Battery is empty")).toBe("Battery is empty")
    expect(endReasonWords("tunnel_down")).toBe("tunnel down")
  })

  it("tells a duration by its two largest units", () => {
    expect([0, 59_999, 61_000, 3_600_000, 93_600_000].map(duration)).toEqual([
      "0 s",
      "59 s",
      "1 min 1 s",
      "1 h",
      "1 d 2 h"
    ])
  })

  it("gives a client a line to paste", () => {
    expect(connectCommand("https://broker.example", "brk_usr_x")).toBe(
      "broker connect --url https://broker.example --key brk_usr_x"
    )
  })
})
