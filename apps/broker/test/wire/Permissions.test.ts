/** Every procedure, as whoever may and whoever may not (A5). The router is walked, so that none is left out. */
import { Permission, permissions, Role } from "@broker/domain/Admin"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { granted, present } from "./Client.ts"
import { type Definition, failure, procedure, procedures, signIn, watch } from "./Dashboard.ts"
import { type Gateway, serving } from "./Gateway.ts"
import { eventually, type Json, start, type Wire } from "./Wire.ts"

const password = "correct horse battery staple"

let broker: Wire
let gateway: Gateway
let keyId: string
const cookies = new Map<Role, string>()

/** A user with a key, a device and a connection, for each role to do with as it may. */
interface Subject {
  readonly userId: string
  readonly personalKeyId: string
  readonly deviceId: string
  readonly connectionId: string
}
const subjects = new Map<Role, Subject>()

const subject = async (name: string): Promise<Subject> => {
  const { key, keyId, userId } = await broker.user(name)
  const client = await present(broker, key)
  const { id } = granted(await client.connect({ serverId: gateway.id }))
  return { userId, personalKeyId: keyId, deviceId: client.deviceId, connectionId: id }
}

beforeAll(async () => {
  broker = await start()
  for (const role of Role.literals) {
    await broker.admin(role, password, role)
    cookies.set(role, await signIn(broker, role, password))
  }
  gateway = await serving(broker, await broker.key(), "ruled")
  for (const role of Role.literals) subjects.set(role, await subject(`of ${role}`))
  await broker.key()
  const [row] = await broker.sql("select id from registration_keys order by id desc limit 1")
  keyId = String(row?.["id"])
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const listed = { limit: 10, cursor: null }

/** What each is asked with. A new procedure fails the test until it is told. */
const inputs = (role: Role = "owner"): Readonly<Record<string, Json | undefined>> => {
  const { connectionId, deviceId, personalKeyId, userId } = subjects.get(role) ?? assert.fail(role)
  return {
    "fleet.overview": undefined,
    "fleet.live": { overview: true, servers: [], joining: false, connections: [], connecting: true },
    "analytics.report": {
      from: "2026-11-01T00:00:00Z",
      to: "2026-11-02T00:00:00Z",
      timeZone: "Europe/Berlin",
      step: "hour",
      by: "user",
      serverId: null,
      userId: null,
      deviceId: null,
      platform: null
    },
    "connections.list": {
      scope: "all",
      text: "",
      statuses: [],
      stale: null,
      verdicts: [],
      reasons: [],
      userId: null,
      deviceId: null,
      serverId: null,
      personalKeyId: null,
      ...listed
    },
    "connections.get": { id: connectionId },
    "connections.counts": undefined,
    "connections.cuts": { subjectId: null, limit: 10 },
    "connections.cutPreview": { kind: "user", id: userId },
    "users.list": { text: "", states: [], sort: "name", ...listed },
    "users.get": { id: userId },
    "users.activity": { id: userId },
    "personalKeys.list": { userId },
    "devices.list": { userId },
    "registrationKeys.list": { states: [], ...listed },
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
    "servers.list": { text: "", statuses: [], tags: [], verified: null, sort: "name", ...listed },
    "servers.get": { id: gateway.id },
    "servers.history": { id: gateway.id },
    "servers.verify": { id: gateway.id },
    "servers.limitConnections": { id: gateway.id, limit: 100 },
    "servers.setDuty": { id: gateway.id, duty: "draining" },
    "servers.suspend": { id: gateway.id, reason: "rules" },
    "servers.approve": { id: gateway.id },
    "servers.retire": { id: gateway.id, reason: "rules" },
    "session.current": undefined,
    "connections.disconnect": { id: connectionId },
    "users.create": { name: "Ada", email: null, note: "" },
    "users.update": { id: userId, patch: { note: "of the rules" } },
    "users.suspend": { id: userId, reason: "rules" },
    "users.resume": { id: userId },
    "personalKeys.create": { userId, name: "rules", expiresInSeconds: null, connectionLimit: null },
    "personalKeys.rotate": { id: personalKeyId, overlapSeconds: 60 },
    "personalKeys.revoke": { id: personalKeyId, reason: "rules" },
    "devices.block": { id: deviceId, reason: "rules" },
    "devices.unblock": { id: deviceId },
    "devices.remove": { id: deviceId },
    "users.delete": { id: userId }
  }
}

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
      const answered = await calling(definition, cookies.get(role), inputs(role)[definition.name])
      assert.strictEqual(answered, "200", `${role} ${definition.name}`)
    }
  })
})

