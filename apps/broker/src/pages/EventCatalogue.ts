/** `docs/events.md`, written from the schemas of events: a test fails when the page is stale. */
import { Api } from "@broker/api/Api"
import { catalogue, currentVersion, type EventSubject, type EventType, eventTypes } from "@broker/domain/Event"
import { OpenApi } from "effect/http-api"
import { markdownTable } from "../MarkdownTable.ts"

/** What is not the same in all of them. */
interface Particular<Data> {
  readonly subject: typeof EventSubject.Encoded
  readonly data: Data
}

const at = "2026-11-22T10:15:30.000Z"
const server = { id: "019ab8f0-51c3-7d4e-9a10-3c5f7e2b9d01", name: "fra-1" }
const group = "eu/frankfurt"
const webhook = { id: "019ab8f1-2c40-7b66-8f0e-5d3a9c7b1e10", name: "Ticket system" }
const user = { id: "019ab8f0-5a7e-7f20-a4c1-9e8b3d6f5a04", name: "Ada Lovelace" }
const connectionId = "019ab8f0-7d39-7b04-9c6e-4a8d1f5b7c07"

const intent = {
  user,
  device: { id: "019ab8f0-6c28-7e91-8d3f-7b5a2c9e4f06", name: "Ada's laptop" },
  server,
  group,
  status: "intent",
  createdAt: "2026-11-22T10:10:00.000Z",
  startedAt: null,
  endedAt: null,
  endedBy: null,
  reason: null,
  rxBytes: null,
  txBytes: null,
  verdict: null
} as const
const started = { ...intent, status: "active", startedAt: "2026-11-22T10:10:02.000Z" } as const
const ended = {
  ...started,
  status: "ended",
  endedAt: at,
  endedBy: "client",
  reason: "signed_off",
  rxBytes: 1_200_000,
  txBytes: 80_000
} as const

const guard = {
  expected: 40,
  seen: 28,
  held: 12,
  cause: "network",
  causeDetail: "198.51.0.0/16",
  end: null,
  endedBy: null
} as const

const about = (kind: (typeof EventSubject.Encoded)["kind"], { id, name }: { id: string; name: string | null }) => ({
  subject: { kind, id, name }
})
const ofServer = about("server", server)
const ofConnection = about("connection", { id: connectionId, name: null })
const ofGuard = about("fleet-guard", { id: "019ab8f0-9b11-7f4a-8c2d-1e6a5d3b9c0d", name: null })
const ofWebhook = about("webhook", webhook)

const examples: { readonly [Type in EventType]: Particular<(typeof catalogue)[Type]["data"]["Encoded"]> } = {
  "server.registered": {
    ...ofServer,
    data: { server, group, before: null, after: "approved", reason: "registered" }
  },
  "server.admission_changed": {
    ...ofServer,
    data: { server, group, before: "approved", after: "suspended", reason: "odd traffic" }
  },
  "server.liveness_changed": {
    ...ofServer,
    data: { server, group, before: "degraded", after: "offline", reason: "missed_heartbeats" }
  },
  "server.duty_changed": { ...ofServer, data: { server, group, before: "serving", after: "draining", reason: null } },
  "server.verification_changed": {
    ...ofServer,
    data: { server, group, before: "unverified", after: "verified", reason: null }
  },
  "server.updated": { ...ofServer, data: { server, group, changed: ["tags", "version"] } },
  "connection.created": { ...ofConnection, data: intent },
  "connection.started": { ...ofConnection, data: started },
  "connection.ended": { ...ofConnection, data: ended },
  "connection.expired": {
    ...ofConnection,
    data: { ...intent, status: "expired", endedAt: at, endedBy: "broker", reason: "intent_expired" }
  },
  "connection.refused": {
    ...ofConnection,
    data: { ...intent, status: "refused", endedAt: at, endedBy: "server", reason: "full" }
  },
  "connection.settled": { ...ofConnection, data: { ...ended, verdict: "confirmed" } },
  "fleet_guard.began": { ...ofGuard, data: guard },
  "fleet_guard.ended": { ...ofGuard, data: { ...guard, seen: 40, held: 0, end: "recovered" } },
  "security_event.raised": {
    ...ofServer,
    data: {
      kind: "challenge_failed",
      severity: "high",
      server,
      address: "203.0.113.7",
      details: { purpose: "periodic" }
    }
  },
  "webhook.paused": {
    ...ofWebhook,
    data: { webhook, because: "failing", problem: "The receiver answered 500" }
  },
  "webhook.resumed": { ...ofWebhook, data: { webhook } },
  "webhook.test": { ...ofWebhook, data: { webhook } },
  "report.ready": {
    ...about("report", { id: "019ab8f1-4e2a-7c90-9a51-7f0b3d6c2e11", name: "Usage of the week" }),
    data: {
      run: "019ab8f1-4f7b-7d13-8b62-2a9e5c8d4f12",
      kind: "usage",
      from: "2026-11-15T23:00:00.000Z",
      to: "2026-11-22T23:00:00.000Z",
      slotAt: "2026-11-23T06:00:00.000Z",
      complete: true,
      files: [
        {
          format: "pdf",
          bytes: 48_213,
          sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        }
      ]
    }
  },
  "audit.recorded": {
    ...about("user", user),
    data: {
      entry: 1_024,
      action: "users:update",
      actor: { kind: "admin", id: "019ab8f0-4d00-7a17-8f4b-2e9c5d7a6b09", name: "grace" },
      subjectKind: "user",
      details: { name: "Ada Lovelace", fields: ["email"] }
    }
  }
}

