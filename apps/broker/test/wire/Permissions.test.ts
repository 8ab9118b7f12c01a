/**
 * Every procedure and every endpoint, as whoever may and whoever may not (A5). Router and contracts are walked, so that
 * none is left out, and what is answered is compared with `docs/permissions.md`.
 */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { RefusalsPolicy } from "@broker/core/audit/Refusals"
import { servedScopes } from "@broker/domain/ApiToken"
import { catalogue } from "@broker/domain/Event"
import { Permission } from "@broker/domain/Permission"
import { reportExtras, reportNeeds } from "@broker/domain/Report"
import { IpNetwork } from "effect/net"
import { afterAll, assert, beforeAll, describe, expect, it } from "vitest"
import { dashboardRoutes, endpoints, permissionsPage } from "../../src/http/PermissionsPage.ts"
import { granted, present } from "./Client.ts"
import { type Definition, failure, procedure, procedures, signIn, watch } from "./Dashboard.ts"
import { type Gateway, serving } from "./Gateway.ts"
import { type Answer, eventually, type Json, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

/** Every role that comes with the broker, and one that the organization made. */
const roles = ["owner", "admin", "operator", "auditor", "viewer", "custom"] as const
type Someone = (typeof roles)[number]

/** What the organization's own role holds. */
const own: ReadonlyArray<string> = ["servers:read", "users:read", "users:update", "api-tokens:create", "audit:verify"]

const pageFile = fileURLToPath(new URL("../../../../docs/permissions.md", import.meta.url))

/** The rows of the page's table under that heading, as texts. */
const tableOf = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const section =
    readFileSync(pageFile, "utf8")
      .split("\n## ")
      .find((text) => text.startsWith(heading)) ?? ""
  const lines = section.split("\n").filter((line) => line.startsWith("|"))
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", ""))
  )
}

/** What the page says of procedures, or of bulk actions: the permission, and whether each role may. */
const ruled = (heading: string) =>
  new Map(
    tableOf(heading)
      .slice(2)
      .map(([name = "", permission = "", confirmed = "", ...may]) => {
        const builtIn = ["owner", "admin", "operator", "auditor", "viewer"]
        return [
          name,
          {
            confirmed: confirmed === "✓",
            may: (someone: Someone) =>
              someone === "custom"
                ? permission === "–" || own.includes(permission)
                : ["✓", "by action"].includes(may[builtIn.indexOf(someone)] ?? "")
          }
        ] as const
      })
  )
const ruleOf = (name: string) =>
  ruled("Procedures of the dashboard").get(name) ?? assert.fail(`the page does not know ${name}`)

let broker: Wire
let gateway: Gateway
let keyId: string
const cookies = new Map<Someone, string>()

/** A user with a key, a device and a connection, and an admin, for each role to do with as it may. */
interface Subject {
  readonly userId: string
  readonly personalKeyId: string
  readonly deviceId: string
  readonly connectionId: string
  readonly adminId: string
  readonly invitationId: string
  readonly roleId: string
  readonly apiTokenId: string
  readonly groupId: string
  readonly reportId: string
  readonly webhookId: string
}
const subjects = new Map<Someone, Subject>()

const dataOf = (answer: Answer) => {
  assert.strictEqual(answer.status, 200, answer.text)
  return (answer.json["result"] as { readonly data: Json }).data
}

/** Done by the owner, and answered with its data. */
const done = async (name: string, input: unknown) =>
  dataOf(await procedure(broker, "mutation", name, input, cookies.get("owner")))

const adminId = async (name: string) => {
  const [row] = await broker.sql(`select id from admins where name = '${name}'`)
  return String(row?.["id"])
}

const token = (scopes: ReadonlyArray<string>) =>
  done("account.createApiToken", { name: "machine", scopes, networks: [], expiresInSeconds: 3_600 })

const ownRole = (permissions: ReadonlyArray<string>) =>
  done("roles.create", { name: `role of ${permissions.join()}`, description: "", permissions })

/** What is answered, without waiting for the end of a stream. */
const head = async ({ url }: Wire, method: string, path: string, bearer: string | undefined) => {
  const leaving = new AbortController()
  const response = await fetch(`${url}${path}`, {
    method,
    headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
    signal: leaving.signal
  })
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") === true
  const { code }: Json = isProblem ? await response.json() : {}
  leaving.abort()
  return { status: response.status, code }
}

/** A group that leaves everything to the broker. */
const group = (name: string) => ({
  parentId: null,
  name,
  heartbeatIntervalSeconds: null,
  verificationPeriodSeconds: null,
  connectionLimit: null
})

/** A webhook that hears of what does not happen here, where nobody answers. */
const listener = (name: string) => ({ name, url: "http://127.0.0.1:9/", types: ["fleet_guard.began"] })

