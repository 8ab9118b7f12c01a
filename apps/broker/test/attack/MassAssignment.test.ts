/**
 * Fields that nobody asked for, put into every object of every body and input: into those that do what they are for,
 * and into all others. They are refused or left out, and no row shows a trace of them.
 */
import { Permission } from "@broker/domain/Permission"
import { Duration } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { signIn } from "../wire/Client.ts"
import { procedure, procedures } from "../wire/Dashboard.ts"
import { heartbeat, identity, registration } from "../wire/Gateway.ts"
import { places, put } from "../wire/Hostile.ts"
import { apiTargets, inParallel, rpcTargets, type Stage, sessionTargets, setUp } from "../wire/Targets.ts"
import { type Answer, type Json, start } from "../wire/Wire.ts"

const id = "deadbeef-0000-7000-8000-000000000001"
const time = "2001-02-03T04:05:06Z"

/** What somebody hopes is taken over, by every name that a row or a message of the broker has for it. */
const extra: Json = {
  id,
  organizationId: id,
  organization_id: id,
  ownerId: id,
  adminId: id,
  createdBy: id,
  createdAt: time,
  updatedAt: time,
  verifiedAt: time,
  revokedAt: time,
  approvedAt: time,
  admission: "approved",
  liveness: "online",
  available: true,
  verified: true,
  state: "active",
  isAdmin: true,
  builtIn: true,
  uses: -1_000,
  useCount: -1_000,
  digest: "\\xdeadbeef",
  passwordHash: "deadbeef",
  totpSecret: "deadbeef",
  factor: true,
  provenAt: time,
  outcome: "deadbeef"
}

let stage: Stage
/** The log has it that the organization was made. */
let known: ReadonlySet<string> = new Set()
beforeAll(async () => {
  const long = Duration.minutes(30)
  const broker = await start({
    policy: { challengeLifetime: long, heartbeatInterval: long },
    connections: { sessionLifetime: long, intentLifetime: long, grantLifetime: long, settlement: long }
  })
  stage = await setUp(broker)
  // So that it would be found where it is taken over, and not fail for want of it.
  await broker.sql(`insert into organizations (id, name) values ('${id}', 'deadbeef')`)
  known = new Set(await traces())
})
afterAll(() => stage?.broker[Symbol.asyncDispose]())

/** Every place that is an object, with the fields beside its own. */
const laden = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(laden)
  if (typeof value !== "object" || value === null) return value
  return { ...extra, ...Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, laden(inner)])) }
}

/** Tables with a row that shows a trace of what was added. */
const traces = async () => {
  const found: Array<string> = []
  for (const name of await stage.broker.tables()) {
    if (name === "organizations") continue
    const rows = await stage.broker.sql(
      `select t::text as row from ${name} t where t::text ~ 'deadbeef|2001-02-03' limit 9`
    )
    found.push(...rows.map(({ row }) => `${name}: ${row}`))
  }
  return found.filter((trace) => !known.has(trace))
}

const done = (answer: Answer, status = 200) => {
  assert.strictEqual(answer.status, status, answer.text)
  return answer.text === "" ? {} : answer.json
}

const call = async (name: string, input: Json) => {
  const answer = await procedure(stage.broker, "mutation", name, laden(input), stage.cookie)
  return (done(answer)["result"] as { readonly data: Json }).data
}

