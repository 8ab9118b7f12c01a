/** Events on screen: what comes by itself, what waits while somebody reads, and the list in the URL. */
import { cursorBelow, EventPlace } from "@broker/domain/Event"
import { describe, expect, it, vi } from "vitest"
import { LatestEvents, type News } from "../src/lib/events.svelte.ts"
import { decodeEvent, subjectWords, toneOf, typesByNoun, typesWords } from "../src/lib/events.ts"
import { changed } from "../src/lib/views.ts"
import {
  defaults,
  eventOf,
  exportHref,
  isFiltered,
  isOpenEnded,
  parseView,
  toQuery,
  viewSearch
} from "../src/routes/(app)/events/filters.ts"

vi.mock("../src/lib/fresh.ts", () => ({ isWatched: () => true }))

const idOf = (number: number) => `01990000-0000-7000-8000-${String(number).padStart(12, "0")}`
const event = (number: number, after = "offline", at = "2026-11-23T10:00:00.000Z") =>
  decodeEvent({
    id: idOf(number),
    type: "server.liveness_changed",
    version: 1,
    at,
    place: String(number),
    subject: { kind: "server", id: idOf(1), name: "fra-1" },
    data: { server: { id: idOf(1), name: "fra-1" }, group: null, before: "online", after, reason: null }
  })

const following = (options: { readonly news: Array<News>; readonly held?: () => boolean; readonly limit?: number }) => {
  const asked: Array<string> = []
  const latest = new LatestEvents({
    page: [event(2), event(1)],
    nextCursor: null,
    limit: options.limit ?? 50,
    after: EventPlace.make("2"),
    ask: async (after) => {
      asked.push(after)
      const news = options.news.shift()
      if (news === undefined) throw new Error("nobody answers")
      return news
    },
    held: options.held ?? (() => false)
  })
  return { asked, latest, places: () => latest.rows.map(({ place }) => place) }
}

describe("events that come by themselves", () => {
  it("stand above the others, and go on from where the feed had come", async () => {
    const { asked, latest, places } = following({
      news: [
        { events: [event(4)], next: EventPlace.make("9") },
        { events: [], next: EventPlace.make("12") }
      ]
    })
    await latest.look()
    await latest.look()
    expect(places()).toEqual(["4", "2", "1"])
    expect(latest.hasJustCome(event(4))).toBe(true)
    expect(latest.hasJustCome(event(2))).toBe(false)
    expect(asked).toEqual(["2", "9"])
  })

  it("wait while somebody reads, and are counted, until they are shown", async () => {
    let held = true
    const { latest, places } = following({
      news: [
        { events: [event(4), event(3)], next: EventPlace.make("4") },
        { events: [event(5), event(4)], next: EventPlace.make("5") }
      ],
      held: () => held
    })
    await latest.look()
    await latest.look()
    expect([places(), latest.waiting]).toEqual([["2", "1"], 3])
    held = false
    latest.show()
    expect([places(), latest.waiting]).toEqual([["5", "4", "3", "2", "1"], 0])
  })

  it("are never more than a page, and an answer that does not come is asked for again", async () => {
    const { asked, latest, places } = following({
      news: [{ events: [event(5), event(4), event(3)], next: EventPlace.make("5") }],
      limit: 3
    })
    await latest.look()
    expect(places()).toEqual(["5", "4", "3"])
    await latest.look()
    await latest.look()
    expect(asked).toEqual(["2", "5", "5"])
    expect(places()).toEqual(["5", "4", "3"])
  })

  it("push what has no room any more to the next page, where none of it is missing", async () => {
    const { latest } = following({
      news: [
        { events: [event(3)], next: EventPlace.make("3") },
        { events: [event(4)], next: EventPlace.make("4") }
      ],
      limit: 3
    })
    await latest.look()
    expect(latest.nextCursor).toBeNull()
    await latest.look()
    expect(latest.nextCursor).toBe(cursorBelow(EventPlace.make("2")))
  })

  it("stand where the list has them, though they were committed in another order", async () => {
    const { latest, places } = following({
      news: [{ events: [event(4, "online", "2026-11-23T09:59:59.000Z"), event(3)], next: EventPlace.make("4") }],
      limit: 3
    })
    await latest.look()
    // What had to make room is below the last one by time, too.
    expect(places()).toEqual(["3", "2", "1"])
  })
})

describe("the list of events in the URL", () => {
  const read = (search: string) => parseView(new URLSearchParams(search))
  const now = Date.parse("2026-11-23T08:00:00Z")

  it("is short for the default view, and comes back as it was written", () => {
    expect(viewSearch(read(""))).toBe("")
    const search = `?q=fra%20%26%20co&type=server.liveness_changed,connection.ended&subject=${idOf(1)}&range=7d&limit=25&after=a%3D%3D`
    expect(viewSearch(read(search))).toBe(search)
    expect(isFiltered(read(search))).toBe(true)
    expect(viewSearch(defaults, idOf(3))).toBe(`?event=${idOf(3)}`)
    expect(eventOf(new URLSearchParams(`event=${idOf(3)}`))).toBe(idOf(3))
  })

  it("ignores what makes no sense", () => {
    expect(read("type=server.exploded&subject=me&range=1y&from=then&limit=7")).toEqual(read(""))
    expect(eventOf(new URLSearchParams("event=last"))).toBeNull()
  })

  it("goes back to the first page when the question changes, and is live at its new end only", () => {
    expect(changed(read("after=x&q=ada"), { types: ["server.updated"] })).toMatchObject({ text: "ada", cursor: null })
    expect(["", "range=24h", "from=2026-11-20T08:00Z"].map((search) => isOpenEnded(read(search)))).toEqual([
      true,
      true,
      true
    ])
    expect(["after=x", "to=2026-11-20T08:00Z"].map((search) => isOpenEnded(read(search)))).toEqual([false, false])
  })

  it("asks from a preset's beginning on, and exports the same", () => {
    const view = read("range=24h&type=server.updated,connection.ended")
    expect(toQuery(view, now)).toMatchObject({ from: "2026-11-22T08:00:00.000Z", to: null, types: view.types })
    expect(exportHref(view, "ndjson", now)).toBe(
      "/rpc/events/export?format=ndjson&from=2026-11-22T08%3A00%3A00.000Z&types=server.updated&types=connection.ended"
    )
  })
})

describe("how events look", () => {
  it("shows good and bad news apart, and calls subjects by what people know", () => {
    expect(["online", "degraded", "offline"].map((after) => toneOf(event(1, after)))).toEqual(["ok", "warn", "bad"])
    const subject = { kind: "server", id: idOf(7), name: null } as const
    expect(subjectWords(subject)).toBe("00000007")
    expect(subjectWords({ ...subject, kind: "organization" })).toBeNull()
  })

  it("offers the types that somebody may hear of", () => {
    expect(typesByNoun(["events:read"])).toEqual([])
    const [servers, ...others] = typesByNoun(["events:read", "servers:read"])
    expect([servers?.title, others]).toEqual(["Servers", []])
    expect(servers?.types).toContain("server.liveness_changed")
    expect([
      typesWords([]),
      typesWords(["server.duty_changed"]),
      typesWords(["server.updated", "audit.recorded"])
    ]).toEqual(["Any type", "Servers: duty changed", "2 types"])
  })
})
