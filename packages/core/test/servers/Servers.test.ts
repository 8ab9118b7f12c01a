import { Challenges } from "@broker/core/challenges/Challenges"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import type { ServersQuery } from "@broker/domain/Fleet"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { Admission, Duty, Liveness, ServerId, type ServerPatch } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, joined, keyPair, seen, unique, verified } = Fixtures

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

/** A server whose admission is this. */
const standing = Effect.fnUntraced(function* (admission: Admission) {
  const servers = yield* Servers
  const server = yield* joined(unique("server"), { approval: admission === "pending" })
  if (admission === "suspended") yield* servers.suspend(defaultOrganizationId, server.id, "")
  if (admission === "retired") yield* servers.retire(defaultOrganizationId, server.id, "")
  return server
})

/** The moves of a server on an axis, the oldest first. */
const moves = Effect.fnUntraced(function* (id: ServerId, axis: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ before: string | null; after: string }>`
    select before, after from server_transitions where server_id = ${id} and axis = ${axis} order by id`
  return rows.map(({ after, before }) => `${before} → ${after}`)
})

const pairs = Admission.literals.flatMap((from) => Admission.literals.map((to) => [from, to] as const))

const legal = new Set([
  "pending → approved",
  "pending → suspended",
  "pending → retired",
  "approved → suspended",
  "approved → retired",
  "suspended → approved",
  "suspended → retired"
])

layer(Fixtures.layer)("Admission", (it) => {
  it.effect.each(pairs)("the database judges the move %s → %s", ([from, to]) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* standing(from)
      const moved = yield* Effect.exit(sql`update servers set admission = ${to} where id = ${id}`)
      assert.strictEqual(Exit.isSuccess(moved), from === to || legal.has(`${from} → ${to}`))
    })
  )

  it.effect.each(pairs)("H2 the move %s → %s leaves one entry when it happens, and none otherwise", ([from, to]) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* standing(from)
      const before = yield* moves(id, "admission")
      yield* Effect.ignore(sql`update servers set admission = ${to} where id = ${id}`)
      const entries = (yield* moves(id, "admission")).slice(before.length)
      const move = `${from} → ${to}`
      assert.deepStrictEqual(entries, legal.has(move) ? [move] : [])
    })
  )

  const acts = { approve: "approved", suspend: "suspended", retire: "retired" } as const
  const cases = Admission.literals.flatMap((from) =>
    (["approve", "suspend", "retire"] as const).map((act) => [from, act] as const)
  )
  it.effect.each(cases)("a %s server: %s", ([from, act]) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* standing(from)
      const outcome = yield* servers[act](defaultOrganizationId, id, "").pipe(
        Effect.map(({ admission }): string => admission),
        Effect.catch(({ code }) => Effect.succeed(code))
      )
      const to = acts[act]
      const expected = from === to || legal.has(`${from} → ${to}`) ? to : "admission_conflict"
      assert.strictEqual(outcome, expected)
    })
  )

  it.effect("of 10 who suspend at once, one moves the server", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* joined()
      yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => Effect.exit(servers.suspend(defaultOrganizationId, id, "")),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* moves(id, "admission"), ["null → approved", "approved → suspended"])
    })
  )

  it.effect("10 who retire at once all find it retired", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* joined()
      const all = yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => servers.retire(defaultOrganizationId, id, ""),
        { concurrency: "unbounded" }
      )
      assert.isTrue(all.every(({ admission }) => admission === "retired"))
    })
  )

  it.effect("A6 a move is in the audit log, with who did it, before and after", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* joined()
      yield* servers.suspend(defaultOrganizationId, id, "looks odd")
      const [entry] = yield* sql`
        select actor_name, host(address) as address, request_id, action, outcome,
               details ->> 'before' as before, details ->> 'after' as after, details ->> 'reason' as reason
          from audit_entries
         where subject_id = ${id}
      order by id desc
         limit 1`
      assert.deepStrictEqual(entry, {
        actorName: "ada",
        address: "203.0.113.7",
        requestId: "request-1",
        action: "servers:suspend",
        outcome: "done",
        before: "approved",
        after: "suspended",
        reason: "looks odd"
      })
    })
  )

  it.effect("a key pair that was replaced puts the server in doubt as of then", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const server = yield* verified()
      yield* TestClock.adjust("1 hour")
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const key = yield* Fixtures.registrationKey({ replacesServerId: server.id })
      yield* Fixtures.join(key, keyPair(), { name: server.name })
      const [row] = yield* sql<{ after: string; at: Date }>`
        select after, at from server_transitions
         where server_id = ${server.id} and axis = 'verification'
      order by id desc limit 1`
      assert.deepStrictEqual([row?.after, row?.at.getTime()], ["unverified", now])
    })
  )
})

