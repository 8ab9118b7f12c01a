/** Every procedure, as whoever may and whoever may not (A5). The router is walked, so that none is left out. */
import { Permission, permissions, Role } from "@broker/domain/Admin"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Definition, failure, procedure, procedures, signIn, watch } from "./Dashboard.ts"
import { type Gateway, join } from "./Gateway.ts"
import { eventually, type Json, start, type Wire } from "./Wire.ts"

const password = "correct horse battery staple"

let broker: Wire
let gateway: Gateway
let keyId: string
const cookies = new Map<Role, string>()

beforeAll(async () => {
  broker = await start()
  for (const role of Role.literals) {
    await broker.admin(role, password, role)
    cookies.set(role, await signIn(broker, role, password))
  }
  gateway = await join(broker, await broker.key(), "ruled")
  await broker.key()
  const [row] = await broker.sql("select id from registration_keys order by id desc limit 1")
  keyId = String(row?.["id"])
})
afterAll(() => broker?.[Symbol.asyncDispose]())

/** What each is asked with. A new procedure fails the test until it is told. */
const inputs = (): Readonly<Record<string, Json | undefined>> => ({
  "fleet.overview": undefined,
  "fleet.live": { overview: true, servers: [], joining: false },
  "registrationKeys.list": { states: [], limit: 10, cursor: null },
  "registrationKeys.members": { id: keyId },
  "registrationKeys.create": {
    name: "lab",
    useLimit: 1,
    expiresInSeconds: 60,
    tags: [],
    approval: false,
    replacesServerId: null
  },
  "registrationKeys.revoke": { id: keyId },
  "servers.list": { text: "", statuses: [], tags: [], verified: null, sort: "name", limit: 10, cursor: null },
  "servers.get": { id: gateway.id },
  "servers.history": { id: gateway.id },
  "servers.verify": { id: gateway.id },
  "servers.setDuty": { id: gateway.id, duty: "draining" },
  "servers.suspend": { id: gateway.id, reason: "rules" },
  "servers.approve": { id: gateway.id },
  "servers.retire": { id: gateway.id, reason: "rules" },
  "session.current": undefined
})

/** As the broker answers: the status, and the problem where there is one. */
const calling = async ({ name, type }: Definition, cookie: string | undefined, input: unknown) => {
  if (type !== "subscription") {
    const answer = await procedure(broker, type, name, input, cookie)
    return answer.status === 200 ? "200" : `${failure(answer).httpStatus} ${failure(answer).problem}`
  }
  const stream = await watch(broker, cookie ?? "", input)
  const first = await stream.next("the first event", () => true)
  stream.close()
  const { data } = first as { readonly data?: { readonly httpStatus: number; readonly problem: string } }
  return data === undefined ? "200" : `${data.httpStatus} ${data.problem}`
}

describe("every procedure", () => {
  it("names its permission, and is asked here", () => {
    const known = inputs()
    for (const { meta, name } of procedures) {
      assert.isDefined(meta, `${name} names no permission`)
      assert.property(known, name, `${name} is not asked here`)
      if (meta?.permission === null) assert.strictEqual(name, "session.current", `${name} asks for nothing`)
      else assert.include(Permission.literals, meta?.permission, name)
    }
    assert.sameMembers(
      procedures.map(({ name }) => name),
      Object.keys(known)
    )
  })

  it("asks for some permission that exists, and no permission is asked for by none", () => {
    const asked = new Set(procedures.map(({ meta }) => meta?.permission))
    assert.deepStrictEqual(
      Permission.literals.filter((permission) => !asked.has(permission)),
      []
    )
  })

  it("refuses whoever is not signed in, before it looks at the input", async () => {
    const before = await broker.snapshot()
    for (const definition of procedures) {
      for (const cookie of [undefined, "broker_session=nonsense", `broker_session=${"A".repeat(43)}`]) {
        for (const input of [inputs()[definition.name], { wrong: true }]) {
          assert.strictEqual(await calling(definition, cookie, input), "401 not_signed_in", definition.name)
        }
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  })

  it("does for each role what the role may, and refuses the rest", async () => {
    const before = await broker.snapshot()
    const allowed: Array<readonly [Role, Definition]> = []
    for (const role of Role.literals) {
      for (const definition of procedures) {
        const permission = definition.meta?.permission ?? null
        if (permission === null || permissions[role].has(permission)) {
          allowed.push([role, definition])
          continue
        }
        const answered = await calling(definition, cookies.get(role), inputs()[definition.name])
        assert.strictEqual(answered, "403 permission_missing", `${role} ${definition.name}`)
        const garbled = await calling(definition, cookies.get(role), { wrong: true })
        assert.strictEqual(garbled, "403 permission_missing", `${role} ${definition.name}`)
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before, "what was refused was not done")

    // In the order of the list above, which ends with what can't be undone.
    const order = Object.keys(inputs())
    for (const [role, definition] of allowed.toSorted(
      ([, a], [, b]) => order.indexOf(a.name) - order.indexOf(b.name)
    )) {
      const answered = await calling(definition, cookies.get(role), inputs()[definition.name])
      assert.strictEqual(answered, "200", `${role} ${definition.name}`)
    }
  })
})

describe("ids of another organization", () => {
  it("are not there", async () => {
    const other = await join(broker, await broker.key(), "foreign")
    const elsewhere = "00000000-0000-7000-8000-000000000002"
    await broker.sql(`insert into organizations (id, name) values ('${elsewhere}', 'other')`)
    await broker.sql(`update servers set organization_id = '${elsewhere}' where id = '${other.id}'`)
    await broker.sql(`update server_transitions set organization_id = '${elsewhere}' where server_id = '${other.id}'`)
    await broker.sql(`update registration_keys set organization_id = '${elsewhere}' where id = '${keyId}'`)
    const before = await broker.snapshot()
    const owner = cookies.get("owner")
    for (const definition of procedures) {
      const input = inputs()[definition.name]
      if (input === undefined || !("id" in input)) continue
      const isKey = definition.name.startsWith("registrationKeys")
      const answered = await calling(definition, owner, { ...input, id: isKey ? keyId : other.id })
      assert.strictEqual(answered, isKey ? "404 registration_key_not_found" : "404 server_not_found", definition.name)
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
    const list = await procedure(broker, "query", "servers.list", inputs()["servers.list"], owner)
    assert.notInclude(list.text, other.id)
    await eventually("the overview, which is shared for a moment, is without it", async () => {
      const overview = await procedure(broker, "query", "fleet.overview", undefined, owner)
      return !overview.text.includes(other.id)
    })
    const stream = await watch(broker, owner ?? "", { overview: true, servers: [other.id], joining: true })
    await stream.next("the newest server", ({ _tag }) => _tag === "Joined")
    stream.close()
    assert.notInclude(JSON.stringify(stream.events), other.id)
  })
})
