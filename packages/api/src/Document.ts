/** What the OpenAPI document has to say beside the endpoints' own schemas, so that it is true of what is served. */
import type { OpenApi } from "effect/http-api"
import { common, fields, parameters } from "./Descriptions.ts"
import { type ExampleCall, exampleKey } from "./Example.ts"

type Spec = OpenApi.OpenAPISpec
type JsonSchemas = Spec["components"]["schemas"]
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

const isTime = (name: string) => /(At|Since|Until)$|^(at|from|to|time|timestamp)$/.test(name)

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
  title: { type: "string", description: "What kind of problem, in a few words for people" },
  status: { type: "integer", description: "Of the answer, once more" },
  detail: { type: "string", description: "What happened, for people" },
  instance: { type: "string", format: "uri-reference", description: "The path that was asked" },
  code: { type: "string", description: "Stable; what programs switch on" },
  requestId: { type: "string", description: "As in X-Request-Id, and in the broker's log" }
}

const required = Object.keys(members)

const memberOf = (name: string): JsonObject => (members as JsonObject)[name] as JsonObject

/** Adds to a problem's schema what the edge adds to the answer. */
const complete = (schema: unknown): unknown => {
  if (!isObject(schema) || !isObject(schema["properties"]) || !("code" in schema["properties"])) return schema
  const own = schema["properties"]
  const told = Object.entries(own).map(([name, inner]) => [
    name,
    { ...memberOf(name), ...(isObject(inner) ? inner : {}) }
  ])
  return {
    ...schema,
    properties: { ...members, ...Object.fromEntries(told), status: { ...members.status, enum: enumOf(own["status"]) } },
    required: [...new Set([...required, ...(Array.isArray(schema["required"]) ? schema["required"] : [])])]
  }
}

const enumOf = (schema: unknown) => (isObject(schema) ? schema["enum"] : undefined)

/** The values that a field may have. */
const textsOf = (properties: unknown, name: string): ReadonlyArray<string> => {
  const values = isObject(properties) ? enumOf(properties[name]) : undefined
  return Array.isArray(values) ? values.map(String) : []
}

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
        status: { ...members.status, enum: [Number(status)] },
        code: { ...members.code, enum: codes }
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

const requestId = {
  "X-Request-Id": {
    schema: { type: "string" },
    required: true,
    description: "The id of this request in the broker's log"
  }
}
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

const tag = (use: string) => ({ ETag: { schema: { type: "string" }, required: true, description: use } })

const entityTag = tag("For If-None-Match; of what can be changed, for If-Match too")

const whereMade = {
  ...tag("For If-Match"),
  Location: { schema: { type: "string", format: "uri-reference" }, required: true, description: "Where it is found" }
}

const waits: ReadonlySet<string> = new Set(["429", "503"])

/** Says what a parameter means, and shows the example's value of it. */
const described = (operationId: unknown, parameter: JsonObject, call: ExampleCall | undefined): JsonObject => {
  const name = String(parameter["name"])
  const given = { path: call?.path, query: call?.query, header: call?.headers }[String(parameter["in"])]
  const told = { ...parameter, ...parameters[name], ...parameters[`${String(operationId)}.${name}`] }
  const isNumber = isObject(told.schema) && told.schema["type"] === "integer"
  return given?.[name] === undefined ? told : { ...told, example: isNumber ? Number(given[name]) : given[name] }
}

const shown = (content: unknown, example: unknown, told: (example: unknown) => JsonObject): unknown =>
  isObject(content) && example !== undefined
    ? Object.fromEntries(
        Object.entries(content).map(([type, media]) => [type, isObject(media) ? { ...media, ...told(example) } : media])
      )
    : content

const one = (example: unknown) => ({ example })

/** The page at /docs shows answers by their names only. */
const byName = (example: unknown) => ({ examples: { example: { value: example } } })

/** Puts the example's body and answer where the document has them. */
const exemplified = (operation: JsonObject, call: ExampleCall | undefined): JsonObject => {
  const { requestBody, responses } = operation
  if (call === undefined || !isObject(responses)) return operation
  const answered = String(call.status ?? Object.keys(responses).find((status) => status.startsWith("2")))
  const response = responses[answered]
  return {
    ...operation,
    ...(isObject(requestBody)
      ? { requestBody: { ...requestBody, content: shown(requestBody["content"], call.body, one) } }
      : {}),
    responses: isObject(response)
      ? { ...responses, [answered]: { ...response, content: shown(response["content"], call.answer, byName) } }
      : responses
  }
}

/** Says what a machine's token needs: the page at /docs does not show the scopes of `security`. */
const scoped = ({ description, security }: JsonObject): JsonObject => {
  const scopes = (Array.isArray(security) ? security : []).flatMap((each) =>
    isObject(each) && Array.isArray(each["apiToken"]) ? each["apiToken"].map(String) : []
  )
  const needs = scopes.map((scope) => `An API token needs the scope \`${scope}\`.`)
  return { description: [description, ...needs].join("\n\n") }
}

const componentRef = (name: string) => ({ $ref: `#/components/schemas/${name}` })