describe("fields that nobody asked for", () => {
  it("give a server that registers nothing: it waits for approval and its proof like any other", async () => {
    const { broker } = stage
    const key = await broker.key({ approval: true })
    const sent = registration(broker, key, "greedy")
    done(await broker.ask("POST", "/api/v1/servers", { bearer: key, body: laden(sent) }), 201)
    const [server] = await broker.sql(
      `select admission, duty, verified, organization_id as organization from servers where name = 'greedy'`
    )
    const organization = "00000000-0000-7000-8000-000000000001"
    assert.deepStrictEqual(server, { admission: "pending", duty: "serving", verified: false, organization })
    const [used] = await broker.sql("select uses from registration_keys order by id desc limit 1")
    assert.strictEqual(Number(used?.["uses"]), 1)
  })

  it("give a server, a client and their connection nothing", async () => {
    const { broker, client, gateway, personalKey } = stage
    done(await gateway.ask("PATCH", "/api/v1/servers/self", { body: { ...extra, tags: ["eu"] } }))
    const beat = heartbeat({ activeConnections: 0 })
    done(await gateway.ask("POST", "/api/v1/servers/self/heartbeat", { body: { ...extra, ...beat } }))
    done(await broker.ask("POST", "/api/v1/sessions", { bearer: personalKey, body: laden(signIn()) }))
    const connected = done(await client.connect({ ...extra, serverId: gateway.id }), 201)
    const { id: connection, status } = connected["connection"] as Json
    assert.strictEqual(status, "intent")
    const report = { ...extra, metrics: { rxBytes: 1 } }
    done(await client.report(String(connection), report))
    assert.deepStrictEqual(await traces(), [])
  })

  it("give what admins make nothing: no id, no organization, no right beyond what was asked for", async () => {
    const { broker } = stage
    const user = await call("users.create", { name: "Greedy", email: null, note: "" })
    await call("users.update", { id: user["id"], patch: { note: "greedy" } })
    await call("personalKeys.create", { userId: user["id"], name: "x", expiresInSeconds: 3_600, connectionLimit: 1 })
    const wanted = { name: "x", useLimit: 1, expiresInSeconds: 3_600, tags: [], approval: true, replacesServerId: null }
    await call("registrationKeys.create", wanted)
    const role = await call("roles.create", { name: "greedy", description: "", permissions: ["servers:read"] })
    await call("roles.update", {
      id: role["id"],
      role: { name: "greedy", description: "x", permissions: ["servers:read"] }
    })
    await call("admins.invite", { name: "greedy guest", role: "viewer", permissions: Permission.literals })
    const machine = { name: "greedy", scopes: ["servers:read"], networks: [], expiresInSeconds: 3_600 }
    await call("account.createApiToken", { ...machine, permissions: Permission.literals })
    assert.deepStrictEqual(await traces(), [])
    const [rights] = await broker.sql(`
      select (select array_agg(permissions::text) from roles)::text as roles,
             (select array_agg(scopes::text) from api_tokens where name = 'greedy')::text as tokens,
             (select array_agg(role) from admin_links)::text as links,
             (select count(*)::int from memberships) as members,
             (select count(*)::int from admins) as admins`)
    const one = '{"{servers:read}"}'
    assert.deepStrictEqual(rights, { roles: one, tokens: one, links: "{viewer}", members: 1, admins: 1 })
  })

  it("in any object of any body or input leave no trace, whatever becomes of the rest", async () => {
    const targets = [
      ...apiTargets(stage),
      ...sessionTargets(stage),
      ...rpcTargets(
        stage,
        procedures.filter(({ name }) => name !== "fleet.live")
      )
    ]
    const sent = targets.flatMap((target) => {
      const inside = places(target.document, target.schema, target.sample).map(([path]) => path)
      return [[], ...inside].flatMap((path) => {
        const value = path.reduce<unknown>((inner, key) => (inner as Json)[key], target.sample)
        if (typeof value !== "object" || value === null || Array.isArray(value)) return []
        // Maps are for names that nobody knows beforehand.
        if (/labels|capabilities|metrics|response/.test(path.join("/"))) return []
        return [[target, put(target.sample, path, { ...extra, ...value })] as const]
      })
    })
    assert.isAbove(sent.length, 80)
    const faults: Array<string> = []
    await inParallel(sent, async ([target, body]) => {
      const answer = await target.send(JSON.stringify(body))
      if (answer.status >= 500) faults.push(`${target.name}: ${answer.status}`)
    })
    assert.deepStrictEqual(faults, [])
    assert.deepStrictEqual(await traces(), [])
  }, 60_000)

  it("of a prototype change no object of the broker", async () => {
    const { broker, gateway } = stage
    const by = identity()
    for (const name of ["__proto__", "constructor"]) {
      const inner = name === "constructor" ? { prototype: { admission: "approved" } } : { admission: "approved" }
      const polluted = (body: Json) =>
        JSON.stringify(body).replace("{", `{${JSON.stringify(name)}:${JSON.stringify(inner)},`)
      await gateway.ask("PATCH", "/api/v1/servers/self", { body: polluted({ labels: { a: "b" } }) })
      await gateway.ask("PATCH", "/api/v1/servers/self", { body: `{"capabilities":${polluted({ vpn: {} })}}` })
      await gateway.ask("PATCH", "/api/v1/servers/self", { body: `{"labels":${polluted({ a: "b" })}}` })
      await broker.ask("POST", "/rpc/users.create", {
        body: polluted({ name: "Proto", email: null, note: "" }),
        headers: { cookie: stage.cookie }
      })
      const key = await broker.key({ approval: true })
      const sent = registration(broker, key, `proto-${name.length}`, by)
      await broker.ask("POST", "/api/v1/servers", { bearer: key, body: polluted(sent) })
    }
    // The broker runs in this process.
    assert.notProperty({}, "admission")
    const pending = await broker.sql("select 1 from servers where name like 'proto-%' and admission <> 'pending'")
    assert.lengthOf(pending, 0)
  })
})

it("an organization is no field of any input", () => {
  const naming = rpcTargets(stage).filter(({ document, schema }) =>
    /"organization(_?[iI]d)?"/.test(JSON.stringify([document, schema]))
  )
  assert.deepStrictEqual(
    naming.map(({ name }) => name).filter((name) => name !== "audit.list"),
    []
  )
})
