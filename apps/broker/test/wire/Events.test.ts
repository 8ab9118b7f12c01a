/** W1: machines that follow what happened: by pages, and by streams that end and go on elsewhere. */
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { procedure, signIn } from "./Dashboard.ts"
import { type Gateway, join } from "./Gateway.ts"
import { serve } from "./Process.ts"
import { ask, eventually, type Json, query, sharedDatabase, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"
const audience = "http://broker.test"

interface Heard {
  readonly id: string
  readonly type: string
  readonly data: Json
}

/** One stream, read until it ends. */
const listen = async (url: string, bearer: string, path: string, after?: string) => {
  const leaving = new AbortController()
  const response = await fetch(`${url}/api/v1/events/stream${path}`, {
    headers: { authorization: `Bearer ${bearer}`, ...(after === undefined ? {} : { "last-event-id": after }) },
    signal: leaving.signal
  })
  const heard: Array<Heard> = []
  const stream = { place: after, text: "" }
  /** Whether it came to its end, or was cut off. */
  const ended = (async () => {
    let rest = ""
    try {
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        stream.text += chunk
        const blocks = (rest + chunk).split("\n\n")
        rest = blocks.pop() ?? ""
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)))
          if (fields["id"] !== undefined) stream.place = fields["id"]
          if (fields["data"] !== undefined)
            heard.push({ id: fields["id"], type: fields["event"], data: JSON.parse(fields["data"]) })
        }
      }
      return "ended"
    } catch {
      return "cut"
    }
  })()
  return { response, heard, stream, ended, leave: () => leaving.abort() }
}
type Stream = Awaited<ReturnType<typeof listen>>

