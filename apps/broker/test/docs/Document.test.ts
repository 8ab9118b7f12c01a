/** The OpenAPI document says all there is to say: it is walked, and whatever has no words is listed. */
import { Api } from "@broker/api/Api"
import { common, fields, parameters } from "@broker/api/Descriptions"
import { problems } from "@broker/domain/Problems"
import { Validator } from "@seriousme/openapi-schema-validator"
import { OpenApi } from "effect/http-api"
import { assert, describe, it } from "vitest"
import { problems as edgeProblems } from "../../src/http/ProblemPages.ts"
import { type Document, faults } from "../wire/Described.ts"

type Node = { readonly [key: string]: unknown }

const whole: Document = JSON.parse(JSON.stringify(OpenApi.fromApi(Api)))
const document: Node = { ...whole }

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)
const nodeOf = (value: unknown): Node => (isNode(value) ? value : {})
const schemas = nodeOf(nodeOf(document["components"])["schemas"])

interface Operation {
  readonly name: string
  readonly operation: Node
}

const operations: ReadonlyArray<Operation> = Object.entries(nodeOf(document["paths"])).flatMap(([path, item]) =>
  Object.entries(nodeOf(item)).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    operation: nodeOf(operation)
  }))
)

const contents = ({ name, operation }: Operation): ReadonlyArray<readonly [at: string, schema: Node]> => [
  ...mediaOf(nodeOf(operation["requestBody"])).map((schema) => [`${name} body`, schema] as const),
  ...Object.entries(nodeOf(operation["responses"])).flatMap(([status, response]) =>
    mediaOf(nodeOf(response)).map((schema) => [`${name} ${status}`, schema] as const)
  )
]

const mediaOf = ({ content }: Node) => Object.values(nodeOf(content)).map((media) => nodeOf(nodeOf(media)["schema"]))

/** Every object with fields inside of a schema, with the way to it. */
const objectsIn = (value: unknown, at: string): ReadonlyArray<readonly [at: string, object: Node]> => {
  if (Array.isArray(value)) return value.flatMap((inner) => objectsIn(inner, at))
  if (!isNode(value)) return []
  return [
    ...(isNode(value["properties"]) ? [[at, value] as const] : []),
    ...Object.entries(value).flatMap(([key, inner]) =>
      key === "properties"
        ? Object.entries(nodeOf(inner)).flatMap(([field, schema]) => objectsIn(schema, `${at}.${field}`))
        : objectsIn(inner, at)
    )
  ]
}

const fieldsOf = (object: Node) => Object.entries(nodeOf(object["properties"]))

const isText = (value: unknown) => typeof value === "string" && value.trim() !== ""

