/**
 * Everything that takes a body or an input, with a sample that it would take: what hostile values are put into. A new
 * endpoint or procedure without a sample fails the tests that walk them.
 */
import { servedScopes } from "@broker/domain/ApiToken"
import { Schema } from "effect"
import { OpenApi } from "effect/http-api"
import { SessionsApi } from "../../src/http/SessionsApi.ts"
import { browser, enrolTotp } from "./Browser.ts"
import { type Client, granted, present, signIn } from "./Client.ts"
import { type Definition, procedures } from "./Dashboard.ts"
import { type Document, describe as describedAt, type JsonSchema } from "./Described.ts"
import { type Gateway, heartbeat, identity, registration, serving } from "./Gateway.ts"
import type { Answer, Json, Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

/** An id that nothing has. */
export const uuid = "019845e1-682f-7b02-a706-3b2422d13aec"

/** What is attacked, and the credentials that let the values get as far as they can. */
export interface Stage {
  readonly broker: Wire
  readonly document: Document
  readonly gateway: Gateway
  readonly client: Client
  readonly connectionId: string
  /** A registration key of many uses. */
  readonly key: string
  readonly personalKey: string
  /** An API token with every scope that opens something. */
  readonly apiToken: string
  readonly cookie: string
  /** All that must show nowhere. */
  readonly secrets: ReadonlyArray<string>
}

export const setUp = async (broker: Wire): Promise<Stage> => {
  const document = await describedAt(broker.url)
  await broker.admin("ada", password)
  const own = browser(broker)
  const entered = await own.post("session", { name: "ada", password })
  if (entered.status !== 204) throw new Error(entered.text)
  // So that whatever is sent may demand one.
  const { recoveryCodes, secret } = await enrolTotp(own)
  const cookie = own.cookie()
  const machine = await own.call("mutation", "account.createApiToken", {
    name: "machine",
    scopes: servedScopes,
    networks: [],
    expiresInSeconds: 3_600
  })
  if (typeof machine === "string") throw new Error(machine)
  const apiToken = String(machine["token"])
  const gateway = await serving(broker, await broker.key(), "target")
  const { key: personalKey } = await broker.user("Target")
  const client = await present(broker, personalKey)
  const { grant, id: connectionId } = granted(await client.connect({ serverId: gateway.id }))
  const key = await broker.key({ useLimit: 1_000 })
  const secrets = [
    password,
    secret,
    ...recoveryCodes,
    ...own.jar.values(),
    gateway.token,
    key,
    personalKey,
    apiToken,
    client.token,
    grant
  ]
  return { broker, document, gateway, client, connectionId, key, personalKey, apiToken, cookie, secrets }
}

export interface Target {
  readonly name: string
  readonly schema: JsonSchema
  readonly document: Document
  readonly sample: Json
  /** How it is asked, for those who do it by hand. */
  readonly method: string
  readonly path: string
  /** What it is asked with, of the public API. */
  readonly bearer?: string
  readonly send: (body: string | Uint8Array) => Promise<Answer>
  /** The pointers that an answer names. */
  readonly named: (answer: Answer) => ReadonlyArray<string>
}

export const problemPointers = (answer: Answer) =>
  ((answer.json["errors"] ?? []) as ReadonlyArray<{ readonly pointer: string }>).map(({ pointer }) => pointer)

/** A subscription is refused in its stream. */
const refusalIn = (answer: Answer): Answer => {
  const [, data] = /event: serialized-error\ndata: (.*)/.exec(answer.text) ?? []
  if (data === undefined) return answer
  return { headers: answer.headers, text: answer.text, status: 400, json: { error: JSON.parse(data) } }
}

const rpcPointers = (answer: Answer) => {
  const { data } = answer.json["error"] as { readonly data: { readonly issues: ReadonlyArray<{ path: string[] }> } }
  return data.issues.map(({ path }) => path.map((segment) => `/${segment}`).join(""))
}

const full: Json = {
  version: "1.4.2",
  endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51820 }],
  capabilities: { vpn: { ipv6: true } },
  tags: ["eu", "lab"],
  labels: { rack: "b2" },
  location: { latitude: 50.11, longitude: 8.68 }
}