/** The status in one word, by the rule. */
const statusOf = (admission: Admission, duty: Duty, liveness: Liveness) => {
  if (admission !== "approved") return admission
  if (duty === "maintenance") return "maintenance"
  if (liveness !== "online") return liveness
  return duty === "draining" ? "draining" : "online"
}

layer(Fixtures.layer)("Status", (it) => {
  it.effect("the database says in one word what the three axes come to, and who is available", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        with combination as (
          select gen_random_uuid() as id, row_number() over () as n, *
            from unnest(${Admission.literals}::text[]) admission,
                 unnest(${Duty.literals}::text[]) duty,
                 unnest(${Liveness.literals}::text[]) liveness,
                 unnest(array[true, false]) verified
        ), server as (
          insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                               public_key, verified_at, endpoints, capabilities, tags, labels, registered_at)
          select id, ${defaultOrganizationId}, 's' || n, 's' || n, admission, now(), duty, now(),
                 sha256(id::text::bytea), case when verified then now() end, '[]', '{}', '{}', '{}', now()
            from combination
        )
        insert into server_presence (server_id, liveness, liveness_since, last_seen_at)
        select id, liveness, now(), now() from combination`
      const rows = yield* sql<{
        admission: Admission
        duty: Duty
        liveness: Liveness
        verified: boolean
        status: string
        available: boolean
      }>`select admission, duty, liveness, verified, status, available from fleet`
      assert.lengthOf(rows, 120)
      const expected = rows.map((row) => ({
        ...row,
        status: statusOf(row.admission, row.duty, row.liveness),
        available:
          row.admission === "approved" &&
          row.verified &&
          row.duty === "serving" &&
          ["online", "degraded", "unknown"].includes(row.liveness)
      }))
      assert.deepStrictEqual(rows, expected)
    })
  )
})

const named = Effect.fnUntraced(function* (organizationId: OrganizationId, query: Partial<ServersQuery>) {
  const servers = yield* Servers
  const { items } = yield* servers.list(organizationId, { ...Fixtures.everyServer, ...query })
  return items.map(({ name }) => name)
})

layer(Fixtures.layer)("Servers", (it) => {
  /** Three servers that differ in everything, in an organization of their own. */
  const three = Effect.gen(function* () {
    const servers = yield* Servers
    const organizationId = yield* Fixtures.organization
    const fra = yield* verified("fra_100%", { organizationId, tags: ["eu", "gpu"] })
    const ams = yield* joined("ams-100", { organizationId, tags: ["eu"] })
    const nyc = yield* joined("NYC 1", { organizationId })
    yield* beat(fra, boot(), 1)
    yield* servers.suspend(organizationId, nyc.id, "")
    return { organizationId, fra, ams, nyc }
  })

  const filters: ReadonlyArray<readonly [what: string, query: Partial<ServersQuery>, names: ReadonlyArray<string>]> = [
    ["nothing", {}, ["ams-100", "fra_100%", "NYC 1"]],
    ["a status", { statuses: ["online"] }, ["fra_100%"]],
    ["two statuses", { statuses: ["online", "suspended"] }, ["fra_100%", "NYC 1"]],
    ["a tag", { tags: ["eu"] }, ["ams-100", "fra_100%"]],
    ["two tags", { tags: ["gpu", "eu"] }, ["fra_100%"]],
    ["being verified", { verified: true }, ["fra_100%"]],
    ["not being verified", { verified: false }, ["ams-100", "NYC 1"]],
    ["a part of the name", { text: "100" }, ["ams-100", "fra_100%"]],
    ["a part of the name in another case", { text: "nyc" }, ["NYC 1"]],
    ["a percent sign", { text: "%" }, ["fra_100%"]],
    ["an underscore", { text: "_" }, ["fra_100%"]],
    ["a backslash", { text: "\\" }, []],
    ["a quote", { text: "' or true --" }, []],
    ["the address", { text: "203.0.113.7" }, ["ams-100", "fra_100%", "NYC 1"]],
    ["a part of the address", { text: "203.0" }, []],
    ["spaces", { text: "  " }, ["ams-100", "fra_100%", "NYC 1"]],
    ["everything at once", { text: "100", tags: ["eu"], verified: true, statuses: ["online"] }, ["fra_100%"]]
  ]
  it.effect.each(filters)("C8 finds by %s", ([, query, names]) =>
    Effect.gen(function* () {
      const { organizationId } = yield* three
      assert.deepStrictEqual(yield* named(organizationId, query), names)
    })
  )

  it.effect("C8 finds by id", () =>
    Effect.gen(function* () {
      const { ams, organizationId } = yield* three
      assert.deepStrictEqual(yield* named(organizationId, { text: ams.id }), ["ams-100"])
    })
  )

  it.effect.each(["ams-100", " AMS-100 "])("finds one by the name %j", (name) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { ams, organizationId } = yield* three
      assert.strictEqual((yield* servers.find(organizationId, name)).id, ams.id)
    })
  )

  it.effect("finds the living one of a name, not the retired one", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { ams, organizationId } = yield* three
      yield* servers.retire(organizationId, ams.id, "")
      const heir = yield* joined("ams-100", { organizationId })
      assert.strictEqual((yield* servers.find(organizationId, "ams-100")).id, heir.id)
    })
  )

  it.effect("what is left out of a patch stays", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const before = yield* joined(
        unique("server"),
        { tags: ["eu"] },
        {
          version: "1.0",
          labels: { rack_a: "b2" },
          capabilities: { vpn: { some_key: { ipv6: true } } },
          endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 1 }],
          location: { latitude: 50.11, longitude: 8.68 }
        }
      )
      const { capabilities, endpoints, labels, location, tags, version } = yield* servers.update(
        defaultOrganizationId,
        before.id,
        { version: "2.0" }
      )
      assert.deepStrictEqual(
        { capabilities, endpoints, labels, location, tags, version },
        {
          version: "2.0",
          tags: ["eu"],
          labels: { rack_a: "b2" },
          capabilities: { vpn: { some_key: { ipv6: true } } },
          endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 1 }],
          location: { latitude: 50.11, longitude: 8.68 }
        }
      )
    })
  )

  const patches: ReadonlyArray<ServerPatch> = [
    { version: "3" },
    { endpoints: [{ protocol: "quic", host: "::1", port: 65_535 }] },
    { capabilities: { lan: {} } },
    { tags: ["a", "b"] },
    { tags: [] },
    { labels: { a: "b" } },
    { location: { latitude: -90, longitude: 180 } },
    { location: null },
    { duty: "maintenance" },
    {}
  ]
  it.effect.each(patches)("a patch of %j is what is read afterwards", (patch) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* joined()
      assert.deepInclude(yield* servers.update(defaultOrganizationId, id, patch), patch)
    })
  )

  it.effect("saying the same duty again moves nothing", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* joined()
      const before = yield* servers.update(defaultOrganizationId, id, { duty: "maintenance" })
      yield* TestClock.adjust("1 minute")
      const after = yield* servers.update(defaultOrganizationId, id, { duty: "maintenance" })
      assert.deepStrictEqual(after.statusSince, before.statusSince)
      assert.deepStrictEqual(yield* moves(id, "duty"), ["serving → maintenance"])
    })
  )

  it.effect("a retired server takes up no duty", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* standing("retired")
      assert.strictEqual(yield* codeOf(servers.setDuty(defaultOrganizationId, id, "draining")), "admission_conflict")
    })
  )

  it.effect("a server's page shows how it came, its moves and its challenges", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* verified()
      const { challenges, joinedWith, transitions } = yield* servers.history(defaultOrganizationId, server.id)
      assert.deepStrictEqual(
        challenges.map(({ state }) => state),
        ["passed"]
      )
      assert.deepStrictEqual(
        transitions.map(({ after }) => after),
        ["verified", "approved"]
      )
      assert.deepStrictEqual(joinedWith, { id: server.key.id, name: "key", createdBy: "ada" })
    })
  )

  const foreign: Record<
    string,
    (
      organizationId: OrganizationId,
      server: Fixtures.Joined
    ) => Effect.Effect<
      unknown,
      { readonly code: string },
      Servers | Challenges | RegistrationKeys | Effect.Services<ReturnType<Servers["Service"]["approve"]>>
    >
  > = {
    get: (organizationId, { id }) => Servers.use((servers) => servers.get(organizationId, id)),
    "find by id": (organizationId, { id }) => Servers.use((servers) => servers.find(organizationId, id)),
    "find by name": (organizationId, { name }) => Servers.use((servers) => servers.find(organizationId, name)),
    history: (organizationId, { id }) => Servers.use((servers) => servers.history(organizationId, id)),
    update: (organizationId, { id }) => Servers.use((servers) => servers.update(organizationId, id, { version: "9" })),
    "update nothing": (organizationId, { id }) => Servers.use((servers) => servers.update(organizationId, id, {})),
    approve: (organizationId, { id }) => Servers.use((servers) => servers.approve(organizationId, id)),
    suspend: (organizationId, { id }) => Servers.use((servers) => servers.suspend(organizationId, id, "")),
    retire: (organizationId, { id }) => Servers.use((servers) => servers.retire(organizationId, id, "")),
    drain: (organizationId, { id }) => Servers.use((servers) => servers.setDuty(organizationId, id, "draining")),
    verify: (organizationId, { id }) => Challenges.use((challenges) => challenges.request(organizationId, id)),
    "members of its key": (organizationId, { key }) =>
      RegistrationKeys.use((keys) => keys.members(organizationId, key.id)),
    "revoke its key": (organizationId, { key }) => RegistrationKeys.use((keys) => keys.revoke(organizationId, key.id)),
    "issue a replacement key": (organizationId, { id }) =>
      Fixtures.registrationKey({ organizationId, replacesServerId: id })
  }

  it.effect.each(Object.keys(foreign))("A5 another organization can't %s, as if it did not exist", (act) =>
    Effect.gen(function* () {
      const server = yield* joined()
      const before = yield* seen(server)
      const attempt = foreign[act] ?? (() => Effect.die(new Error(act)))
      const code = yield* codeOf(attempt(yield* Fixtures.organization, server))
      assert.oneOf(code, ["server_not_found", "registration_key_not_found"])
      assert.deepStrictEqual(yield* seen(server), before)
    })
  )

  it.effect("A5 another organization sees nothing of it in a list", () =>
    Effect.gen(function* () {
      yield* joined()
      assert.deepStrictEqual(yield* named(yield* Fixtures.organization, {}), [])
    })
  )

  it.effect("A5 an id that nobody has is not found", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const nobody = ServerId.make("019845e1-682f-7b02-a706-3b2422d13aec")
      assert.strictEqual(yield* codeOf(servers.get(defaultOrganizationId, nobody)), "server_not_found")
    })
  )

  it.effect("C2 A6 an admin limits a server's connections, and it is on record", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const servers = yield* Servers
      const { id, organizationId } = yield* verified()
      const limited = yield* servers.limitConnections(organizationId, id, 3)
      assert.strictEqual(limited.connectionLimit, 3)
      yield* servers.limitConnections(organizationId, id, 3)
      const entries = yield* sql`
        select details -> 'before' as before, details -> 'after' as after
          from audit_entries
         where subject_id = ${id}
           and action = 'servers:limit'`
      assert.deepStrictEqual(entries, [{ before: null, after: 3 }])
    })
  )
})