describe("the OpenAPI document", () => {
  it("is valid OpenAPI 3.1", async () => {
    const { errors, valid } = await new Validator().validate(structuredClone(document))
    assert.isTrue(valid, JSON.stringify(errors))
  })

  it("says of every field what it is", () => {
    const found = Object.entries(schemas)
      .flatMap(([name, schema]) => objectsIn(schema, name))
      .flatMap(([at, object]) =>
        fieldsOf(object).flatMap(([field, schema]) => (isText(nodeOf(schema)["description"]) ? [] : [`${at}.${field}`]))
      )
    assert.deepStrictEqual(found, [])
  })

  it("has a name for whatever is sent and answered", () => {
    const found = operations
      .flatMap(contents)
      .flatMap(([at, schema]) => objectsIn(schema, at))
      .map(([at, object]) => `${at}: ${fieldsOf(object).map(([field]) => field)}`)
    assert.deepStrictEqual(found, [])
  })

  it("has one schema for one shape", () => {
    const found = new Map<string, Array<string>>()
    for (const [at, object] of Object.entries(schemas).flatMap(([name, schema]) => objectsIn(schema, name))) {
      const shape = JSON.stringify(
        fieldsOf(object).map(([field, schema]) => [field, nodeOf(schema)["type"], nodeOf(schema)["$ref"]])
      )
      found.set(shape, [...(found.get(shape) ?? []), at])
    }
    const twice = [...found.values()].filter((places) => places.length > 1 && places.some((at) => at.includes(".")))
    assert.deepStrictEqual(twice, [])
  })

  it("describes every operation: in short and at length, where it belongs, and who may", () => {
    const found = operations.flatMap(({ name, operation }) => {
      const { description, operationId, security, summary, tags } = operation
      const missing = [
        isText(summary) ? [] : ["summary"],
        isText(description) ? [] : ["description"],
        isText(operationId) ? [] : ["operationId"],
        Array.isArray(tags) && tags.length === 1 ? [] : ["tag"],
        Array.isArray(security) && security.length > 0 ? [] : ["security"],
        Array.isArray(security) && security.every(namesScope) ? [] : ["scope"]
      ]
      return missing.flat().map((what) => `${name} has no ${what}`)
    })
    assert.deepStrictEqual(found, [])
  })

  it("describes every tag, parameter, answer and header", () => {
    const tags = (Array.isArray(document["tags"]) ? document["tags"] : []).map(nodeOf)
    const found = [
      ...tags.filter(({ description }) => !isText(description)).map(({ name }) => `tag ${String(name)}`),
      ...operations.flatMap(({ name, operation }) => {
        const asked = (Array.isArray(operation["parameters"]) ? operation["parameters"] : []).map(nodeOf)
        return [
          ...asked.filter(({ description }) => !isText(description)).map((each) => `${name} ?${String(each["name"])}`),
          ...Object.entries(nodeOf(operation["responses"])).flatMap(([status, response]) => [
            ...(/^(<.*>|Success|Error|\w+(\.\w+)?)?$/.test(String(nodeOf(response)["description"]))
              ? [`${name} ${status}`]
              : []),
            ...Object.entries(nodeOf(nodeOf(response)["headers"]))
              .filter(([, header]) => !isText(nodeOf(header)["description"]))
              .map(([header]) => `${name} ${status} ${header}`)
          ])
        ]
      })
    ]
    assert.deepStrictEqual(found, [])
  })

  it("shows examples of parameters that are as their schemas say", () => {
    const found = Object.entries(whole.paths).flatMap(([path, item]) =>
      Object.values(item).flatMap(({ parameters = [] }) =>
        parameters
          .filter(({ example, schema }) => example !== undefined && faults(whole, schema, example).length > 0)
          .map(({ example, name }) => `${path} ?${name}=${String(example)}`)
      )
    )
    assert.deepStrictEqual(found, [])
  })

  it("says what a machine's token needs, where people read it", () => {
    const found = operations.flatMap(({ name, operation }) =>
      (Array.isArray(operation["security"]) ? operation["security"] : [])
        .flatMap((each) => nodeOf(each)["apiToken"] ?? [])
        .filter((scope) => !String(operation["description"]).includes(`\`${String(scope)}\``))
        .map((scope) => `${name} ${String(scope)}`)
    )
    assert.deepStrictEqual(found, [])
  })

  it("tells the codes of every failure, and each has a page", () => {
    const known = new Set([...problems.keys(), ...Object.keys(edgeProblems)])
    for (const { name, operation } of operations) {
      for (const [status, response] of Object.entries(nodeOf(operation["responses"]))) {
        if (Number(status) < 400) continue
        const codes = mediaOf(nodeOf(response)).flatMap(codesOf)
        assert.isNotEmpty(codes, `${name} ${status}`)
        for (const code of codes) assert.isTrue(known.has(code), `${name} ${status} ${code}`)
        for (const code of codes)
          assert.include(String(nodeOf(response)["description"]), `\`${code}\``, `${name} ${status}`)
      }
    }
  })

  it("has no words that nothing needs", () => {
    const all = Object.entries(schemas).flatMap(([name, schema]) => objectsIn(schema, name))
    const names = new Set(all.flatMap(([, object]) => fieldsOf(object).map(([field]) => field)))
    const asked = operations.flatMap(({ operation }) =>
      (Array.isArray(operation["parameters"]) ? operation["parameters"] : []).flatMap((each) => {
        const name = String(nodeOf(each)["name"])
        return [name, `${String(operation["operationId"])}.${name}`]
      })
    )
    const paths = new Set(all.flatMap(([at, object]) => fieldsOf(object).map(([field]) => `${at}.${field}`)))
    const found = [
      ...Object.keys(common).filter((field) => !names.has(field)),
      ...Object.keys(parameters).filter((name) => !asked.includes(name)),
      ...Object.entries(fields).flatMap(([schema, own]) =>
        Object.keys(own)
          .map((field) => `${schema}.${field}`)
          .filter((path) => !paths.has(path))
      )
    ]
    assert.deepStrictEqual(found, [])
  })
})

/** A machine's token has a scope; no other credential has. */
const namesScope = (requirement: unknown) =>
  Object.entries(nodeOf(requirement)).every(
    ([scheme, scopes]) => Array.isArray(scopes) && scopes.length === (scheme === "apiToken" ? 1 : 0)
  )

const codesOf = (schema: Node): ReadonlyArray<string> => {
  const choices = [schema["anyOf"], schema["oneOf"]].flatMap((each) => (Array.isArray(each) ? each : []))
  if (choices.length > 0) return choices.map(nodeOf).flatMap(codesOf)
  const target = nodeOf(schemas[String(schema["$ref"]).replace("#/components/schemas/", "")])
  const { const: only, enum: several } = nodeOf(nodeOf(target["properties"])["code"])
  return Array.isArray(several) ? several.map(String) : only === undefined ? [] : [String(only)]
}
