/** The one stream of a tab: what it begins with, what it goes on with, and when it ends. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { failure, procedure, signIn, watch } from "./Dashboard.ts"
import { join } from "./Gateway.ts"
import { eventually, hold, type Json, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
beforeAll(async () => {
  broker = await start()
  await broker.admin("ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const serverIn = (event: Json, id: string) =>
  (event["servers"] as ReadonlyArray<Json> | undefined)?.find((server) => server["id"] === id)

const numberOf = (event: Json) => Number((event["overview"] as Json | undefined)?.["total"] ?? event["total"])

describe("fleet.live", () => {
  it("begins with a snapshot of all that is watched", async () => {
    const gateway = await join(broker, await broker.key(), "watched")
    const stream = await watch(broker, await signIn(broker, "ada", password), {
      overview: true,
      servers: [gateway.id],
      joining: true,
      connections: [],
      connecting: false
    })
    await eventually("three events", () => stream.events.length >= 3)
    assert.deepStrictEqual(
      stream.events.slice(0, 3).map(({ _tag }) => _tag),
      ["Overview", "Servers", "Joined"]
    )
    const [overview, servers, joined] = stream.events as readonly [Json, Json, Json]
    assert.strictEqual(numberOf(overview), 1)
    assert.deepInclude(serverIn(servers, gateway.id), { name: "watched", status: "never_seen" })
    assert.deepInclude(joined["newest"] as Json, { id: gateway.id })
    stream.close()
  })

  it("tells of a change within 2 s, and of nothing when nothing changes", async () => {
    const gateway = await join(broker, await broker.key(), "changing")
    const cookie = await signIn(broker, "ada", password)
    const stream = await watch(broker, cookie, {
      overview: false,
      servers: [gateway.id],
      joining: true,
      connections: [],
      connecting: false
    })
    await stream.next("the snapshot", ({ _tag }) => _tag === "Joined")

    await gateway.beat()
    await stream.next("online", (event) => serverIn(event, gateway.id)?.["status"] === "online", 2_000)
    await procedure(broker, "mutation", "servers.suspend", { id: gateway.id, reason: "seen" }, cookie)
    const suspended = await stream.next(
      "suspended",
      (event) => serverIn(event, gateway.id)?.["status"] === "suspended",
      2_000
    )
    assert.deepInclude(serverIn(suspended, gateway.id), { statusReason: "seen" })
    const before = stream.events.length
    const newcomer = await join(broker, await broker.key(), "newcomer")
    await stream.next("the newcomer", (event) => (event["newest"] as Json | undefined)?.["id"] === newcomer.id, 2_000)
    assert.deepStrictEqual(
      stream.events.slice(before).map(({ _tag }) => _tag),
      ["Joined"],
      "what stays as it is is not told again"
    )
    stream.close()
  })

  it("ends when its session does", async () => {
    const cookie = await signIn(broker, "ada", password)
    const other = await signIn(broker, "ada", password)
    const watching = { overview: true, servers: [], joining: false, connections: [], connecting: false }
    const [stream, kept] = [await watch(broker, cookie, watching), await watch(broker, other, watching)]
    await stream.next("the snapshot", ({ _tag }) => _tag === "Overview")
    await broker.ask("DELETE", "/rpc/session", { headers: { cookie } })
    const out = performance.now()
    assert.isBelow((await stream.ended) - out, 4_000)
    const seen = kept.events.length
    await join(broker, await broker.key(), "later")
    await eventually("the other goes on", () => kept.events.length > seen)
    kept.close()
  })

  /** Somebody who may do so much and no more. */
  const holding = async (name: string, permissions: ReadonlyArray<string>) => {
    const owner = await signIn(broker, "ada", password)
    const made = await procedure(broker, "mutation", "roles.create", { name, description: "", permissions }, owner)
    const role = (made.json["result"] as { readonly data: Json }).data["id"]
    await broker.admin(name, password, "viewer")
    const [admin] = await broker.sql(`select id from admins where name = '${name}'`)
    const assign = (role: unknown) =>
      procedure(broker, "mutation", "admins.changeRole", { id: admin?.["id"], role }, owner)
    assert.strictEqual((await assign(role)).status, 200)
    const keep = (permissions: ReadonlyArray<string>) =>
      procedure(broker, "mutation", "roles.update", { id: role, role: { name, description: "", permissions } }, owner)
    return { cookie: await signIn(broker, name, password), keep }
  }

  it("A5 shows whoever may see figures only no server and no connection", async () => {
    const gateway = await join(broker, await broker.key(), "kept from view")
    const { cookie } = await holding("figures", ["overview:read"])
    const watching = { overview: true, servers: [gateway.id], joining: true, connections: [], connecting: true }
    const stream = await watch(broker, cookie, watching)
    const { overview } = await stream.next("figures", ({ _tag }) => _tag === "Overview")
    assert.deepInclude(overview as Json, { attention: [], transitions: [] })
    assert.isAbove(Number((overview as Json)["total"]), 0)
    await join(broker, await broker.key(), "kept from view too")
    await stream.next("more figures", (event) => numberOf(event) > Number((overview as Json)["total"]))
    assert.deepStrictEqual(new Set(stream.events.map(({ _tag }) => _tag)), new Set(["Overview"]))
    assert.notInclude(JSON.stringify(stream.events), "kept from view")
    stream.close()
    const asked = await procedure(broker, "query", "fleet.overview", undefined, cookie)
    assert.notInclude(asked.text, "kept from view")

    const servers = await holding("servers", ["overview:read", "servers:read"])
    const other = await watch(broker, servers.cookie, watching)
    await eventually("three events", () => other.events.length >= 3)
    assert.deepStrictEqual(new Set(other.events.map(({ _tag }) => _tag)), new Set(["Overview", "Servers", "Joined"]))
    other.close()
  })

  it("A5 H6 tells of the fleet guard only whoever may see it", async () => {
    const gateway = await join(broker, await broker.key(), "held")
    await gateway.beat()
    await broker.sql(
      `with held as (
         update server_presence
            set liveness = 'unknown', liveness_since = now(), last_seen_at = now() - interval '1 hour'
          where server_id = '${gateway.id}'
       )
       insert into fleet_guards (id, organization_id, began_at, expected, seen, held, cause, steady_held, steady_since, ends_at)
       select gen_random_uuid(), id, now(), 9, 8, 1, 'unclear', 1, now(), now() + interval '1 hour' from organizations`
    )
    const guardIn = async (name: string, permissions: ReadonlyArray<string>, isTold: boolean) => {
      const { cookie } = await holding(name, permissions)
      const watching = { overview: true, servers: [], joining: false, connections: [], connecting: false }
      const stream = await watch(broker, cookie, watching)
      // Figures are shared for a moment: the first may be of before the silence.
      const { overview } = await stream.next(
        "the figures",
        (event) => event._tag === "Overview" && (!isTold || (event["overview"] as Json)["guard"] !== null)
      )
      stream.close()
      const asked = await procedure(broker, "query", "fleet.overview", undefined, cookie)
      const answer = (asked.json["result"] as { readonly data: Json }).data
      return [(overview as Json)["guard"], answer["guard"]]
    }
    for (const guard of await guardIn("guarded", ["overview:read", "fleet-guard:read"], true)) {
      assert.deepInclude(guard as Json, { expected: 9, held: 1, endedAt: null })
    }
    assert.deepStrictEqual(await guardIn("unguarded", ["overview:read", "servers:read"], false), [null, null])
    await broker.sql("delete from fleet_guards")
  })

  it("A5 nor does what else would name servers and users", async () => {
    const key = await broker.key()
    await join(broker, key, "a member")
    const { cookie } = await holding("few", ["registration-keys:read", "analytics:read"])
    const [known] = await broker.sql("select id from registration_keys order by id desc limit 1")
    const members = await procedure(broker, "query", "registrationKeys.members", { id: known?.["id"] }, cookie)
    assert.deepStrictEqual((members.json["result"] as Json)["data"], [])
    const report = {
      from: "2026-01-01T00:00:00.000Z",
      to: "2026-01-02T00:00:00.000Z",
      timeZone: "UTC",
      step: "day",
      by: "user",
      serverId: null,
      userId: null,
      deviceId: null,
      platform: null
    }
    const ask = (fields: Json) => procedure(broker, "query", "analytics.report", { ...report, ...fields }, cookie)
    assert.strictEqual((await ask({})).status, 200)
    const ofUser = await ask({ userId: "00000000-0000-4000-8000-000000000000" })
    assert.deepInclude(failure(ofUser), { problem: "permission_missing", httpStatus: 403 })
  })

  it("A5 ends when whoever watches may no longer", async () => {
    const { cookie, keep } = await holding("cut", ["overview:read", "servers:read"])
    const stream = await watch(broker, cookie, {
      overview: true,
      servers: [],
      joining: true,
      connections: [],
      connecting: false
    })
    await stream.next("the snapshot", ({ _tag }) => _tag === "Joined")
    const changed = await keep(["servers:read"])
    assert.strictEqual(changed.status, 200, changed.text)
    const cut = performance.now()
    assert.isBelow((await stream.ended) - cut, 4_000)
    // The session goes on.
    assert.strictEqual((await procedure(broker, "query", "session.current", undefined, cookie)).status, 200)
  })

  it("is not looked after any more once its watcher is gone", async () => {
    await using quiet = await start()
    await quiet.admin("ada", password)
    const stream = await watch(quiet, await signIn(quiet, "ada", password), {
      overview: true,
      servers: [],
      joining: false,
      connections: [],
      connecting: false
    })
    await stream.next("the snapshot", ({ _tag }) => _tag === "Overview")
    const isLooking = async () => {
      const waiting = await quiet.sql(
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
      )
      return waiting.length > 0
    }
    // Of all that goes on by itself only an overview counts keys.
    const letGo = await hold(quiet.database, "registration_keys")
    await eventually("a look", isLooking)
    await letGo()

    stream.close()
    await stream.ended
    const aWhileWithoutLook = async () => {
      const release = await hold(quiet.database, "registration_keys")
      const until = performance.now() + 1_500
      while (performance.now() < until && !(await isLooking())) await new Promise((resolve) => setTimeout(resolve, 50))
      await release()
      return performance.now() > until
    }
    await eventually("nobody looks any more", aWhileWithoutLook, { withinMs: 6_000 })
  })

  it("ends when the broker stops, which does not wait for it", async () => {
    const stopping = await start()
    await stopping.admin("ada", password)
    const stream = await watch(stopping, await signIn(stopping, "ada", password), {
      overview: true,
      servers: [],
      joining: false,
      connections: [],
      connecting: false
    })
    await stream.next("the snapshot", ({ _tag }) => _tag === "Overview")
    const asked = performance.now()
    await stopping[Symbol.asyncDispose]()
    assert.isBelow(performance.now() - asked, 3_000)
    await stream.ended
  })
})