/** One whole event of each type, as it goes out. */
export const exampleOf = (type: EventType) => ({
  id: "019ab8f0-8a01-7c3e-9d21-6b4f8e2a5c0b",
  type,
  version: currentVersion,
  at,
  place: "1234",
  ...examples[type]
})

interface JsonSchema {
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly format?: string
  readonly description?: string
  readonly $ref?: string
}

const code = (text: string) => `\`${text}\``

/** What is another one in each type. */
const ofAll = {
  type: { type: "string", description: "What happened" },
  data: { type: "object", description: "By the type" }
}

/** More words than that are no table any more. */
const fewWords = 10

const wordsOf = (schemas: Readonly<Record<string, JsonSchema>>) => {
  const words = (schema: JsonSchema): string => {
    if (schema.$ref !== undefined) return words(schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {})
    if (schema.anyOf !== undefined) return schema.anyOf.map(words).join(" or ")
    if (schema.enum !== undefined)
      return schema.enum.length > fewWords ? "text" : schema.enum.map((word) => code(String(word))).join(", ")
    if (schema.format === "date-time") return "time"
    if (schema.type === "array") return `list of ${words(schema.items ?? {})}`
    if (schema.type === "object")
      return schema.properties === undefined ? "object" : code(`{ ${Object.keys(schema.properties).join(", ")} }`)
    return (
      { string: "text", integer: "whole number", number: "number", boolean: "yes or no", null: "null" }[
        schema.type ?? ""
      ] ?? "any"
    )
  }
  return words
}