const metrics: Json = { rttMs: 12.5, lossRatio: 0.01, rxBytes: 123, txBytes: 456 }

const reasoned = { reason: "because" }

/** What machines send with an API token, by call: nothing has the ids that they name. */
const machineSamples = (): Readonly<Record<string, Json>> => ({
  "PATCH /servers/{id}": {
    groupId: uuid,
    tags: { add: ["eu"], remove: ["us"] },
    assignedLabels: { rack: "b2" },
    ownConnectionLimit: 7
  },
  "PUT /servers/{id}/duty": { duty: "draining" },
  "POST /servers/{id}/suspend": reasoned,
  "POST /servers/{id}/retire": reasoned,
  "POST /groups": group,
  "PATCH /groups/{id}": { name: "frankfurt", connectionLimit: 200 },
  "POST /users": { name: "Ada", email: "ada@example.com", note: "keeps two laptops" },
  "PATCH /users/{id}": { email: "ada@example.com" },
  "POST /users/{id}/suspend": reasoned,
  "POST /users/{id}/personal-keys": { name: "laptop", expiresInSeconds: 3_600, connectionLimit: 3 },
  "POST /personal-keys/{id}/rotate": { overlapSeconds: 60 },
  "POST /personal-keys/{id}/revoke": reasoned,
  "POST /devices/{id}/block": reasoned,
  "POST /registration-keys": {
    name: "lab",
    useLimit: 5,
    expiresInSeconds: 3_600,
    tags: ["eu"],
    approval: false,
    replacesServerId: null,
    groupId: null
  },
  "POST /webhooks": { name: "tickets", url: "https://203.0.113.9/events", types: ["server.liveness_changed"] },
  "PATCH /webhooks/{id}": { name: "tickets", version: 1 },
  "POST /webhooks/{id}/replay": { from: "2026-11-01T00:00:00Z", types: ["server.liveness_changed"] },
  "POST /reports": { ...savedReport, schedule: null, emails: [] },
  "PATCH /reports/{id}": { name: "weekly usage", formats: ["pdf"] },
  "POST /reports/preview": report,
  "POST /report-runs": { parameters: report, formats: ["csv", "pdf"] }
})

/** The public API. */
export const apiTargets = (stage: Stage): ReadonlyArray<Target> => {
  const { broker, client, connectionId, document, gateway, key, personalKey } = stage
  const target = (method: string, path: string, bearer: string, sample: Json, template = path): Target => {
    const operation = document.paths[template]?.[method.toLowerCase()]
    const schema = operation?.requestBody?.content["application/json"]?.schema
    if (schema === undefined) throw new Error(`${method} ${template} takes no body`)
    return {
      name: `${method} ${template}`,
      schema,
      document,
      sample,
      method,
      path,
      bearer,
      send: (body) => broker.ask(method, path, { bearer, body }),
      named: problemPointers
    }
  }
  const key32 = identity()
  const self = "/api/v1/servers/self"
  const machines = Object.entries(document.paths).flatMap(([template, operations]) =>
    Object.entries(operations).flatMap(([method, { requestBody, security = [] }]) => {
      if (requestBody === undefined || !security.some((requirement) => "apiToken" in requirement)) return []
      const name = `${method.toUpperCase()} ${template.replace("/api/v1", "")}`
      const sample = machineSamples()[name]
      if (sample === undefined) throw new Error(`no sample for the body of ${name}`)
      return [target(method.toUpperCase(), template.replaceAll(/\{\w+\}/g, uuid), stage.apiToken, sample, template)]
    })
  )
  return [
    target("POST", "/api/v1/servers", key, { ...registration(broker, key, "hostile"), ...full }),
    target("PATCH", self, gateway.token, { ...full, duty: "draining" }),
    target("POST", `${self}/heartbeat`, gateway.token, heartbeat({ connections: [uuid], cutCursor: "17" })),
    target(
      "POST",
      `${self}/challenges/${uuid}`,
      gateway.token,
      { signature: key32.sign("x") },
      `${self}/challenges/{id}`
    ),
    target("PUT", `${self}/public-key`, gateway.token, {
      publicKey: key32.publicKey,
      timestamp: new Date().toISOString(),
      signature: key32.sign("x"),
      proof: key32.sign("x")
    }),
    target(
      "PUT",
      `${self}/connections/${connectionId}`,
      gateway.token,
      { status: "active", reason: "because", metrics },
      `${self}/connections/{id}`
    ),
    target("POST", "/api/v1/sessions", personalKey, signIn({ publicKey: key32.publicKey })),
    target("POST", "/api/v1/connections", client.token, { serverId: gateway.id }),
    target("POST", "/api/v1/connections", client.token, {
      select: {
        status: ["online"],
        group: "lab",
        tag: ["eu", "lab"],
        label: ["rack:b2"],
        capability: ["vpn"],
        q: "tar",
        minVersion: "1.4",
        near: { latitude: 50.11, longitude: 8.68 },
        sort: "nearest"
      }
    }),
    target(
      "PATCH",
      `/api/v1/connections/${connectionId}`,
      client.token,
      { status: "ended", reason: "because", metrics },
      "/api/v1/connections/{id}"
    ),
    ...machines
  ]
}