let broker: Wire
let cookie: string
let gateway: Gateway
beforeAll(async () => {
  broker = await start()
  await broker.admin("ada", password)
  cookie = await signIn(broker, "ada", password)
  gateway = await join(broker, await broker.key(), "watched")
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const tokenOf = async (scopes: ReadonlyArray<string>, on = broker, by = cookie) => {
  const answer = await procedure(
    on,
    "mutation",
    "account.createApiToken",
    { name: `reader ${Math.random()}`, scopes, networks: [], expiresInSeconds: 86_400 },
    by
  )
  const { data } = answer.json["result"] as { readonly data: { readonly id: string; readonly token: string } }
  return data
}

const version = (node: { readonly url: string }, { token }: Gateway, version: string) =>
  ask(node.url, "PATCH", "/api/v1/servers/self", { bearer: token, body: { version } })

/** All pages from a place on. */
const pages = async (node: { readonly url: string }, bearer: string, path: string, from?: string, limit = 7) => {
  const items: Array<Json> = []
  let after = from
  let more = true
  while (more) {
    const answer = await ask(
      node.url,
      "GET",
      `/api/v1/events?limit=${limit}&${path}${after === undefined ? "" : `&after=${after}`}`,
      { bearer }
    )
    assert.strictEqual(answer.status, 200, answer.text)
    items.push(...(answer.json["items"] as ReadonlyArray<Json>))
    after = String(answer.json["next"])
    more = answer.json["more"] === true
  }
  return { items, after }
}

describe("the feed", () => {
  it("tells a token what its scopes may see, a page at a time", async () => {
    const { token } = await tokenOf(["events:read", "servers:read"])
    for (const name of ["1.0.0", "1.0.1", "1.0.2"]) await version(broker, gateway, name)
    const path = `subject=${gateway.id}`
    const { items } = await eventually("all are there", async () => {
      const page = await pages(broker, token, path)
      return page.items.filter(({ type }) => type === "server.updated").length === 3 && page
    })
    assert.strictEqual(items[0]?.["type"], "server.registered")
    assert.deepInclude(items[0]?.["subject"], { kind: "server", id: gateway.id, name: "watched" })
    const types = new Set((await pages(broker, token, "")).items.map(({ type }) => String(type).split(".")[0]))
    assert.deepStrictEqual(types, new Set(["server"]))

    const blind = await tokenOf(["events:read"])
    assert.deepStrictEqual((await pages(broker, blind.token, path)).items, [])
    const other = await tokenOf(["servers:read"])
    const refused = await broker.ask("GET", "/api/v1/events", { bearer: other.token })
    assert.deepInclude(refused.json, { status: 403, code: "permission_missing" })
    for (const wrong of [
      "after=-1",
      "after=x",
      "type=server.sang",
      "limit=0",
      "subject=x",
      "before=1",
      "after=9999999999999999999"
    ]) {
      assert.strictEqual((await broker.ask("GET", `/api/v1/events?${wrong}`, { bearer: token })).status, 400, wrong)
    }
    const beyond = await listen(broker.url, token, "", "9999999999999999999")
    assert.strictEqual(beyond.response.status, 400)
  })

  it("refuses a place that it cannot go on from, of a stream before it begins", async () => {
    const { token } = await tokenOf(["events:read", "servers:read"])
    for (const path of ["/api/v1/events?after=900000000", "/api/v1/events/stream?after=900000000"]) {
      const answer = await broker.ask("GET", path, { bearer: token })
      assert.deepInclude(answer.json, { status: 410, code: "events_gone", oldest: "0" })
    }
  })

  it("lists what is suspicious, for the scope of its own", async () => {
    const { token } = await tokenOf(["security-events:read"])
    await broker.sql(
      `insert into security_events (organization_id, at, kind, severity, details)
       select id, now(), 'token_reused', 'medium', '{}' from organizations`
    )
    const list = (path: string) => broker.ask("GET", `/api/v1/security-events?${path}`, { bearer: token })
    const { items, nextCursor } = (await list("kind=token_reused&severity=medium&limit=1")).json
    assert.strictEqual(nextCursor, null)
    assert.deepInclude((items as ReadonlyArray<Json>)[0], { kind: "token_reused", severity: "medium", server: null })
    assert.deepStrictEqual((await list("kind=token_reused&severity=low")).json["items"], [])
    assert.strictEqual((await list("kind=moonlight")).status, 400)
    const beyond = await list(`cursor=${Buffer.from("9999999999999999999").toString("base64url")}`)
    assert.deepInclude(beyond.json, { status: 400, code: "invalid_cursor" })
    const other = await tokenOf(["events:read"])
    assert.strictEqual((await broker.ask("GET", "/api/v1/security-events", { bearer: other.token })).status, 403)
  })
})

describe("a stream", () => {
  it("begins now, or after a place; and ends when its token may do something else", async () => {
    const { id, token } = await tokenOf(["events:read", "servers:read"])
    const live = await listen(broker.url, token, `?subject=${gateway.id}&type=server.updated`)
    assert.strictEqual(live.response.status, 200)
    assert.strictEqual(live.response.headers.get("content-type"), "text/event-stream")
    assert.strictEqual(live.response.headers.get("cache-control"), "no-store")
    await eventually("it says where it is", () => live.stream.place)
    assert.match(live.stream.text, /^retry: 2000\n\nid: \d+\n\n/)
    await version(broker, gateway, "2.0.0")
    const [event] = await eventually("the event", () => live.heard.length > 0 && live.heard)
    assert.deepInclude(event?.data, { type: "server.updated", place: event?.id, version: 1 })

    const again = await listen(broker.url, token, "?type=server.updated&after=0")
    await eventually("what was before", () => again.heard.some((one) => one.id === event?.id))
    again.leave()

    await procedure(broker, "mutation", "account.revokeApiToken", { id }, cookie)
    assert.strictEqual(await live.ended, "ended")
    assert.strictEqual((await listen(broker.url, token, "")).response.status, 401)
  })

  it("is one of so many that a token may have open", async () => {
    const { token } = await tokenOf(["events:read", "servers:read"])
    const open: Array<Stream> = []
    for (let n = 0; n < 20; n++) open.push(await listen(broker.url, token, ""))
    assert.isTrue(open.every(({ response }) => response.status === 200))
    const refused = await broker.ask("GET", "/api/v1/events/stream", { bearer: token })
    assert.deepInclude(refused.json, { status: 429, code: "too_many_event_streams" })
    // Who leaves makes room, and no other token was concerned.
    const other = await tokenOf(["events:read", "servers:read"])
    open.push(await listen(broker.url, other.token, ""))
    assert.strictEqual(open.at(-1)?.response.status, 200)
    open[0]?.leave()
    await eventually("room", async () => {
      const stream = await listen(broker.url, token, "")
      open.push(stream)
      return stream.response.status === 200
    })
    for (const { leave } of open) leave()
  })
})

/** More than sockets hold between a broker and who does not read. */
const fill = () =>
  broker.sql(`
    insert into events (place, id, organization_id, type, subject_kind, subject_id, subject_name, data, at, published_at)
    select nextval('event_places'), gen_random_uuid(), organization_id, 'server.updated', 'server', id, name,
           jsonb_build_object('server', name_of(id, name), 'group', null, 'changed',
                              (select jsonb_agg(repeat('x', 60)) from generate_series(1, 100))), now(), now()
      from servers, generate_series(1, 3000)
     where id = '${gateway.id}'`)

const streamsOpen = async () => {
  const { text } = await broker.ask("GET", "/metrics")
  return Number(/^broker_event_streams_open(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? 0)
}

describe("whoever may not go on", { timeout: 30_000 }, () => {
  const exported = async (cookie: string, query = "") => {
    const answer = await fetch(`${broker.url}/rpc/events/export?format=ndjson${query}`, { headers: { cookie } })
    assert.strictEqual(answer.status, 200)
    return answer
  }
  const exports = () => broker.sql("select details from audit_entries where action = 'audit-log:export'")

  it("A5 A6 loses its stream, read or not, and its download; and exports nothing of the audit log", async () => {
    await broker.admin("bo", password, "admin")
    const bo = await signIn(broker, "bo", password)
    const { token } = await tokenOf(["events:read", "servers:read"], broker, bo)
    assert.include(await (await exported(bo)).text(), '"audit.recorded"')
    assert.deepStrictEqual(await exports(), [{ details: { as: "events", format: "ndjson" } }])
    await exported(bo, "&types=server.updated")
    assert.lengthOf(await exports(), 1)

    await fill()
    await eventually("the others have left", async () => (await streamsOpen()) === 0)
    const live = await listen(broker.url, token, "")
    const unread = await fetch(`${broker.url}/api/v1/events/stream?after=0`, {
      headers: { authorization: `Bearer ${token}` }
    })
    const download = (await exported(bo, "&types=server.updated")).body?.getReader()
    assert.isFalse((await download?.read())?.done)
    assert.strictEqual(await streamsOpen(), 2)

    const role = await procedure(
      broker,
      "mutation",
      "roles.create",
      { name: "listeners", description: "", permissions: ["events:read", "audit:read"] },
      cookie
    )
    const [admin] = await broker.sql("select id from admins where name = 'bo'")
    const change = {
      id: admin?.["id"],
      role: (role.json["result"] as { readonly data: { readonly id: string } }).data.id
    }
    assert.strictEqual((await procedure(broker, "mutation", "admins.changeRole", change, cookie)).status, 200)
    assert.strictEqual(await live.ended, "ended")
    await eventually("the stream that nobody reads has ended", async () => (await streamsOpen()) === 0)
    assert.strictEqual(unread.status, 200)
    const rest = (async () => {
      while (!(await download?.read())?.done);
    })()
    assert.isTrue(
      await rest.then(
        () => false,
        () => true
      )
    )
    const again = await signIn(broker, "bo", password)
    assert.strictEqual(await (await exported(again)).text(), "")
    assert.lengthOf(await exports(), 1)
  })
})

describe("a follower", { timeout: 60_000 }, () => {
  it("W1 J2 hears each event once, and all of them, though the node that publishes is killed and another one stopped", async () => {
    await using shared = await sharedDatabase()
    const node = () => start({ database: shared.database, audience })
    const serving = serve(shared.database)
    const seed = await node()
    await using killed = await serving
    await seed.admin("ada", password)
    const by = await signIn(seed, "ada", password)
    const { token } = await tokenOf(["events:read", "servers:read"], seed, by)
    const key = await seed.key({ useLimit: 3 })
    const gateways = await Promise.all(["a", "b", "c"].map((name) => join(seed, key, name)))
    const path = "?type=server.updated"
    // The one that is left runs the jobs, however many come.
    await seed[Symbol.asyncDispose]()
    await killed.said("This node runs the jobs now")
    const starting = node()
    await using steady = await node()
    const stopped = await starting

    let going = true
    let told = 0
    const talking = gateways.map(async (gateway) => {
      for (let n = 1; going; n++) {
        const answer = await version(steady, gateway, `1.0.${n}`).catch(() => undefined)
        if (answer?.status === 200) told++
        await delay(20)
      }
    })
    const heard: Array<Heard> = []
    const more = async (stream: Stream, count: number) => {
      await eventually("events", () => stream.heard.length >= count, { withinMs: 15_000 })
    }
    const first = await listen(killed.url, token, path)
    await eventually("it says where it is", () => first.stream.place)
    const began = first.stream.place
    await more(first, 10)
    // Amid what it publishes: all is written, and nothing is committed.
    const at = (statement: string) => query(shared.database, statement)
    await at(`create function lingers() returns trigger language plpgsql as $$
      begin perform pg_sleep(1); return null; end $$`)
    await at("create trigger lingers after insert on events for each statement execute function lingers()")
    const lingering = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    await eventually("it publishes", async () => (await at(lingering)).length > 0)
    killed.child.kill("SIGKILL")
    await at("drop trigger lingers on events")
    await first.ended
    heard.push(...first.heard)

    const second = await listen(stopped.url, token, path, first.stream.place)
    await more(second, 10)
    await stopped[Symbol.asyncDispose]()
    assert.strictEqual(await second.ended, "ended")
    heard.push(...second.heard)

    const third = await listen(steady.url, token, path, second.stream.place)
    await more(third, 10)
    going = false
    await Promise.all(talking)
    const waiting = () => query(shared.database, "select 1 from event_outbox limit 1")
    await eventually("all is published", async () => (await waiting()).length === 0)
    const { items } = await pages(steady, token, "type=server.updated", "0", 200)
    const all = items.map(({ place }) => String(place))
    await eventually("the last", () => third.heard.at(-1)?.id === all.at(-1))
    third.leave()
    heard.push(...third.heard)

    assert.lengthOf(all, told)
    assert.deepStrictEqual(
      heard.map(({ id }) => id),
      all.filter((place) => BigInt(place) > BigInt(began ?? ""))
    )
    // Of one server, in the order in which it changed.
    for (const { id } of gateways) {
      const times = heard.filter(({ data }) => (data["subject"] as Json)["id"] === id).map(({ data }) => data["at"])
      assert.deepStrictEqual(times, times.toSorted())
    }
  })
})