const subject = async (name: string): Promise<Subject> => {
  const { key, keyId, userId } = await broker.user(name)
  const client = await present(broker, key)
  const { id } = granted(await client.connect({ serverId: gateway.id }))
  await broker.admin(`viewer ${name}`, password, "viewer")
  const role = await done("roles.create", { name: `role ${name}`, description: "", permissions: ["servers:read"] })
  return {
    userId,
    personalKeyId: keyId,
    deviceId: client.deviceId,
    connectionId: id,
    adminId: await adminId(`viewer ${name}`),
    invitationId: String((await done("admins.invite", { name: `guest ${name}`, role: "viewer" }))["id"]),
    roleId: String(role["id"]),
    apiTokenId: String((await token(["servers:read"]))["id"]),
    groupId: String((await done("groups.create", group(name)))["id"]),
    reportId: String((await done("reports.create", savedReport(`report of ${name}`)))["id"]),
    webhookId: String((await done("webhooks.create", listener(`webhook of ${name}`)))["id"])
  }
}

beforeAll(async () => {
  broker = await start({ webhooks: { allowedNetworks: [IpNetwork.fromStringUnsafe("127.0.0.0/8")], http: true } })
  await broker.admin("owner", password, "owner")
  cookies.set("owner", await signIn(broker, "owner", password))
  const role = await done("roles.create", { name: "custom", description: "", permissions: own })
  for (const someone of roles) {
    if (someone === "owner") continue
    await broker.admin(someone, password, someone === "custom" ? "viewer" : someone)
    if (someone === "custom") {
      await done("admins.changeRole", { id: await adminId(someone), role: String(role["id"]) })
    }
    cookies.set(someone, await signIn(broker, someone, password))
  }
  gateway = await serving(broker, await broker.key(), "ruled")
  for (const someone of roles) subjects.set(someone, await subject(`of ${someone}`))
  await broker.key()
  const [row] = await broker.sql("select id from registration_keys order by id desc limit 1")
  keyId = String(row?.["id"])
}, 60_000)
afterAll(() => broker?.[Symbol.asyncDispose]())

const listed = { limit: 10, cursor: null }

const nobody = "00000000-0000-7000-8000-00000000dead"