const wrongPassword = "not this one at all"

/** Signing in, step-up, links and factors. None of the samples is right. */
export const sessionSamples: ReadonlyArray<readonly [path: string, sample: Json]> = [
  ["/rpc/session", { name: "nobody", password: wrongPassword }],
  ["/rpc/session/factor", { kind: "totp", code: "000000" }],
  ["/rpc/session/factor", { kind: "recovery-code", code: "2222a-3333b" }],
  ["/rpc/session/factor", { kind: "passkey", response: { id: "x", response: { signature: "x" } } }],
  ["/rpc/session/passkey", { response: { id: "x", response: { clientDataJSON: "e30", signature: "x" } } }],
  ["/rpc/session/step-up", { kind: "password", password: wrongPassword }],
  ["/rpc/session/step-up", { kind: "totp", code: "000000" }],
  ["/rpc/setup", { token: "x", name: "mallory", password: wrongPassword }],
  ["/rpc/links/look", { token: "x" }],
  ["/rpc/links", { token: "x", password: wrongPassword }],
  ["/rpc/account/password", { current: wrongPassword, next: "violet tractor hums at dusk" }],
  ["/rpc/account/totp", { code: "000000" }],
  ["/rpc/account/passkeys", { name: "laptop", response: { id: "x", response: { attestationObject: "x" } } }]
]

export const sessionTargets = ({ broker, cookie }: Stage): ReadonlyArray<Target> => {
  const sessions = OpenApi.fromApi(SessionsApi) as unknown as Document
  const withBody = Object.entries(sessions.paths).filter(([, { post }]) => post?.requestBody !== undefined)
  for (const [path] of withBody) {
    if (!sessionSamples.some(([known]) => known === path)) throw new Error(`no sample for the body of ${path}`)
  }
  return sessionSamples.map(([path, sample]) => {
    const schema = sessions.paths[path]?.["post"]?.requestBody?.content["application/json"]?.schema
    if (schema === undefined) throw new Error(`${path} takes no body`)
    return {
      name: `POST ${path}`,
      schema,
      document: sessions,
      sample,
      method: "POST",
      path,
      send: (body) => broker.ask("POST", path, { body, headers: { cookie } }),
      named: problemPointers
    }
  })
}

const group = {
  parentId: null,
  name: "frankfurt",
  heartbeatIntervalSeconds: 10,
  verificationPeriodSeconds: 3_600,
  connectionLimit: 200
}

