/** What the OpenAPI document has to say beside the endpoints' own schemas, so that it is true of what is served. */
import type { OpenApi } from "effect/http-api"

type Spec = OpenApi.OpenAPISpec
type JsonObject = { [key: string]: unknown }

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Unknown fields of requests are ignored, and answers may get new ones inside a version: no object is closed. */
const open = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(open)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => key !== "additionalProperties" || inner !== false)
      .map(([key, inner]) => [key, open(inner)])
  )
}

const isTime = (name: string) => /At$|^time$|^timestamp$/.test(name)

/** Times are strings to a schema; the document says of what form. Nothing in the API is named like a time and is none. */
const dated = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(dated)
  if (!isObject(value)) return value
  const { properties } = value
  const inner = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, dated(inner)]))
  if (!isObject(properties)) return inner
  const format = (schema: unknown): unknown => {
    if (!isObject(schema)) return schema
    if (schema["type"] === "string") return { ...schema, format: "date-time" }
    return Array.isArray(schema["anyOf"]) ? { ...schema, anyOf: schema["anyOf"].map(format) } : schema
  }
  return {
    ...inner,
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [name, isTime(name) ? format(dated(schema)) : dated(schema)])
    )
  }
}

/** Schemas are called what they are called in the code; that they are encoded goes without saying here. */
const named = (spec: Spec): Spec => JSON.parse(JSON.stringify(spec).replace(/(\w+)Encoded"/g, '$1"'))

/** What every problem holds (RFC 9457), whoever answers it. */
const members = {
  type: { type: "string", format: "uri-reference", description: "The page about the problem, on the broker" },
  title: { type: "string" },
  status: { type: "integer" },
  detail: { type: "string", description: "What happened, for people" },
  instance: { type: "string", format: "uri-reference", description: "The path that was asked" },
  code: { type: "string", description: "Stable; what programs switch on" },
  requestId: { type: "string", description: "As in X-Request-Id, and in the broker's log" }
}

const required = Object.keys(members)

/** Adds to a problem's schema what the edge adds to the answer. */
const complete = (schema: unknown): unknown => {
  if (!isObject(schema) || !isObject(schema["properties"]) || !("code" in schema["properties"])) return schema
  const own = schema["properties"]
  return {
    ...schema,
    properties: { ...members, ...own, status: { ...members.status, enum: enumOf(own["status"]) } },
    required: [...new Set([...required, ...(Array.isArray(schema["required"]) ? schema["required"] : [])])]
  }
}

const enumOf = (schema: unknown) => (isObject(schema) ? schema["enum"] : undefined)

/** What any call may be answered, by status: the request was not understood, or the broker is not itself. */
const anywhere: Readonly<Record<string, readonly [title: string, codes: ReadonlyArray<string>]>> = {
  400: ["Bad request", ["bad_request", "malformed_json"]],
  413: ["Body too large", ["body_too_large"]],
  415: ["Unsupported media type", ["unsupported_media_type"]],
  500: ["Internal error", ["internal_error"]],
  503: ["Unavailable", ["overloaded", "database_unavailable", "stopping"]]
}

const edge = Object.fromEntries(
  Object.entries(anywhere).map(([status, [title, codes]]) => [
    title.replace(/ (\w)/g, (_, letter: string) => letter.toUpperCase()),
    {
      type: "object",
      title,
      properties: {
        ...members,
        status: { type: "integer", enum: [Number(status)] },
        code: { type: "string", enum: codes }
      },
      required
    }
  ])
)

const problemJson = "application/problem+json"

type Media = { [contentType: string]: { schema: JsonObject } }

const withEdge = (content: Media | undefined, title: string): Media => {
  const added = { $ref: `#/components/schemas/${title.replace(/ (\w)/g, (_, letter: string) => letter.toUpperCase())}` }
  const own = content?.[problemJson]?.schema
  if (own === undefined) return { ...content, [problemJson]: { schema: added } }
  const choices = Array.isArray(own["anyOf"]) ? own["anyOf"] : [own]
  return { ...content, [problemJson]: { schema: { anyOf: [...choices, added] } } }
}

const requestId = { "X-Request-Id": { schema: { type: "string" }, required: true } }
const retryAfter = { "Retry-After": { schema: { type: "integer" }, required: true, description: "Seconds to wait" } }

/** Of what is limited (draft-ietf-httpapi-ratelimit-headers). */
const rateLimit = {
  "RateLimit-Policy": {
    schema: { type: "string", examples: ['"api";q=6000;w=60'] },
    description:
      "The limit that is nearest to its end: its name, how many requests (`q`), and within how many seconds (`w`). Not sent where limits are switched off"
  },
  RateLimit: {
    schema: { type: "string", examples: ['"api";r=5999;t=60'] },
    description: "What is left of it (`r`), and in how many seconds there is more (`t`)"
  }
}

const limitReached = Object.fromEntries(
  Object.entries(rateLimit).map(([name, header]) => [name, { ...header, required: true }])
)

const entityTag = { ETag: { schema: { type: "string" }, required: true, description: "For If-None-Match" } }

const waits: ReadonlySet<string> = new Set(["429", "503"])

/** What a parameter means, by its name, and of what form it is where a schema of texts does not tell. */
const parameters: Readonly<Record<string, { readonly description: string; readonly schema?: JsonObject }>> = {
  "idempotency-key": { description: "Within 24 hours, the same key and body stand for the same request" },
  "if-none-match": { description: "An entity tag of an earlier answer, as RFC 9110 has it" },
  status: {
    description:
      "Any of these; only `online`, `degraded` and `unknown` servers are ever available: the last while so many went silent at once that the broker rather doubts itself. Repeatable"
  },
  group: { description: "In this group or one below it: a path such as `eu/frankfurt`, in any case, or an id" },
  tag: { description: "All of these. Repeatable" },
  label: { description: "All of these, each as `key:value`. Repeatable" },
  capability: { description: "All of these, such as `vpn`. Repeatable" },
  q: { description: "Part of a name, in any case" },
  minVersion: { description: "This version or a later one; servers without a version never fit" },
  near: {
    description:
      "`latitude,longitude` in degrees, or `me` for wherever the request comes from: sorted by load while it is not known where that is",
    schema: { type: "string", examples: ["50.11,8.68", "me"] }
  },
  sort: { description: "By distance where `near` is given, otherwise by name; a minus turns it round" },
  limit: {
    description: "How many items a page has",
    schema: { type: "integer", minimum: 1, maximum: 200, default: 50 }
  },
  cursor: { description: "`nextCursor` of the page before, with the same query" },
  from: { description: "This moment or later", schema: { type: "string", format: "date-time" } },
  to: { description: "Before this moment", schema: { type: "string", format: "date-time" } },
  text: { description: "Part of an actor's or a subject's name, an action, an id, an address or a request id" },
  action: { description: "`noun:verb`, or `noun:` for all of a noun" },
  actorKind: { description: "Any of these. Repeatable" },
  actorId: { description: "Whoever did it, by id" },
  subjectKind: { description: "What it was done to" },
  subjectId: { description: "The one that it was done to, by id" },
  outcome: { description: "Whether it was done, or refused" }
}

const described = (parameter: JsonObject): JsonObject => ({ ...parameter, ...parameters[String(parameter["name"])] })

/** What fields mean that their names do not tell. */
const meanings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  DiscoveredServer: {
    load: "How much of its limit of connections is in use, from 0 to 1",
    distanceKm: "To the place that was asked about; null where either is unknown"
  },
  Connection: {
    status:
      "`intent`: granted, and on its way; `active`: the server accepted it; `ended`; `expired`: it never came to be; `refused` by the server",
    expiresAt: "Until when the intent waits for the server to report it active",
    grantExpiresAt: "Until when the server accepts the grant",
    staleSince: "Since when its server has been offline",
    endedBy: "Who ended it first",
    endReason: "A word of the broker's, such as `server_lost` or `key_revoked`, or what that side gave as its reason",
    rxBytes: "What the client received",
    txBytes: "What the client sent",
    lossRatio: "Lost packets, from 0 to 1"
  },
  ConnectionGranted: {
    grant: "A compact JWS (EdDSA, `typ` `grant+jwt`) to show to the server, and to nobody else",
    explanation: "Why this server, where the broker chose"
  }
}

const explained = (name: string, schema: unknown): unknown => {
  const own = meanings[name]
  if (own === undefined || !isObject(schema) || !isObject(schema["properties"])) return schema
  const properties = Object.entries(schema["properties"]).map(([field, inner]) => [
    field,
    own[field] === undefined || !isObject(inner) ? inner : { ...inner, description: own[field] }
  ])
  return { ...schema, properties: Object.fromEntries(properties) }
}

const answers = (operation: JsonObject): JsonObject => {
  const responses: { [status: string]: JsonObject } = {
    ...(operation["responses"] as { [status: string]: JsonObject })
  }
  for (const [status, [title]] of Object.entries(anywhere)) {
    const own = responses[status]
    responses[status] = {
      description: own === undefined ? title : `${own["description"]} | ${title}`,
      ...own,
      content: withEdge(own?.["content"] as Media | undefined, title)
    }
  }
  const asked = Array.isArray(operation["parameters"]) ? operation["parameters"].filter(isObject) : []
  const isConditional = asked.some(({ name }) => name === "if-none-match")
  if (isConditional) responses["304"] = { description: "Not modified since the answer with that tag" }
  return {
    ...operation,
    ...(asked.length === 0 ? {} : { parameters: asked.map(described) }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, response]) => [
        status,
        {
          ...response,
          headers: {
            ...requestId,
            ...(waits.has(status) ? retryAfter : {}),
            ...(status === "429" ? limitReached : rateLimit),
            ...(isConditional && /^[23]/.test(status) ? entityTag : {})
          }
        }
      ])
    )
  }
}