const week = { from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" }

const aboutServers = {
  kind: "inventory",
  range: { kind: "days", days: 7 },
  timeZone: "Europe/Berlin",
  groupId: null,
  compare: false
}
const savedReport = (name: string) => ({
  name,
  parameters: aboutServers,
  formats: ["csv"],
  schedule: null,
  emails: [],
  webhook: false
})

/** What each is asked with. A new procedure fails the test until it is told. */
const inputs = (role: Someone = "owner"): Readonly<Record<string, Json | undefined>> => {
  const {
    adminId,
    apiTokenId,
    connectionId,
    deviceId,
    groupId,
    invitationId,
    personalKeyId,
    reportId,
    roleId,
    userId,
    webhookId
  } = subjects.get(role) ?? assert.fail(role)
  const bulk = {
    action: { _tag: "Tag", add: ["bulk"], remove: [] },
    selection: { _tag: "Ticked", ids: [gateway.id] }
  }
  return {
    "account.sessions": undefined,
    "account.passkeys": undefined,
    "account.apiTokens": undefined,
    "account.createApiToken": { name: "machine", scopes: ["servers:read"], networks: [], expiresInSeconds: 3_600 },
    "account.revokeApiToken": { id: apiTokenId },
    "account.revokeSession": { id: nobody },
    "account.revokeOtherSessions": undefined,
    "account.renamePasskey": { id: nobody, name: "key" },
    "account.beginTotp": undefined,
    "admins.list": undefined,
    "admins.get": { id: adminId },
    "admins.invitations": undefined,
    "admins.invite": { name: `invited by ${role}`, role: "viewer" },
    "admins.withdraw": { id: invitationId },
    "admins.previewRole": { id: adminId, role: "viewer" },
    "admins.resetPassword": { id: adminId },
    "admins.resetFactors": { id: adminId },
    "admins.disable": { id: adminId },
    "admins.enable": { id: adminId },
    "admins.changeRole": { id: adminId, role: "operator" },
    "roles.list": undefined,
    "roles.get": { id: roleId },
    "roles.create": { name: `made by ${role}`, description: "", permissions: ["servers:read"] },
    "roles.update": { id: roleId, role: { name: `of ${role}`, description: "", permissions: ["servers:read"] } },
    "roles.delete": { id: roleId },
    "apiTokens.list": undefined,
    "apiTokens.revoke": { id: apiTokenId },
    "audit.list": {
      from: null,
      to: null,
      text: "",
      action: null,
      actorKinds: [],
      actorId: null,
      subjectKind: null,
      subjectId: null,
      outcome: null,
      ...listed
    },
    "audit.get": { seq: 1 },
    "audit.actions": undefined,
    "audit.verify": undefined,
    "securityPolicy.get": undefined,
    "securityPolicy.update": {
      requireFactor: false,
      sessionIdleSeconds: 7_200,
      sessionLifetimeSeconds: 86_400,
      auditRetentionDays: null
    },
    "signInFailures.list": undefined,
    "signInFailures.lift": { id: nobody },
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
    "availability.ofServer": { id: gateway.id, range: week },
    "availability.ofServers": { ids: [gateway.id], range: week },
    "availability.ofGroups": week,
    "availability.outages": week,
    "availability.windows": undefined,
    "availability.announce": {
      serverId: gateway.id,
      groupId: null,
      reason: "rules",
      startsAt: "2026-11-01T00:00:00Z",
      endsAt: "2026-11-01T01:00:00Z"
    },
    "availability.callOff": { id: nobody },
    "bulkActs.list": undefined,
    "bulkActs.get": { id: nobody },
    "bulkActs.preview": bulk,
    "bulkActs.start": bulk,
    "bulkActs.undo": { id: nobody },
    "bulkActs.stop": { id: nobody },
    "fleetGuard.current": undefined,
    "fleetGuard.list": undefined,
    "fleetGuard.confirm": { id: nobody },
    "monitoring.broker": undefined,
    "monitoring.jobs": undefined,
    "monitoring.fleetAt": { at: null },
    "monitoring.trend": week,
    "savedViews.list": { page: "servers" },
    "savedViews.save": { page: "servers", name: "rules", search: "q=tag:eu", shared: false },
    "savedViews.delete": { id: nobody },
    "verification.figures": undefined,
    "verification.list": { list: "due", groupId: null, ...listed },
    "verification.ofServer": { id: gateway.id },
    "verification.capabilities": { id: gateway.id },
    "verification.requestRotation": { id: gateway.id },
    "metrics.query": {
      scope: { _tag: "Server", id: gateway.id },
      names: [],
      from: "2026-11-01T00:00:00Z",
      to: "2026-11-01T01:00:00Z",
      step: 60
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
    "groups.tree": undefined,
    "groups.create": group(`made by ${role}`),
    "groups.preview": { id: groupId, request: group(`of ${role}`) },
    "groups.update": { id: groupId, request: group(`changed by ${role}`) },
    "groups.delete": { id: groupId },
    "servers.list": { text: "", statuses: [], tags: [], verified: null, sort: "name", ...listed },
    "servers.get": { id: gateway.id },
    "servers.count": { text: "", statuses: [], tags: [], verified: null, sort: "name", ...listed },
    "servers.history": { id: gateway.id },
    "servers.changes": { id: gateway.id },
    "servers.notes": { id: gateway.id, limit: 10, cursor: null },
    "servers.addNote": { id: gateway.id, body: "Asked by the rules." },
    "servers.deleteNote": { id: nobody },
    "servers.assign": { id: gateway.id, assignment: { groupId: null, tags: { add: ["rules"], remove: [] } } },
    "servers.verify": { id: gateway.id },
    "servers.limitConnections": { id: gateway.id, limit: 100 },
    "servers.setDuty": { id: gateway.id, duty: "draining" },
    "servers.suspend": { id: gateway.id, reason: "rules" },
    "servers.approve": { id: gateway.id },
    "servers.retire": { id: gateway.id, reason: "rules" },
    "reports.preview": aboutServers,
    "reports.list": undefined,
    "reports.get": { id: reportId },
    "reports.canMail": undefined,
    "reports.create": savedReport(`made by ${role}`),
    "reports.update": { id: reportId, changes: savedReport(`of ${role}`) },
    "reports.run": { parameters: aboutServers, formats: ["csv"] },
    "reports.runSaved": { id: reportId },
    "reports.runs": { reportId: null, limit: 10, cursor: null },
    "reports.getRun": { id: nobody },
    "reports.delete": { id: reportId },
    "inventory.plan": { format: "csv", text: "kind,group\r\n" },
    "inventory.import": { format: "csv", text: "kind,group\r\n", digest: "0".repeat(64) },
    "events.list": { from: null, to: null, types: [], subjectId: null, text: "", ...listed },
    "events.get": { id: nobody },
    "events.newest": undefined,
    "events.later": { after: "0", types: [], subjectId: null, limit: 10 },
    "webhooks.list": undefined,
    "webhooks.get": { id: webhookId },
    "webhooks.failing": undefined,
    "webhooks.figures": undefined,
    "webhooks.create": listener(`made by ${role}`),
    "webhooks.update": { id: webhookId, changes: { name: `webhook of the ${role}` } },
    "webhooks.pause": { id: webhookId },
    "webhooks.resume": { id: webhookId },
    "webhooks.rotateSecret": { id: webhookId },
    "webhooks.test": { id: webhookId },
    "webhooks.deliveries": {
      id: webhookId,
      query: { states: [], types: [], subjectId: null, eventId: null, from: null, to: null, ...listed }
    },
    "webhooks.delivery": { id: webhookId, deliveryId: nobody },
    "webhooks.previewReplay": { id: webhookId, request: { from: "2026-11-01T00:00:00Z" } },
    "webhooks.replay": { id: webhookId, request: { from: "2026-11-01T00:00:00Z" } },
    "webhooks.delete": { id: webhookId },
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

/** What is not there for anybody, asked by whoever may. */
const absent: Readonly<Record<string, string>> = {
  "account.revokeSession": "404 admin_session_not_found",
  "account.renamePasskey": "404 passkey_not_found",
  "signInFailures.lift": "404 sign_in_failure_not_found",
  "availability.callOff": "404 maintenance_window_not_found",
  "bulkActs.get": "404 bulk_act_not_found",
  "bulkActs.undo": "404 bulk_act_not_found",
  "bulkActs.stop": "404 bulk_act_not_found",
  "events.get": "404 event_not_found",
  "fleetGuard.confirm": "409 fleet_guard_not_open",
  "inventory.import": "409 inventory_changed",
  "reports.getRun": "404 report_run_not_found",
  "savedViews.delete": "404 saved_view_not_found",
  "servers.deleteNote": "404 server_note_not_found",
  "webhooks.delivery": "404 webhook_delivery_not_found"
}

/** A bulk act asks for what the act on one server asks for, beside the permission that its procedure names. */
const isBulk = (name: string) => name === "bulkActs.preview" || name === "bulkActs.start"
const mayInBulk = (someone: Someone) => ruled("Bulk actions").get("Tag")?.may(someone) === true

/** What whoever may is answered. */
const answerTo = (someone: Someone, name: string) =>
  name === "account.revokeApiToken" && someone !== "owner"
    ? "404 api_token_not_found"
    : isBulk(name) && !mayInBulk(someone)
      ? "403 permission_missing"
      : (absent[name] ?? "200")

describe("docs/permissions.md", () => {
  it("says what procedures and endpoints ask for (`--update=all` writes it)", async () => {
    await expect(permissionsPage()).toMatchFileSnapshot(pageFile)
  })
})

describe("every procedure", () => {
  it("names its permission, and is asked here", () => {
    const known = inputs()
    for (const { meta, name } of procedures) {
      assert.isDefined(meta, `${name} names no permission`)
      assert.property(known, name, `${name} is not asked here`)
      if (meta?.permission === null) assert.match(name, /^(session|account|savedViews)\./, `${name} asks for nothing`)
      else assert.include(Permission.literals, meta?.permission, name)
    }
    assert.sameMembers(
      procedures.map(({ name }) => name),
      Object.keys(known)
    )
  })

  it("asks for some permission that exists, and no permission is asked for by none", () => {
    const asked = new Set(procedures.map(({ meta }) => meta?.permission))
    // Exports are a plain route, and whoever may save a view for themselves needs it to share one.
    assert.deepStrictEqual(
      Permission.literals.filter((permission) => !asked.has(permission)),
      ["saved-views:share", "security-events:read", "inventory:export", "audit:export"]
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
  }, 60_000)

  it("does for each role what the page says that it may, and refuses the rest", async () => {
    const before = await broker.snapshot()
    const allowed: Array<readonly [Someone, Definition]> = []
    // So many of one admin within a minute are entries of their own; the others are counted, and told later.
    const { each } = RefusalsPolicy.defaultValue()
    let refused = 0
    let recorded = 0
    for (const someone of roles) {
      const earlier = refused
      for (const definition of procedures) {
        if (ruleOf(definition.name).may(someone)) {
          allowed.push([someone, definition])
          continue
        }
        const answered = await calling(definition, cookies.get(someone), inputs()[definition.name])
        assert.strictEqual(answered, "403 permission_missing", `${someone} ${definition.name}`)
        const garbled = await calling(definition, cookies.get(someone), { wrong: true })
        assert.strictEqual(garbled, "403 permission_missing", `${someone} ${definition.name}`)
        refused += 2
      }
      recorded += Math.min(each, refused - earlier)
    }
    const unlogged = ({ audit_entries: _, audit_heads: __, admin_sessions: ___, ...tables }: Json) => tables
    assert.deepStrictEqual(
      unlogged((await broker.snapshot()) ?? {}),
      unlogged(before ?? {}),
      "what was refused was not done"
    )
    const [logged] = await broker.sql(
      "select count(*)::int as entries from audit_entries where outcome = 'refused' and subject_kind = 'procedure'"
    )
    assert.isAtLeast(Number(logged?.["entries"]), recorded, "refusals are in the audit log (A6)")
    assert.isAtMost(Number(logged?.["entries"]), refused)

    // In the order of the list above, which ends with what can't be undone.
    const order = Object.keys(inputs())
    for (const [someone, definition] of allowed.toSorted(
      ([, a], [, b]) => order.indexOf(a.name) - order.indexOf(b.name)
    )) {
      const answered = await calling(definition, cookies.get(someone), inputs(someone)[definition.name])
      assert.strictEqual(answered, answerTo(someone, definition.name), `${someone} ${definition.name}`)
    }
  }, 120_000)

  it("A5 names those who changed a server to whoever may read the audit log, and shows no more of it to anybody", async () => {
    const { id } = await serving(broker, await broker.key(), "changed")
    const assignment = { tags: { add: ["eu"], remove: [] } }
    await done("servers.assign", { id, assignment })
    for (const someone of roles) {
      const answer = await procedure(broker, "query", "servers.changes", { id }, cookies.get(someone))
      if (!ruleOf("servers.changes").may(someone)) {
        assert.strictEqual(answer.status, 403, someone)
        continue
      }
      const told = Object.values(dataOf(answer)).map((change) => change as Json)
      const named = new Set(told.map(({ actorName }) => actorName !== null))
      assert.deepStrictEqual(named, new Set([ruleOf("audit.list").may(someone)]), someone)
      assert.deepInclude(told[0], {
        action: "servers:assign",
        before: { assigned_tags: [] },
        after: { assigned_tags: ["eu"] }
      })
      for (const { after } of told) assert.doesNotHaveAnyKeys(after, ["id", "organization_id", "registration_key_id"])
    }
  })

  it("A5 keeps whoever may give roles from giving more than they hold, and records that they tried", async () => {
    const attempts = [
      ["admins.changeRole", { id: await adminId("owner"), role: "viewer" }],
      ["admins.changeRole", { id: await adminId("viewer"), role: "owner" }],
      ["admins.invite", { name: "one more owner", role: "owner" }],
      ["account.createApiToken", { name: "more", scopes: ["admins:reset"], networks: [], expiresInSeconds: 3_600 }]
    ] as const
    for (const [name, input] of attempts) {
      const { httpStatus, problem } = failure(await procedure(broker, "mutation", name, input, cookies.get("admin")))
      assert.deepStrictEqual([httpStatus, problem], [403, "more_than_held"], name)
    }
    const recorded = await broker.sql(
      `select details ->> 'procedure' as procedure from audit_entries
        where outcome = 'refused' and actor_name = 'admin' and details ->> 'beyond' is not null order by id`
    )
    assert.deepStrictEqual(
      recorded.map((entry) => entry["procedure"]),
      attempts.map(([name]) => name)
    )
  })

  it("A6 records who tried what is refused for another reason", async () => {
    const id = await adminId("admin")
    const refused = await procedure(
      broker,
      "mutation",
      "admins.changeRole",
      { id, role: "viewer" },
      cookies.get("admin")
    )
    assert.strictEqual(failure(refused).problem, "not_yourself")
    const recorded = await broker.sql(
      "select action, details ->> 'procedure' as procedure from audit_entries where details ->> 'problem' = 'not_yourself'"
    )
    assert.deepStrictEqual(recorded, [{ action: "admins:update", procedure: "admins.changeRole" }])
  })

  it("A4 asks again who it is where the page says so, once that was shown too long ago", async () => {
    await broker.admin("elder", password, "owner")
    const cookie = await signIn(broker, "elder", password)
    const id = await adminId("elder")
    await broker.sql(`update admin_sessions set proven_at = now() - interval '11 minutes' where admin_id = '${id}'`)
    const before = await broker.snapshot()
    for (const definition of procedures) {
      if (!ruleOf(definition.name).confirmed) continue
      const answered = await calling(definition, cookie, inputs("viewer")[definition.name])
      assert.strictEqual(answered, "403 step_up_required", definition.name)
    }
    const unread = ({ admin_sessions: _, ...tables }: Json) => tables
    assert.deepStrictEqual(unread((await broker.snapshot()) ?? {}), unread(before ?? {}))
  }, 60_000)
})

describe("bulk actions", () => {
  const actions: ReadonlyArray<Json> = [
    { _tag: "Tag", add: ["bulk"], remove: [] },
    { _tag: "Label", set: { rack: "b2" }, remove: [] },
    { _tag: "Move", groupId: null },
    { _tag: "SetDuty", duty: "draining" },
    { _tag: "LimitConnections", limit: 7 },
    { _tag: "Verify" },
    { _tag: "Approve" },
    { _tag: "Suspend", reason: "rules" },
    { _tag: "Retire", reason: "rules" }
  ]
  const ticked = (...ids: ReadonlyArray<string>) => ({ _tag: "Ticked", ids })
  const asked = async (name: string, input: Json, cookie: string | undefined) => {
    const answer = await procedure(broker, "mutation", name, input, cookie)
    return answer.status === 200 ? "200" : `${failure(answer).httpStatus} ${failure(answer).problem}`
  }

  it("are for those of whom the page says so", async () => {
    const rules = ruled("Bulk actions")
    assert.sameMembers(
      [...rules.keys()],
      actions.map(({ _tag }) => String(_tag))
    )
    for (const someone of roles) {
      for (const action of actions) {
        const may = rules.get(String(action["_tag"]))?.may(someone)
        assert.strictEqual(
          await asked("bulkActs.preview", { action, selection: ticked(gateway.id) }, cookies.get(someone)),
          may === true ? "200" : "403 permission_missing",
          `${someone} ${action["_tag"]}`
        )
      }
    }
  })

  it("A4 ask again who it is where the page says so, once that was shown too long ago", async () => {
    await broker.admin("bulky", password, "owner")
    const cookie = await signIn(broker, "bulky", password)
    await broker.sql(
      `update admin_sessions set proven_at = now() - interval '11 minutes' where admin_id = '${await adminId("bulky")}'`
    )
    const before = await broker.sql("select count(*)::int as acts from bulk_acts")
    const all = { _tag: "Found", query: { text: "", statuses: [], tags: [], verified: null, sort: "name", ...listed } }
    for (const action of actions) {
      // None is ever started: there are not so many servers.
      const start = (selection: Json) => asked("bulkActs.start", { action, selection, expected: 999 }, cookie)
      const isConfirmed = ruled("Bulk actions").get(String(action["_tag"]))?.confirmed === true
      const answer = isConfirmed ? "403 step_up_required" : "409 bulk_selection_changed"
      assert.strictEqual(await start(ticked(gateway.id, nobody)), answer, String(action["_tag"]))
      assert.strictEqual(await start(all), answer, String(action["_tag"]))
      assert.strictEqual(await start(ticked(gateway.id)), "409 bulk_selection_changed", String(action["_tag"]))
    }
    assert.deepStrictEqual(await broker.sql("select count(*)::int as acts from bulk_acts"), before)
  })

  it("go on by themselves", async () => {
    const server = await serving(broker, await broker.key(), "in bulk")
    const action = { _tag: "Tag", add: ["by-itself"], remove: [] }
    const { id } = await done("bulkActs.start", { action, selection: ticked(server.id), expected: 1 })
    await eventually("the act has ended", async () => {
      const answer = await procedure(broker, "query", "bulkActs.get", { id }, cookies.get("owner"))
      const { changed, state } = dataOf(answer)
      return state === "done" && changed === 1
    })
  })
})

describe("every plain route of the dashboard", () => {
  const bodies: Readonly<Record<string, Json>> = {
    "/rpc/session/step-up": { kind: "password", password },
    "/rpc/account/password": { current: password, next: "another violet tractor hums" },
    "/rpc/account/totp": { code: "123456" },
    "/rpc/account/passkeys": { name: "key", response: {} }
  }

  it("says who may ask", () => {
    for (const { asks, path } of dashboardRoutes) assert.isDefined(asks, `${path} does not say`)
  })

  it("refuses whoever may not", async () => {
    const asked = (path: string, method: string, cookie: string | undefined) =>
      broker.ask(method, path.replace(":id", nobody), {
        body: method === "POST" ? bodies[path] : undefined,
        headers: { origin: broker.url, ...(cookie === undefined ? {} : { cookie }) }
      })
    await broker.admin("late", password, "viewer")
    const cookie = await signIn(broker, "late", password)
    const id = await adminId("late")
    await broker.sql(`update admin_sessions set proven_at = now() - interval '11 minutes' where admin_id = '${id}'`)
    for (const { asks, method, path, permission } of dashboardRoutes) {
      if (asks === "nothing" || permission !== undefined) continue
      for (const wrong of [undefined, "broker_session=nonsense", `broker_session=${"A".repeat(43)}`]) {
        const { json, status } = await asked(path, method, wrong)
        assert.deepStrictEqual([status, json["code"]], [401, "not_signed_in"], `${method} ${path}`)
      }
      if (asks !== "proof") continue
      const { json, status } = await asked(path, method, cookie)
      assert.deepStrictEqual([status, json["code"]], [403, "step_up_required"], `${method} ${path}`)
    }
  })
})

describe("every plain route that asks for a permission", () => {
  const rules = () =>
    tableOf("Plain routes of the dashboard")
      .slice(2)
      .flatMap(([call = "", , permission = ""]) => (permission === "–" ? [] : [{ call, permission }]))

  it("does for each role what the page says that it may, and refuses the rest", async () => {
    const held = tableOf("What roles hold")
    const [header = []] = held
    assert.lengthOf(rules(), dashboardRoutes.filter(({ permission }) => permission !== undefined).length)
    for (const { call, permission } of rules()) {
      const [method = "", path = ""] = call.split(" ")
      const asked = (cookie: string | undefined) =>
        broker.ask(
          method,
          path.includes(":id") ? path.replace(":id", nobody).replace(":format", "pdf") : `${path}?format=csv`,
          {
            headers: { origin: broker.url, ...(cookie === undefined ? {} : { cookie }) }
          }
        )
      const nameless = await asked(undefined)
      assert.deepStrictEqual([nameless.status, nameless.json["code"]], [401, "not_signed_in"], call)
      const row = held.find(([name]) => name === permission) ?? assert.fail(permission)
      for (const someone of roles) {
        const may = someone === "custom" ? own.includes(permission) : row[header.indexOf(someone)] === "✓"
        const answer = await asked(cookies.get(someone))
        // The file of a report that nobody made is not there.
        const found = path.includes(":id") ? 404 : 200
        assert.strictEqual(answer.status, may ? found : 403, `${call} as ${someone}`)
        if (!may) assert.strictEqual(answer.json["code"], "permission_missing")
      }
    }
  }, 60_000)
})

describe("every endpoint of the public API", () => {
  /** What the page says of each. */
  const rules = () =>
    tableOf("The public API")
      .slice(2)
      .map(([call = "", credentials = "", scope = ""]) => {
        const [method = "", path = ""] = call.split(" ")
        return { method, path, credentials: credentials.split(" or ").map((text) => text.slice(0, 8)), scope }
      })

  it("says which credentials it takes, and which scope it asks of API tokens", () => {
    for (const { credentials, method, path, permission } of endpoints) {
      assert.isAbove(credentials.length, 0, `${method} ${path} takes any request`)
      assert.strictEqual(credentials.includes("apiToken"), permission !== undefined, `${method} ${path}`)
    }
    assert.lengthOf(rules(), endpoints.length)
  })

  it("asks for the scopes that are offered for tokens, and every one of those opens something", () => {
    const asked = new Set([
      ...endpoints.flatMap(({ ofFields, permission }) => [
        ...(permission === undefined ? [] : [permission]),
        ...Object.values(ofFields)
      ]),
      ...Object.values(catalogue).map(({ permission }) => permission),
      ...[reportNeeds, reportExtras].flatMap((needs) => Object.values(needs).flat())
    ])
    assert.deepStrictEqual([...asked].sort(), [...servedScopes].sort())
  })

  it("is in the OpenAPI document with what it asks for", async () => {
    const document = (await broker.ask("GET", "/api/v1/openapi.json")).json as {
      readonly paths: Readonly<
        Record<string, Readonly<Record<string, { readonly security?: ReadonlyArray<Record<string, unknown>> }>>>
      >
    }
    const described = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { security = [] }]) => [
        `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`,
        Object.assign({}, ...security)
      ])
    )
    assert.deepStrictEqual(
      Object.fromEntries(described),
      Object.fromEntries(
        endpoints.map(({ credentials, method, path, permission }) => [
          `${method} ${path}`,
          Object.fromEntries(credentials.map((kind) => [kind, kind === "apiToken" ? [permission] : []]))
        ])
      )
    )
  })

  it("takes the credentials that the page lists, with the scope, and no other", async () => {
    const server = await serving(broker, await broker.key(), "asked")
    const { key } = await broker.user("asker")
    const client = await present(broker, key)
    const scopes = new Set(rules().flatMap(({ scope }) => (scope === "–" ? [] : [scope])))
    const bearers: ReadonlyArray<readonly [prefix: string, bearer: string]> = [
      ["brk_reg_", await broker.key()],
      ["brk_srv_", server.token],
      ["brk_usr_", key],
      ["brk_ses_", client.token]
    ]
    /** Tokens with one scope, and with all but that one. */
    const tokens = new Map<string, readonly [only: string, others: string]>()
    for (const scope of scopes) {
      const all = await Promise.all([token([scope]), token(servedScopes.filter((each) => each !== scope))])
      tokens.set(scope, [String(all[0]["token"]), String(all[1]["token"])])
    }
    const [others = ["", ""]] = [...tokens.values()]
    // What ends a credential comes last.
    for (const { credentials, method, path, scope } of rules().toSorted(
      (a, b) => Number(a.method === "DELETE") - Number(b.method === "DELETE")
    )) {
      const call = (bearer?: string) =>
        head(broker, method, path.replace(":format", "pdf").replaceAll(/:\w+/g, nobody), bearer)
      const label = `${method} ${path}`
      const nameless = await call()
      assert.deepStrictEqual([nameless.status, nameless.code], [401, "unknown_credential"], label)
      for (const [prefix, bearer] of [...bearers, ["brk_api_", others[0]] as const]) {
        const { code, status } = await call(bearer)
        if (!credentials.includes(prefix)) {
          assert.deepStrictEqual([status, code], [401, "wrong_credential_kind"], `${label} as ${prefix}`)
        } else if (prefix !== "brk_api_") {
          assert.notInclude([401, 403], status, `${label} as ${prefix}`)
        }
      }
      if (scope === "–") continue
      const [only, without] = tokens.get(scope) ?? assert.fail(scope)
      assert.notInclude([401, 403], (await call(only)).status, `${label} with ${scope}`)
      const { code, status } = await call(without)
      assert.deepStrictEqual([status, code], [403, "permission_missing"], `${label} without ${scope}`)
    }
    const refusals = await broker.sql(
      `select distinct actor_name as name, action from audit_entries
        where subject_kind = 'endpoint' and actor_kind = 'api-token' order by action`
    )
    assert.deepStrictEqual(
      refusals,
      [...scopes].toSorted().map((action) => ({ name: "machine", action }))
    )
  })

  it("lets a log collector read the audit log, page by page, as itself", async () => {
    const { id, token: bearer } = await token(["audit:read"])
    const read = async (query: string) => {
      const { json, status, text } = await broker.ask("GET", `/api/v1/audit-entries?${query}`, {
        bearer: String(bearer)
      })
      assert.strictEqual(status, 200, text)
      return json as { readonly items: ReadonlyArray<Json>; readonly nextCursor: string | null }
    }
    const query = "limit=3&actorKind=admin&actorKind=command&outcome=done&from=2020-01-01T00:00:00Z"
    const first = await read(query)
    assert.lengthOf(first.items, 3)
    const second = await read(`${query}&cursor=${first.nextCursor}`)
    const numbers = [...first.items, ...second.items].map(({ seq }) => Number(seq))
    assert.deepStrictEqual(
      numbers,
      numbers.toSorted((a, b) => b - a)
    )
    const [newest] = (await read("limit=1&actorKind=api-token")).items
    assert.strictEqual(newest?.["actorId"], id, "reading is recorded too (A6)")
    const { json, status } = await broker.ask("GET", "/api/v1/audit-entries?cursor=wrong", { bearer: String(bearer) })
    assert.deepStrictEqual([status, json["code"]], [400, "invalid_cursor"])
  })

  it("A5 refuses an API token on every node within a second after its owner may no more", async () => {
    await broker.admin("former", password, "admin")
    const cookie = await signIn(broker, "former", password)
    const created = await procedure(
      broker,
      "mutation",
      "account.createApiToken",
      { name: "machine", scopes: ["servers:read"], networks: [], expiresInSeconds: 3_600 },
      cookie
    )
    const bearer = String(dataOf(created)["token"])
    const id = await adminId("former")
    await using other = await start({ database: broker.database, audience: broker.audience })
    const statuses = () =>
      Promise.all([broker, other].map(async (node) => (await node.ask("GET", "/api/v1/servers", { bearer })).status))
    const soon = (what: string, status: number) =>
      eventually(what, async () => (await statuses()).every((each) => each === status), { withinMs: 1_000 })
    assert.deepStrictEqual(await statuses(), [200, 200])
    await done("admins.disable", { id })
    await soon("disabled", 403)
    await done("admins.enable", { id })
    await soon("enabled", 200)
    await done("admins.changeRole", { id, role: (await ownRole(["users:read"]))["id"] })
    await soon("without the permission", 403)
    await done("apiTokens.revoke", { id: dataOf(created)["id"] })
    await soon("revoked", 401)
  }, 30_000)
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
    connections: "connection_not_found",
    admins: "admin_not_found",
    "admins.withdraw": "invitation_not_found",
    reports: "report_not_found",
    "reports.getRun": "report_run_not_found",
    roles: "role_not_found",
    apiTokens: "api_token_not_found",
    "account.revokeApiToken": "api_token_not_found",
    "account.revokeSession": "admin_session_not_found",
    "account.renamePasskey": "passkey_not_found",
    availability: "server_not_found",
    "availability.callOff": "maintenance_window_not_found",
    bulkActs: "bulk_act_not_found",
    events: "event_not_found",
    groups: "group_not_found",
    savedViews: "saved_view_not_found",
    "servers.deleteNote": "server_note_not_found",
    verification: "server_not_found",
    webhooks: "webhook_not_found"
  }

  it("are not there", async () => {
    const owner = cookies.get("owner")
    const other = await serving(broker, await broker.key(), "foreign")
    const {
      adminId,
      apiTokenId,
      connectionId,
      deviceId,
      groupId,
      invitationId,
      personalKeyId,
      reportId,
      roleId,
      userId,
      webhookId
    } = subjects.get("auditor") ?? assert.fail()
    const foreign: Readonly<Record<string, string>> = {
      registrationKeys: keyId,
      servers: other.id,
      users: userId,
      personalKeys: personalKeyId,
      devices: deviceId,
      connections: connectionId,
      admins: adminId,
      "admins.withdraw": invitationId,
      roles: roleId,
      groups: groupId,
      reports: reportId,
      webhooks: webhookId,
      availability: other.id,
      verification: other.id,
      apiTokens: apiTokenId,
      "account.revokeApiToken": apiTokenId
    }
    await broker.sql(`insert into organizations (id, name) values ('${elsewhere}', 'other')`)
    await broker.sql("alter table connections disable trigger connections_moves")
    for (const [table, column, id] of [
      ["servers", "id", other.id],
      ["server_transitions", "server_id", other.id],
      ["server_verifications", "server_id", other.id],
      ["registration_keys", "id", keyId],
      ["users", "id", userId],
      ["personal_keys", "id", personalKeyId],
      ["devices", "id", deviceId],
      ["client_sessions", "user_id", userId],
      ["memberships", "admin_id", adminId],
      ["admin_links", "id", invitationId],
      ["roles", "id", roleId],
      ["groups", "id", groupId],
      ["reports", "id", reportId],
      ["webhooks", "id", webhookId],
      ["api_tokens", "id", apiTokenId],
      ["connections", "id", connectionId]
    ] as const) {
      await broker.sql(`update ${table} set organization_id = '${elsewhere}' where ${column} = '${id}'`)
    }
    await broker.sql("alter table connections enable trigger connections_moves")

    // That somebody is signed in is noted once a minute, whatever they ask for.
    const written = async () => ({ ...(await broker.snapshot()), admin_sessions: undefined })
    const before = await written()
    for (const definition of procedures) {
      const input = inputs("auditor")[definition.name]
      const [noun = ""] = definition.name.split(".")
      if (input === undefined || definition.name === "connections.cutPreview") continue
      if ("id" in input) {
        if (definition.name === "signInFailures.lift") continue
        const id = foreign[definition.name] ?? foreign[noun] ?? nobody
        const answered = await calling(definition, owner, { ...input, id })
        // A guard that is not open is not confirmed, whosever it is.
        const answer =
          definition.name === "fleetGuard.confirm"
            ? absent[definition.name]
            : `404 ${missing[definition.name] ?? missing[noun]}`
        assert.strictEqual(answered, answer, definition.name)
      } else if (typeof input["userId"] === "string") {
        assert.strictEqual(await calling(definition, owner, input), "404 user_not_found", definition.name)
      }
    }
    const dataOfQuery = async (name: string, input: Json) => {
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
      assert.deepStrictEqual(await dataOfQuery("connections.cutPreview", { kind, id }), { connections: 0, servers: 0 })
      assert.deepStrictEqual((await dataOfQuery("connections.cuts", { subjectId: id, limit: 10 })) as unknown, [])
    }
    assert.deepStrictEqual(await written(), before)

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