describe("ids of another organization", () => {
  const elsewhere = "00000000-0000-7000-8000-000000000002"

  /** What each noun answers to an id that is not there. */
  const missing: Readonly<Record<string, string>> = {
    registrationKeys: "registration_key_not_found",
    servers: "server_not_found",
    users: "user_not_found",
    personalKeys: "personal_key_not_found",
    devices: "device_not_found",
    connections: "connection_not_found"
  }

  it("are not there", async () => {
    const owner = cookies.get("owner")
    const other = await serving(broker, await broker.key(), "foreign")
    const { connectionId, deviceId, personalKeyId, userId } = subjects.get("auditor") ?? assert.fail()
    const foreign: Readonly<Record<string, string>> = {
      registrationKeys: keyId,
      servers: other.id,
      users: userId,
      personalKeys: personalKeyId,
      devices: deviceId,
      connections: connectionId
    }
    await broker.sql(`insert into organizations (id, name) values ('${elsewhere}', 'other')`)
    await broker.sql("alter table connections disable trigger connections_moves")
    for (const [table, column, id] of [
      ["servers", "id", other.id],
      ["server_transitions", "server_id", other.id],
      ["registration_keys", "id", keyId],
      ["users", "id", userId],
      ["personal_keys", "id", personalKeyId],
      ["devices", "id", deviceId],
      ["client_sessions", "user_id", userId],
      ["connections", "id", connectionId]
    ] as const) {
      await broker.sql(`update ${table} set organization_id = '${elsewhere}' where ${column} = '${id}'`)
    }
    await broker.sql("alter table connections enable trigger connections_moves")

    const before = await broker.snapshot()
    for (const definition of procedures) {
      const input = inputs("auditor")[definition.name]
      const [noun = ""] = definition.name.split(".")
      if (input === undefined || definition.name === "connections.cutPreview") continue
      if ("id" in input) {
        const answered = await calling(definition, owner, { ...input, id: foreign[noun] })
        assert.strictEqual(answered, `404 ${missing[noun]}`, definition.name)
      } else if (typeof input["userId"] === "string") {
        assert.strictEqual(await calling(definition, owner, input), "404 user_not_found", definition.name)
      }
    }
    const dataOf = async (name: string, input: Json) => {
      const answer = await procedure(broker, "query", name, input, owner)
      assert.strictEqual(answer.status, 200, answer.text)
      return (answer.json["result"] as { readonly data: Json }).data
    }
    for (const [kind, id] of [
      ["connection", connectionId],
      ["personal-key", personalKeyId],
      ["device", deviceId],
      ["user", userId],
      ["server", other.id]
    ] as const) {
      assert.deepStrictEqual(await dataOf("connections.cutPreview", { kind, id }), { connections: 0, servers: 0 })
      assert.deepStrictEqual((await dataOf("connections.cuts", { subjectId: id, limit: 10 })) as unknown, [])
    }
    assert.deepStrictEqual(await broker.snapshot(), before)

    const list = await procedure(broker, "query", "servers.list", inputs()["servers.list"], owner)
    assert.notInclude(list.text, other.id)
    for (const name of ["users.list", "connections.list"]) {
      const all = await procedure(broker, "query", name, inputs()[name], owner)
      assert.notInclude(all.text, userId, name)
    }
    await eventually("the overview, which is shared for a moment, is without it", async () => {
      const overview = await procedure(broker, "query", "fleet.overview", undefined, owner)
      return !overview.text.includes(other.id)
    })
    const watched = {
      overview: true,
      servers: [other.id],
      joining: true,
      connections: [connectionId],
      connecting: true
    }
    const stream = await watch(broker, owner ?? "", watched)
    await stream.next("the newest server", ({ _tag }) => _tag === "Joined")
    await stream.next("the newest connection", ({ _tag }) => _tag === "Connecting")
    stream.close()
    assert.notInclude(JSON.stringify(stream.events), other.id)
    assert.notInclude(JSON.stringify(stream.events), connectionId)
  })
})