/** Puts each object that has a title among the components, by that name, and leads there from wherever it stood. */
const hoisted = (spec: Spec): Spec => {
  const found = new Map(Object.entries<unknown>(spec.components.schemas))
  const hoist = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(hoist)
    if (!isObject(value)) return value
    const { title, ...inner } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hoist(inner)]))
    if (typeof title !== "string" || inner["type"] !== "object")
      return title === undefined ? inner : { title, ...inner }
    const name = title.replace(/\.json$/, "")
    const known = found.get(name)
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(inner)) return { title, ...inner }
    found.set(name, inner)
    return componentRef(name)
  }
  const paths = hoist(spec.paths) as Spec["paths"]
  for (const [name, schema] of Object.entries(spec.components.schemas))
    found.set(name, hoist({ ...schema, title: undefined }))
  return { ...spec, paths, components: { ...spec.components, schemas: Object.fromEntries(found) as JsonSchemas } }
}

/** Says what each field is: by the schema it stands in, by the field's own schema, or by its name. */
const explained = (own: Readonly<Record<string, string>>, value: unknown, path = ""): unknown => {
  if (Array.isArray(value)) return value.map((inner) => explained(own, inner, path))
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === "properties" && isObject(inner)
        ? [key, Object.fromEntries(Object.entries(inner).map((field) => explainedField(own, field, path)))]
        : [key, explained(own, inner, path)]
    )
  )
}

const explainedField = (
  own: Readonly<Record<string, string>>,
  [name, schema]: readonly [string, unknown],
  path: string
): readonly [string, unknown] => {
  if (!isObject(schema)) return [name, schema]
  const description = own[`${path}${name}`] ?? schema["description"] ?? common[name]
  const inner = explained(own, schema, `${path}${name}.`) as JsonObject
  return [name, description === undefined ? inner : { ...inner, description }]
}

/** What schemas without words of their own are called by default. */
const plain = ({ content, description }: JsonObject): unknown => {
  if (description === "<No Content>") return "Done; there is nothing to answer"
  if (description !== "Success") return description
  const names = [...JSON.stringify(content ?? {}).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)]
  return names.length === 0 ? "What was asked for" : names.map(([, name]) => `\`${name}\``).join(" or ")
}

/** Which problems an answer may be, each with its code. */
const problemsIn = (schemas: JsonObject, response: JsonObject): string | undefined => {
  const content = response["content"] as Media | undefined
  const schema = content?.[problemJson]?.schema
  if (schema === undefined) return undefined
  const choices = Array.isArray(schema["anyOf"]) ? schema["anyOf"] : [schema]
  return choices
    .map((choice) => {
      const problem = schemas[String(choice["$ref"]).replace(componentRef("").$ref, "")]
      const own = isObject(problem) ? problem["properties"] : undefined
      const [title = isObject(problem) ? problem["title"] : undefined] = textsOf(own, "title")
      return `${String(title)} (${textsOf(own, "code")
        .map((code) => `\`${code}\``)
        .join(", ")})`
    })
    .join("; ")
}

const completeOperation = (schemas: JsonObject, { [exampleKey]: example, ...given }: JsonObject): JsonObject => {
  const call = example as ExampleCall | undefined
  const operation = exemplified(given, call)
  const responses: { [status: string]: JsonObject } = {
    ...(operation["responses"] as { [status: string]: JsonObject })
  }
  for (const [status, [title]] of Object.entries(anywhere)) {
    const own = responses[status]
    responses[status] = {
      ...own,
      content: withEdge(own?.["content"] as Media | undefined, title)
    }
  }
  const asked = Array.isArray(operation["parameters"]) ? operation["parameters"].filter(isObject) : []
  const isConditional = asked.some(({ name }) => name === "if-none-match")
  const isGuarded = asked.some(({ name }) => name === "if-match")
  const isMachines = JSON.stringify(operation["security"] ?? []).includes("apiToken")
  const tagged = (status: string, content: unknown) => {
    if (isMachines && status === "201") return whereMade
    if (isConditional && /^[23]/.test(status)) return entityTag
    return isGuarded && status.startsWith("2") && content !== undefined ? tag("For If-Match") : {}
  }
  if (isConditional) responses["304"] = { description: "Not modified since the answer with that tag" }
  return {
    ...operation,
    ...scoped(operation),
    ...(asked.length === 0
      ? {}
      : { parameters: asked.map((parameter) => described(operation["operationId"], parameter, call)) }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, response]) => [
        status,
        {
          ...response,
          description: problemsIn(schemas, response) ?? plain(response),
          headers: {
            ...requestId,
            ...(waits.has(status) ? retryAfter : {}),
            ...(status === "429" ? limitReached : rateLimit),
            ...tagged(status, response["content"])
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
  const spec = hoisted(open(dated(named(given as unknown as Spec))) as Spec)
  const schemas = Object.entries(spec.components.schemas).map(([name, schema]) => [
    name,
    complete(explained(fields[name] ?? {}, schema))
  ])
  const all: JsonObject = { ...Object.fromEntries(schemas), ...edge }
  return {
    ...spec,
    paths: Object.fromEntries(
      Object.entries(spec.paths).map(([path, item]) => [
        path,
        Object.fromEntries(
          Object.entries(item).map(([method, operation]) => [method, completeOperation(all, operation as JsonObject)])
        )
      ])
    ),
    components: {
      ...spec.components,
      schemas: all,
      securitySchemes: Object.fromEntries(
        Object.keys(spec.components.securitySchemes).map((name) => [
          name,
          { type: "http", scheme: "bearer", description: bearers[name] }
        ])
      )
    }
  }
}