const report = {
  kind: "usage",
  range: { kind: "between", from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" },
  timeZone: "Europe/Berlin",
  groupId: null,
  compare: true
}

const savedReport = {
  name: "weekly usage",
  parameters: { ...report, range: { kind: "named", name: "last_week" } },
  formats: ["pdf"],
  schedule: { cron: "0 7 * * 1", timeZone: "Europe/Berlin" },
  emails: ["ada@example.com"],
  webhook: true
}

export const rpcSamples: Readonly<Record<string, Json>> = {
  "account.createApiToken": {
    name: "machine",
    scopes: ["servers:read"],
    networks: ["203.0.113.0/24"],
    expiresInSeconds: 3_600
  },
  "account.revokeApiToken": { id: uuid },
  "account.revokeSession": { id: uuid },
  "account.renamePasskey": { id: uuid, name: "laptop" },
  "admins.get": { id: uuid },
  "admins.invite": { name: "grace@example.com", role: "viewer" },
  "admins.withdraw": { id: uuid },
  "admins.previewRole": { id: uuid, role: "viewer" },
  "admins.changeRole": { id: uuid, role: "viewer" },
  "admins.disable": { id: uuid },
  "admins.enable": { id: uuid },
  "admins.resetFactors": { id: uuid },
  "admins.resetPassword": { id: uuid },
  "apiTokens.revoke": { id: uuid },
  "audit.list": {
    from: "2026-11-01T00:00:00Z",
    to: null,
    text: "ada",
    action: "users:create",
    actorKinds: ["admin"],
    actorId: uuid,
    subjectKind: "user",
    subjectId: uuid,
    outcome: "done",
    limit: 10,
    cursor: null
  },
  "audit.get": { seq: 1 },
  "reports.preview": report,
  "reports.get": { id: uuid },
  "reports.create": savedReport,
  "reports.update": { id: uuid, changes: savedReport },
  "reports.delete": { id: uuid },
  "reports.run": { parameters: report, formats: ["csv", "pdf"] },
  "reports.runSaved": { id: uuid },
  "reports.runs": { reportId: uuid, limit: 10, cursor: null },
  "reports.getRun": { id: uuid },
  "roles.get": { id: uuid },
  "roles.create": { name: "night shift", description: "", permissions: ["servers:read"] },
  "roles.update": { id: uuid, role: { name: "night shift", description: "", permissions: ["servers:read"] } },
  "roles.delete": { id: uuid },
  "securityPolicy.update": {
    requireFactor: false,
    sessionIdleSeconds: 7_200,
    sessionLifetimeSeconds: 86_400,
    auditRetentionDays: null
  },
  "signInFailures.lift": { id: "address:203.0.113.7" },
  "availability.ofServer": { id: uuid, range: { from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" } },
  "availability.ofServers": { ids: [uuid], range: { from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" } },
  "availability.ofGroups": { from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" },
  "availability.outages": { from: "2026-11-01T00:00:00Z", to: "2026-11-08T00:00:00Z" },
  "availability.announce": {
    serverId: uuid,
    groupId: null,
    reason: "new disks",
    startsAt: "2026-11-08T02:00:00Z",
    endsAt: "2026-11-08T04:00:00Z"
  },
  "availability.callOff": { id: uuid },
  "fleetGuard.confirm": { id: uuid },
  "analytics.report": {
    from: "2026-11-01T00:00:00Z",
    to: "2026-11-08T00:00:00Z",
    timeZone: "Europe/Berlin",
    step: "day",
    by: "server",
    serverId: uuid,
    userId: uuid,
    deviceId: uuid,
    platform: "linux"
  },
  "connections.list": {
    scope: "live",
    text: "ada",
    statuses: ["active"],
    stale: false,
    verdicts: ["confirmed"],
    reasons: ["key_revoked"],
    userId: uuid,
    deviceId: uuid,
    serverId: uuid,
    personalKeyId: uuid,
    limit: 10,
    cursor: null
  },
  "connections.get": { id: uuid },
  "connections.disconnect": { id: uuid },
  "connections.cuts": { subjectId: uuid, limit: 10 },
  "connections.cutPreview": { kind: "user", id: uuid },
  "devices.list": { userId: uuid },
  "devices.block": { id: uuid, reason: "because" },
  "devices.unblock": { id: uuid },
  "devices.remove": { id: uuid },
  "personalKeys.list": { userId: uuid },
  "personalKeys.create": { userId: uuid, name: "laptop", expiresInSeconds: 3_600, connectionLimit: 3 },
  "personalKeys.rotate": { id: uuid, overlapSeconds: 60 },
  "personalKeys.revoke": { id: uuid, reason: "because" },
  "users.list": { text: "ada", states: ["active"], sort: "name", limit: 10, cursor: null },
  "users.get": { id: uuid },
  "users.activity": { id: uuid },
  "users.create": { name: "Ada", email: "ada@example.com", note: "keeps two laptops" },
  "users.update": { id: uuid, patch: { name: "Ada", email: "ada@example.com", note: "" } },
  "users.suspend": { id: uuid, reason: "because" },
  "users.resume": { id: uuid },
  "users.delete": { id: uuid },
  "events.list": {
    from: "2026-11-01T00:00:00Z",
    to: null,
    types: ["server.liveness_changed"],
    subjectId: uuid,
    text: "fra",
    limit: 10,
    cursor: null
  },
  "events.get": { id: uuid },
  "events.later": { after: "0", types: ["server.liveness_changed"], subjectId: uuid, limit: 10 },
  "fleet.live": { overview: true, servers: [uuid], joining: true, connections: [uuid], connecting: true },
  "groups.create": group,
  "groups.preview": { id: uuid, request: group },
  "groups.update": { id: uuid, request: group },
  "groups.delete": { id: uuid },
  "inventory.plan": { format: "csv", text: "kind,name,group\r\nserver,fra-1,eu\r\n" },
  "inventory.import": { format: "csv", text: "kind,name,group\r\nserver,fra-1,eu\r\n", digest: "0".repeat(64) },
  "monitoring.fleetAt": { at: "2026-11-22T10:00:00Z" },
  "monitoring.trend": { from: "2026-11-21T10:00:00Z", to: "2026-11-22T10:00:00Z" },
  "metrics.query": {
    scope: { _tag: "Server", id: uuid },
    names: ["cpu"],
    from: "2026-11-01T00:00:00Z",
    to: "2026-11-01T01:00:00Z",
    step: 60
  },
  "registrationKeys.list": { states: ["active"], limit: 10, cursor: null },
  "registrationKeys.members": { id: uuid },
  "registrationKeys.create": {
    name: "lab",
    useLimit: 5,
    expiresInSeconds: 3_600,
    tags: ["eu"],
    approval: false,
    replacesServerId: null
  },
  "registrationKeys.revoke": { id: uuid },
  "servers.list": {
    text: "",
    statuses: ["online"],
    tags: ["eu"],
    verified: null,
    sort: "name",
    limit: 10,
    cursor: null
  },
  "servers.count": {
    text: "tag:eu version:<1.4 -status:offline tar",
    statuses: ["online"],
    tags: ["eu"],
    verified: null,
    sort: "-load",
    limit: 10,
    cursor: null
  },
  "servers.changes": { id: uuid },
  "servers.notes": { id: uuid, limit: 10, cursor: null },
  "servers.addNote": { id: uuid, body: "Its fan is loud." },
  "servers.deleteNote": { id: uuid },
  "savedViews.list": { page: "servers" },
  "savedViews.save": { page: "servers", name: "old ones", search: "q=version%3A%3C1.4", shared: false },
  "savedViews.delete": { id: uuid },
  "bulkActs.get": { id: uuid },
  "bulkActs.undo": { id: uuid },
  "bulkActs.stop": { id: uuid },
  "bulkActs.preview": {
    action: { _tag: "Tag", add: ["eu"], remove: ["us"] },
    selection: { _tag: "Ticked", ids: [uuid] }
  },
  "bulkActs.start": {
    action: { _tag: "Label", set: { rack: "b2" }, remove: ["row"] },
    selection: { _tag: "Ticked", ids: [uuid] },
    expected: 1
  },
  "servers.get": { id: uuid },
  "servers.history": { id: uuid },
  "servers.approve": { id: uuid },
  "servers.suspend": { id: uuid, reason: "because" },
  "servers.setDuty": { id: uuid, duty: "serving" },
  "servers.limitConnections": { id: uuid, limit: 100 },
  "servers.assign": {
    id: uuid,
    assignment: {
      groupId: null,
      tags: { add: ["eu"], remove: ["us"] },
      labels: { set: { rack: "b2" }, remove: ["row"] }
    }
  },
  "servers.verify": { id: uuid },
  "servers.retire": { id: uuid, reason: "because" },
  "webhooks.get": { id: uuid },
  "webhooks.create": { name: "tickets", url: "https://example.com/events", types: ["server.liveness_changed"] },
  "webhooks.update": { id: uuid, changes: { name: "tickets", types: ["server.liveness_changed"] } },
  "webhooks.pause": { id: uuid },
  "webhooks.resume": { id: uuid },
  "webhooks.rotateSecret": { id: uuid },
  "webhooks.delete": { id: uuid },
  "webhooks.test": { id: uuid },
  "webhooks.deliveries": {
    id: uuid,
    query: {
      states: ["pending"],
      types: ["server.liveness_changed"],
      subjectId: uuid,
      eventId: uuid,
      from: "2026-11-01T00:00:00Z",
      to: null,
      limit: 10,
      cursor: null
    }
  },
  "webhooks.delivery": { id: uuid, deliveryId: uuid },
  "webhooks.previewReplay": { id: uuid, request: { from: "2026-11-01T00:00:00Z" } },
  "webhooks.replay": { id: uuid, request: { deliveryId: uuid } },
  "verification.list": { list: "due", groupId: null, limit: 10, cursor: null },
  "verification.ofServer": { id: uuid },
  "verification.requestRotation": { id: uuid },
  "verification.capabilities": { id: uuid }
}

const sampleOf = (name: string) => {
  const sample = rpcSamples[name]
  if (sample === undefined) throw new Error(`no sample for the input of ${name}`)
  return sample
}

/** The procedures of the dashboard that take an input. */
export const rpcTargets = (
  { broker, cookie }: Pick<Stage, "broker" | "cookie">,
  chosen: ReadonlyArray<Definition> = procedures
): ReadonlyArray<Target> =>
  chosen.flatMap(({ inputs: [input], name, type }) => {
    if (!Schema.isSchema(input)) return []
    const { definitions, schema } = Schema.toJsonSchemaDocument(input as Schema.Top)
    const described = { components: { schemas: definitions } } as unknown as Document
    return [
      {
        name,
        schema: schema as JsonSchema,
        document: described,
        sample: sampleOf(name),
        method: type === "mutation" ? "POST" : "GET",
        path: `/rpc/${name}`,
        send: async (body) =>
          type === "mutation"
            ? broker.ask("POST", `/rpc/${name}`, { body, headers: { cookie } })
            : refusalIn(
                await broker.ask("GET", `/rpc/${name}?input=${encodeURIComponent(String(body))}`, {
                  headers: { cookie }
                })
              ),
        named: rpcPointers
      } satisfies Target
    ]
  })

/** So many at once, in order. */
export const inParallel = async <A>(items: ReadonlyArray<A>, run: (item: A) => Promise<void>) => {
  const queue = items.values()
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (const item of queue) await run(item)
    })
  )
}

const tells = /\bat [^\s]+ \(?(?:file:|\/|node:)|node_modules|\.ts:\d+|PostgreSQL|SqlError|ECONN|\bselect |insert into/

/** What no answer may be, whatever was asked. */
export const complaintOf = (answer: Pick<Answer, "status" | "headers" | "text">, secrets: ReadonlyArray<string>) => {
  if (answer.status >= 500) return `${answer.status}: ${answer.text.slice(0, 300)}`
  if (tells.test(answer.text)) return `tells of the inside: ${answer.text.slice(0, 300)}`
  if (secrets.some((secret) => answer.text.includes(secret))) return "tells a secret"
  if (answer.headers.get("x-request-id") === null) return "has no id"
  return undefined
}

/** Lines of the log that show a fault, a stack or a secret. */
export const faultyLines = ({ broker, secrets }: Stage) =>
  broker.log.filter((line) => {
    const { level } = JSON.parse(line) as { readonly level: string }
    if (level === "ERROR" || level === "FATAL" || /node_modules|\.ts:\d+/.test(line)) return true
    return secrets.some((secret) => line.includes(secret))
  })
