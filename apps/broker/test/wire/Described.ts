/** Whether an answer is what the OpenAPI document says. As much of JSON Schema as the document uses. */
import { type Answer, ask, type Json } from "./Wire.ts"

export type JsonSchema = {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly const?: unknown
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly oneOf?: ReadonlyArray<JsonSchema>
  readonly allOf?: ReadonlyArray<JsonSchema>
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly format?: string
}

interface Operation {
  readonly operationId: string
  readonly summary?: string
  readonly security?: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly parameters?: ReadonlyArray<{
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly description?: string
    readonly schema: JsonSchema
    readonly example?: unknown
  }>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly headers?: Readonly<Record<string, { readonly required?: boolean }>>
        readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>
      }
    >
  >
}

export interface Document {
  readonly openapi: string
  readonly info: Json
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>
    readonly securitySchemes: Readonly<Record<string, Json>>
  }
}

export const resolve = (document: Document, schema: JsonSchema): JsonSchema => {
  if (schema.$ref === undefined) return schema
  const found = document.components.schemas[schema.$ref.replace("#/components/schemas/", "")]
  if (found === undefined) throw new Error(`${schema.$ref} leads nowhere`)
  return resolve(document, found)
}

const typeOf = (value: unknown) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value)

const isType = (value: unknown, type: string) => (type === "integer" ? Number.isInteger(value) : typeOf(value) === type)

/** What is wrong with a value, each with where it is. */
export const faults = (document: Document, given: JsonSchema, value: unknown, at = ""): ReadonlyArray<string> => {
  const schema = resolve(document, given)
  const found: Array<string> = []
  const choices = schema.anyOf ?? schema.oneOf
  if (choices?.every((choice) => faults(document, choice, value, at).length > 0)) found.push(`${at} fits none`)
  for (const each of schema.allOf ?? []) found.push(...faults(document, each, value, at))
  if (schema.type !== undefined && !isType(value, schema.type)) return [...found, `${at} is no ${schema.type}`]
  if (schema.enum !== undefined && !schema.enum.includes(value)) found.push(`${at} is none of ${schema.enum}`)
  if (typeof value === "string") {
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) found.push(`${at} is misspelled`)
    if (value.length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) found.push(`${at} is too long`)
    if (value.length < (schema.minLength ?? 0)) found.push(`${at} is too short`)
    if (schema.format === "date-time" && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value)) {
      found.push(`${at} is no time in UTC`)
    }
  }
  if (typeof value === "number") {
    if (value < (schema.minimum ?? Number.NEGATIVE_INFINITY)) found.push(`${at} is too small`)
    if (value > (schema.maximum ?? Number.POSITIVE_INFINITY)) found.push(`${at} is too large`)
  }
  if (Array.isArray(value)) {
    const { items } = schema
    if (value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY)) found.push(`${at} has too many items`)
    if (items !== undefined)
      found.push(...value.flatMap((item, index) => faults(document, items, item, `${at}/${index}`)))
  } else if (typeof value === "object" && value !== null) {
    const { additionalProperties = true, properties = {}, required = [] } = schema
    for (const key of required) if (!Object.hasOwn(value, key)) found.push(`${at}/${key} is missing`)
    for (const [key, inner] of Object.entries(value)) {
      const own = properties[key]
      if (own !== undefined) found.push(...faults(document, own, inner, `${at}/${key}`))
      else if (additionalProperties === false) found.push(`${at}/${key} is not declared`)
      else if (additionalProperties !== true)
        found.push(...faults(document, additionalProperties, inner, `${at}/${key}`))
    }
  }
  return found
}

export const describe = async (url: string) =>
  (await ask(url, "GET", "/api/v1/openapi.json")).json as unknown as Document

/** The template in the document that a path belongs to. */
const templateOf = (document: Document, path: string) =>
  Object.keys(document.paths)
    .sort((a, b) => a.split("{").length - b.split("{").length)
    .find((template) => new RegExp(`^${template.replace(/\{[^}]+\}/g, "[^/]+")}$`).test(path.split("?")[0] ?? ""))

/** What of an answer the document does not say. */
export const undeclared = (document: Document, method: string, path: string, answer: Answer): ReadonlyArray<string> => {
  const template = templateOf(document, path)
  const operation = template === undefined ? undefined : document.paths[template]?.[method.toLowerCase()]
  if (operation === undefined) return [`${method} ${path} is not in the document`]
  const response = operation.responses[answer.status]
  const label = `${method} ${template} ${answer.status}`
  if (response === undefined) return [`${label} is not declared (${answer.text})`]
  const missing = Object.entries(response.headers ?? {}).filter(
    ([name, { required = false }]) => required && !answer.headers.has(name)
  )
  if (missing.length > 0) return missing.map(([name]) => `${label} has no ${name}`)
  const type = answer.headers.get("content-type")?.split(";")[0]
  if (type === undefined) return response.content === undefined ? [] : [`${label} has no content`]
  const media = response.content?.[type]
  if (media === undefined) return [`${label} is not declared as ${type}`]
  return faults(document, media.schema, answer.json).map((fault) => `${label}: ${fault} in ${answer.text}`)
}
