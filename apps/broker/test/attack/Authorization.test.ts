/**
 * Two organizations with one of everything. The owner of one, who may do anything at home, tries every id of the other
 * in every place that takes an id: each answer is the one for an id that nobody has, and nothing of the other's
 * changes (A5). Who may do what within an organization is walked in `wire/Permissions.test.ts`.
 */
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Duration } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { procedures } from "../wire/Dashboard.ts"
import { heartbeat, identity } from "../wire/Gateway.ts"
import { places, put } from "../wire/Hostile.ts"
import { rpcSamples, rpcTargets, type Target, uuid } from "../wire/Targets.ts"
import { type Answer, type Json, restless, start, type Wire } from "../wire/Wire.ts"
import { otherOrganization, type Tenant, tenant } from "./Tenant.ts"

let broker: Wire
let ours: Tenant
let theirs: Tenant
beforeAll(async () => {
  const long = Duration.minutes(30)
  // Nothing expires meanwhile, so that whatever changes was changed by a request.
  broker = await start({
    policy: { challengeLifetime: long, heartbeatInterval: long },
    connections: { sessionLifetime: long, intentLifetime: long, grantLifetime: long, settlement: long }
  })
  ours = await tenant(broker, defaultOrganizationId, "ours")
  theirs = await tenant(broker, await otherOrganization(broker), "theirs")
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const foreign = () => Object.entries(theirs.ids)

/** Every row that names anything of theirs; our own log may, as it says what we tried. */
const theirRows = async () => {
  const ids = foreign().map(([, id]) => `'%${id}%'`)
  const found: Record<string, unknown> = {}
  for (const name of await broker.tables()) {
    if (restless.has(name)) continue
    const ourLog = name === "audit_entries" ? `and organization_id <> '${defaultOrganizationId}'` : ""
    const [row] = await broker.sql(
      `select count(*)::int as rows, md5(string_agg(t::text, '' order by t::text)) as text
         from ${name} t where t::text like any (array[${ids.join()}]) ${ourLog}`
    )
    if (Number(row?.["rows"]) > 0) found[name] = row
  }
  return found
}

/** What an answer says, whichever id and whatever moment it speaks of. */
const said = ({ status, text }: Answer, id: string) =>
  `${status} ${text
    .replaceAll(id, "(the id)")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(a time)")
    .replaceAll(/"(requestId|instance)":"[^"]*"/g, "")
    // What was done to nothing is an act all the same, with an id of its own.
    .replace(/^\{"result":\{"data":\{"id":"[^"]*","action"/, "(an act)")
    .replaceAll(/"seq":\d+|"hash":"[0-9a-f]+"/g, "")}`

const tellsOfThem = (answer: Answer, id: string) => {
  const text = answer.text.replaceAll(id, "")
  return text.includes("theirs") || foreign().some(([, each]) => text.includes(each))
}

/** The answers for each of their ids that differ from the one for an id that nobody has. */
const compare = async (name: string, ask: (id: string) => Promise<Answer>) => {
  const expected = said(await ask(uuid), uuid)
  assert.notMatch(expected, /^(401|403|429|5)/, `${name} is refused before it looks at the id`)
  const wrong: Array<string> = []
  for (const [kind, id] of foreign()) {
    const answer = await ask(id)
    const got = said(answer, id)
    if (got !== expected)
      wrong.push(`${name} of their ${kind}: ${got.slice(0, 300)} instead of ${expected.slice(0, 300)}`)
    if (tellsOfThem(answer, id)) wrong.push(`${name} of their ${kind} tells of them: ${answer.text.slice(0, 300)}`)
  }
  return wrong
}

describe("A5 an id of another organization, asked by an owner", () => {
  /** Where a name of a role, or nothing, may stand instead of an id. */
  const more: ReadonlyArray<readonly [procedure: string, sample: Json]> = [
    ["admins.invite", { ...rpcSamples["admins.invite"], role: uuid }],
    ["registrationKeys.create", { ...rpcSamples["registrationKeys.create"], replacesServerId: uuid }]
  ]

  /** Of each procedure that takes ids, the places of them. */
  const idPlaces = (): ReadonlyArray<readonly [target: Target, path: ReadonlyArray<string>]> => {
    const targets = rpcTargets(
      { broker, cookie: ours.owner.cookie() },
      procedures.filter(({ name }) => name !== "fleet.live")
    )
    const all = [
      ...targets,
      ...more.flatMap(([name, sample]) =>
        targets.filter((target) => target.name === name).map((target) => ({ ...target, sample }))
      )
    ]
    return all.flatMap((target) =>
      places(target.document, target.schema, target.sample).flatMap(([path]) => {
        const value = path.reduce<unknown>((inner, key) => (inner as Json)[key], target.sample)
        return value === uuid ? [[target, path] as const] : []
      })
    )
  }

  it("in every place of every procedure is answered like one that nobody has, and nothing of theirs changes", async () => {
    const before = await theirRows()
    assert.containsAllKeys(before, [
      "servers",
      "users",
      "personal_keys",
      "devices",
      "connections",
      "memberships",
      "roles"
    ])
    assert.containsAllKeys(before, ["api_tokens", "admin_links", "admin_sessions", "passkeys", "registration_keys"])
    const walked = idPlaces()
    assert.isAbove(walked.length, 50)
    const wrong: Array<string> = []
    for (const [target, path] of walked) {
      // An empty place of a list of others: ids of ours would hide that theirs was found.
      const name = `${target.name} /${path.join("/")}`
      wrong.push(...(await compare(name, (id) => target.send(JSON.stringify(put(target.sample, path, id))))))
    }
    assert.deepStrictEqual(wrong, [])
    assert.deepStrictEqual(await theirRows(), before)
  }, 120_000)

  it("is where it would be found at home: the walk does not only ask for what is nowhere", async () => {
    const { ids } = ours
    for (const [name, id] of [
      ["servers.get", ids["server"]],
      ["users.get", ids["user"]],
      ["admins.get", ids["viewer"]],
      ["roles.get", ids["role"]],
      ["connections.get", ids["connection"]]
    ] as const) {
      assert.isObject(await ours.owner.call("query", name, { id }), name)
    }
  })

  it("in every place of the public API is answered like one that nobody has, by each kind of credential", async () => {
    const before = await theirRows()
    const { apiToken, client, gateway } = ours
    const machine = (path: string) => broker.ask("GET", path, { bearer: apiToken })
    const self = "/api/v1/servers/self"
    const signature = identity().sign("x")
    const asked: ReadonlyArray<readonly [name: string, ask: (id: string) => Promise<Answer>]> = [
      ["a client's server", (id) => client.ask("GET", `/api/v1/servers/${id}`)],
      ["a client's search", (id) => client.ask("GET", `/api/v1/servers?q=${id}`)],
      ["a client's connection", (id) => client.read(id)],
      ["a client's report", (id) => client.report(id, { status: "ended", reason: "theirs" })],
      ["a client's intent", (id) => client.connect({ serverId: id })],
      ["a machine's server", (id) => machine(`/api/v1/servers/${id}`)],
      ["a machine's fleet", (id) => machine(`/api/v1/servers/${id}?view=fleet`)],
      ["a machine's search", (id) => machine(`/api/v1/servers?view=fleet&search=id:${id}`)],
      ["a machine's actor", (id) => machine(`/api/v1/audit-entries?actorId=${id}`)],
      ["a machine's subject", (id) => machine(`/api/v1/audit-entries?subjectId=${id}`)],
      [
        "an admin's passkey",
        (id) => broker.ask("DELETE", `/rpc/account/passkeys/${id}`, { headers: { cookie: ours.owner.cookie() } })
      ],
      ["a server's challenge", (id) => gateway.ask("POST", `${self}/challenges/${id}`, { body: { signature } })],
      ["a server's connection", (id) => gateway.ask("PUT", `${self}/connections/${id}`, { body: { status: "ended" } })]
    ]
    const wrong: Array<string> = []
    for (const [name, ask] of asked) wrong.push(...(await compare(name, ask)))
    assert.deepStrictEqual(wrong, [])
    for (const [, id] of foreign()) {
      const beat = await gateway.ask("POST", `${self}/heartbeat`, { body: heartbeat({ connections: [id] }) })
      assert.strictEqual(beat.status, 200, beat.text)
      assert.isFalse(tellsOfThem(beat, id))
    }
    assert.deepStrictEqual(await theirRows(), before)
  }, 60_000)

  it("opens no door: their credentials lead to what is theirs, and ours to what is ours", async () => {
    for (const [own, other] of [
      [ours, theirs],
      [theirs, ours]
    ] as const) {
      const name = other === theirs ? "theirs" : "ours"
      const texts = await Promise.all([
        own.client.ask("GET", "/api/v1/servers"),
        own.client.ask("GET", "/api/v1/me"),
        own.gateway.ask("GET", "/api/v1/servers/self"),
        broker.ask("GET", "/api/v1/servers", { bearer: own.apiToken }),
        broker.ask("GET", "/api/v1/audit-entries", { bearer: own.apiToken }),
        broker.ask("GET", "/rpc/audit/export?format=csv", { headers: { cookie: own.owner.cookie() } }),
        broker.ask("GET", "/rpc/audit/export?format=json", { headers: { cookie: own.owner.cookie() } })
      ])
      for (const { status, text } of texts) {
        assert.strictEqual(status, 200, text)
        // Our log tells what we tried, by ids alone.
        assert.notInclude(text, `${name}-gateway`)
        assert.notInclude(text, `${name} owner`)
      }
    }
  })

  it("lists hold nothing of it", async () => {
    const listed = procedures.filter(({ name, type }) => type === "query" && rpcSamples[name] === undefined)
    assert.isAbove(listed.length, 10)
    for (const { name } of listed) {
      const data = JSON.stringify(await ours.owner.call("query", name))
      for (const [kind, id] of foreign()) assert.notInclude(data, id, `${name} ${kind}`)
      assert.notInclude(data, "theirs", name)
    }
  })
})

describe("A5 a cursor of another organization", () => {
  it("leads to no row of it", async () => {
    const page = { limit: 1, cursor: null }
    const lists: ReadonlyArray<readonly [name: string, input: Json]> = [
      ["users.list", { text: "", states: [], sort: "name", ...page }],
      ["servers.list", { text: "", statuses: [], tags: [], verified: null, sort: "name", ...page }],
      ["registrationKeys.list", { states: [], ...page }]
    ]
    await broker.of(theirs.organizationId).user("theirs too")
    await broker.of(theirs.organizationId).key({ name: "theirs too" })
    for (const [name, input] of lists) {
      const first = await theirs.owner.call("query", name, input)
      const cursor = typeof first === "string" ? null : first["nextCursor"]
      const taken = await ours.owner.call("query", name, { ...input, cursor })
      assert.notInclude(JSON.stringify(taken), "theirs", name)
    }
  })
})