export const eventsPage = () => {
  const document = OpenApi.fromApi(Api)
  const schemas = document.components.schemas as Readonly<Record<string, JsonSchema>>
  const words = wordsOf(schemas)
  const resolved = (schema: JsonSchema | undefined) =>
    schema?.$ref === undefined ? schema : schemas[schema.$ref.split("/").at(-1) ?? ""]
  /** By what OpenAPI calls the schema of the type. */
  const ofType = (type: EventType) =>
    Object.values(schemas).find(({ properties }) => {
      const [only, ...more] = properties?.["type"]?.enum ?? []
      return only === type && more.length === 0 && properties?.["place"] !== undefined
    })
  const fields = (schema: JsonSchema | undefined) =>
    markdownTable(
      ["field", "type", "meaning"],
      Object.entries(schema?.properties ?? {}).map(([name, field]) => [
        code(name),
        words(field),
        field.description ?? ""
      ])
    )
  return [
    "# Events",
    "",
    "What happened, as other systems read it: servers that join, move and change, connections, the fleet guard, what is",
    "suspicious, and what people did. An event is written in the transaction of what it tells of: there is none of what",
    "did not happen, and none is missing of what did.",
    "",
    "There are three ways to them, and an event looks the same in each:",
    "",
    "- **The feed**: `GET /api/v1/events`, page by page, with an API token. For systems that come by from time to time.",
    "- **A stream**: `GET /api/v1/events/stream`, Server-Sent Events. For systems that want to know at once.",
    "- **Webhooks**: the broker calls you, signed, and tries again for days.",
    "",
    "On the command line, `broker event list` looks back and `broker event follow` shows what happens; in the dashboard",
    "it is the page *Events*. What it exports holds entries of the audit log only for whoever may export that, too, and is",
    "recorded there then.",
    "",
    "## Follow the feed",
    "",
    "Make an API token with the scope `events:read`, and with those of what you want to hear of: whoever lacks the",
    "permission that a type asks for hears of none of them, and is not told that there are any.",
    "",
    "```sh",
    `curl -H "Authorization: Bearer $TOKEN" "$BROKER/api/v1/events?type=server.liveness_changed&limit=100"`,
    "```",
    "",
    "```json",
    `{ "items": [ … ], "next": "1234", "more": false }`,
    "```",
    "",
    "Pass `next` as `after` the next time, whether there were items or not: it moves on over events that you did not ask",
    "for as well. Keep it where you keep what you made of the events, in the same transaction if you can. `more` says",
    "whether to ask again at once. `type` may be repeated; `subject` is the id of one server, connection, and so on.",
    "",
    "### As a stream",
    "",
    "```sh",
    `curl -N -H "Authorization: Bearer $TOKEN" "$BROKER/api/v1/events/stream?type=server.liveness_changed"`,
    "```",
    "",
    "```",
    "retry: 2000",
    "",
    "id: 1234",
    "event: server.liveness_changed",
    `data: {"id":"019ab8f0-8a01-7c3e-9d21-6b4f8e2a5c0b","type":"server.liveness_changed", …}`,
    "```",
    "",
    "It begins now, or after the place in `Last-Event-ID` or `after`. An `id` without data moves your place on while",
    "there is nothing for you, and a comment every 15 seconds shows that the line is open. A stream ends when its node",
    "stops, and within seconds when the token is revoked or may do something else than before: connect again, to any",
    "node, with the last `id`. Clients of Server-Sent Events do so by themselves. A token may have 20 streams open on a",
    "node, a node 1,000; beyond that it is 429 `too_many_event_streams`.",
    "",
    "[Follow the feed](guides/follow-the-feed.md) is a program that does so, step by step.",
    "",
    "## What you may rely on",
    "",
    "- **Nothing is missed.** Places are given after the commit, by one node at a time. Once you have read up to a place,",
    "  no event is ever put in before it, however long its transaction took.",
    "- **Each event once, in one order**, which is the same for every reader and on every node. Where you cannot tell",
    "  whether you had one, compare its `id`, which never changes.",
    "- **Events of one subject come in the order in which they happened.** Between subjects that have nothing to do with",
    "  each other the order is that of the commits, or near it; `at` may step back a little from one to the next.",
    "- **Soon.** An event is in the feed about a quarter of a second after its commit. `broker_events_lag_seconds` of",
    "  `/metrics` tells how long the oldest has been waiting. Without a leading node it waits until there is one.",
    "- **For 30 days**, unless the setting `EVENT_HISTORY` says otherwise. Whoever comes with an older place gets 410",
    "  `events_gone` instead of a gap: read the present state, then go on from `oldest`. The same goes for a place that",
    "  was never given, which is one of before the database was put back from a backup.",
    `- **Types are never renamed, and data only ever gain fields.** What has to change otherwise gets a new \`version\`; all`,
    `  are of version ${currentVersion} today. Ignore fields and types that you do not know.`,
    "",
    "## What every event has",
    "",
    ...fields({ ...ofType("server.registered"), properties: { ...ofType("server.registered")?.properties, ...ofAll } }),
    "",
    "## Types",
    "",
    ...markdownTable(
      ["type", "tells", "permission"],
      eventTypes.map((type) => [
        `[${type}](#${type.replace(/[._]/g, (sign) => (sign === "." ? "" : sign))})`,
        catalogue[type].meaning,
        code(catalogue[type].permission)
      ])
    ),
    "",
    ...eventTypes.flatMap((type) => [
      `### ${type}`,
      "",
      catalogue[type].meaning,
      "",
      `Needs ${code(catalogue[type].permission)}. The data:`,
      "",
      ...fields(resolved(ofType(type)?.properties?.["data"])),
      "",
      "```json",
      JSON.stringify(exampleOf(type), null, 2),
      "```",
      ""
    ])
  ].join("\n")
}
