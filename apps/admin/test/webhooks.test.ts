import { execFileSync } from "node:child_process"
import { DateTime } from "effect"
import { describe, expect, it } from "vitest"
import { changesOf } from "../src/lib/changes.ts"
import { minute } from "../src/lib/time.ts"
import { decodeFailing, webhookTroubles } from "../src/lib/webhook-troubles.ts"
import {
  nextWords,
  shareOf,
  standingOf,
  standingSince,
  typesToHear,
  waitingEvents,
  waitingWords,
  whyOf
} from "../src/lib/webhooks.ts"
import {
  deliveryOf,
  isFiltered as isFilteredDeliveries,
  parseView as parseDeliveries,
  viewSearch as searchDeliveries
} from "../src/routes/(app)/webhooks/[id]/filters.ts"
import { parseView, viewSearch } from "../src/routes/(app)/webhooks/filters.ts"
import { curlSnippet } from "../src/routes/(app)/webhooks/snippets.ts"

const id = "01990000-0000-7000-8000-000000000001"
const now = Date.parse("2026-11-23T12:00:00Z")
const utc = (at: number) => DateTime.makeUnsafe(at)

const healthy = {
  state: "active",
  pausedBecause: null,
  pausedAt: null,
  restsUntil: null,
  lastProblem: null,
  failingSince: null,
  failuresInRow: 0
} as const

describe("how a webhook stands", () => {
  it("says why it rests and when it is tried again", () => {
    const resting = {
      ...healthy,
      state: "resting",
      failuresInRow: 5,
      lastProblem: "the answer was 503",
      failingSince: utc(now - 10 * minute),
      restsUntil: utc(now + 5 * minute)
    } as const
    expect(standingOf(resting)).toBe("resting")
    expect(whyOf(resting, now)).toBe("the answer was 503, tried again in 5 min")
    expect(standingSince(resting)).toBe(now - 10 * minute)
  })

  it("tells who paused it: somebody, or the broker and why", () => {
    const paused = { ...healthy, state: "paused", pausedBecause: "admin", pausedAt: utc(now) } as const
    expect([standingOf(paused), whyOf(paused, now), standingSince(paused)]).toEqual(["paused", null, now])
    const failing = { ...paused, pausedBecause: "failing", failingSince: utc(now - 3 * 24 * 60 * minute) } as const
    expect([standingOf(failing), whyOf(failing, now)]).toEqual(["failing", "nothing got through for 3 d"])
    expect(whyOf(healthy, now)).toBeNull()
  })

  it("needs attention when it rests, and more when the broker paused it", () => {
    const told = decodeFailing([
      { id, name: "ledger", state: "resting", failingSince: null, lastProblem: "the answer was 503" },
      { id, name: "tickets", state: "paused", failingSince: "2026-11-20T12:00:00.000Z", lastProblem: null }
    ])
    expect(webhookTroubles(told).map(({ href, name, tone, why }) => [name, tone, why, href])).toEqual([
      ["Webhook: tickets", "bad", "The broker paused it: nothing got through for days", `/webhooks/${id}`],
      ["Webhook: ledger", "warn", "the answer was 503", `/webhooks/${id}`]
    ])
  })

  it("has a share of what was accepted where something was sent", () => {
    expect(shareOf({ delivered: 0, failed: 0 })).toBeNull()
    expect(shareOf({ delivered: 3, failed: 1 })).toBe(0.75)
    // The broker counts to 1,000, and says 1,001 for more.
    expect([1_000, 1_001].map(waitingWords)).toEqual(["1,000", "> 1,000"])
    expect([1, 1_001].map(waitingEvents)).toEqual(["1 event", "more than 1,000 events"])
  })

  it("says when a delivery is tried next: not before a rest is over, nor while somebody paused it", () => {
    const due = { state: "pending", nextAttemptAt: utc(now) } as const
    expect(nextWords(due, healthy, now)).toBe("now")
    expect(nextWords(due, { state: "resting", restsUntil: utc(now + 5 * minute) }, now)).toBe("in 5 min")
    expect(nextWords(due, { state: "paused", restsUntil: null }, now)).toBe("when resumed")
    expect(nextWords({ ...due, nextAttemptAt: null }, healthy, now)).toBe("after an earlier one")
    expect(nextWords({ ...due, state: "delivered" }, healthy, now)).toBeNull()
  })

  it("is changed in what somebody changed, and in nothing that others changed meanwhile", () => {
    const opened = { name: "Ticket system", url: "https://example.com/a", types: ["server.registered"] }
    expect(changesOf(opened, { ...opened, types: ["server.registered"] })).toEqual({})
    expect(changesOf(opened, { ...opened, name: "Tickets" })).toEqual({ name: "Tickets" })
  })

  it("listens to what its maker may see, and never to tests", () => {
    const heard = typesToHear(["webhooks:read", "servers:read"]).flatMap(({ types }) => types)
    expect(heard).toContain("server.registered")
    expect(heard).toContain("webhook.paused")
    expect(heard).not.toContain("webhook.test")
    expect(heard).not.toContain("audit.recorded")
  })
})

describe("webhooks in the URL", () => {
  it("comes back as it was written, without what makes no sense", () => {
    const search = "?q=tick&state=resting,failing&create=1"
    expect(viewSearch(parseView(new URLSearchParams(search)))).toBe(search)
    expect(viewSearch(parseView(new URLSearchParams("state=broken&create=yes")))).toBe("")
    const deliveries = `?state=gave_up&type=server.updated&subject=${id}&range=24h&limit=50&after=x`
    expect(searchDeliveries(parseDeliveries(new URLSearchParams(deliveries)))).toBe(deliveries)
    expect(isFilteredDeliveries(parseDeliveries(new URLSearchParams("limit=50&after=x")))).toBe(false)
    expect(deliveryOf(new URLSearchParams(`delivery=${id}`))).toBe(id)
  })
})

describe("the request by hand", () => {
  it("is signed as the scheme says, whatever the address holds", () => {
    // What Standard Webhooks give as their example.
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    const script = curlSnippet("https://example.com/it's", secret)
      .replace("id=test-1", "id=msg_p5jXN8AQM9LWM0D4loKWxJek")
      .replace("time=$(date +%s)", "time=1614265330")
      .replace(/body='.*'/, `body='{"test": 2432232314}'`)
      .replace("curl ", "printf '%s\\n' ")
    const lines = execFileSync("bash", ["-c", script], { encoding: "utf8" }).split("\n")
    expect(lines[0]).toBe("https://example.com/it's")
    expect(lines.at(-2)).toBe("webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
  })
})