const bearers: Readonly<Record<string, string>> = {
  registrationKey: "A registration key: `brk_reg_…`",
  serverToken: "The server's own token: `brk_srv_…`",
  personalKey: "A user's personal key: `brk_usr_…`",
  clientSession: "The token of a client's session: `brk_ses_…`",
  apiToken: "An API token: `brk_api_…`. It needs the scope that the call names, and its owner the permission"
}

/** For `OpenApi.Transform` of the whole API. */
export const transform = (given: JsonObject): JsonObject => {
  const spec = open(dated(named(given as unknown as Spec))) as Spec
  const schemas = Object.entries(spec.components.schemas).map(([name, schema]) => [
    name,
    complete(explained(name, schema))
  ])
  return {
    ...spec,
    paths: Object.fromEntries(
      Object.entries(spec.paths).map(([path, item]) => [
        path,
        Object.fromEntries(
          Object.entries(item).map(([method, operation]) => [method, answers(operation as JsonObject)])
        )
      ])
    ),
    components: {
      ...spec.components,
      schemas: { ...Object.fromEntries(schemas), ...edge },
      securitySchemes: Object.fromEntries(
        Object.keys(spec.components.securitySchemes).map((name) => [
          name,
          { type: "http", scheme: "bearer", description: bearers[name] }
        ])
      )
    }
  }
}
