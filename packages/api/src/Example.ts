/**
 * An example of each call, told once: it stands in the OpenAPI document, and a test sends it to a running broker and
 * compares the answer.
 *
 * Examples are of one story, in which the same thing has the same id everywhere: what is there before it begins has its
 * id in `sample`, and what an example makes is known by the id in that example's answer. Ids, times and secrets are
 * compared by their form, as their values differ from run to run; so are the fields that `varies` names. Everything
 * else has to be answered as it stands here.
 */
import { Context } from "effect"
import { OpenApi } from "effect/http-api"

export interface ExampleCall {
  readonly path?: Readonly<Record<string, string>>
  /** Each as it stands in the address; what may be repeated is an array. */
  readonly query?: Readonly<Record<string, string | ReadonlyArray<string>>>
  /** Beside `Authorization`, in lower case. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Of the answers that are none of failure, where there are several; the lowest unless given. */
  readonly status?: number
  /** As JSON; a text where the answer is one; left out where it has no content. A list may answer more than this. */
  readonly answer?: unknown
  /** Names of fields of the answer, at any depth, whose values differ from run to run. */
  readonly varies?: ReadonlyArray<string>
}

/** What an endpoint's annotations tell. */
export class Example extends Context.Service<Example, ExampleCall>()("@broker/api/Example") {}

/** Where the call stands in an operation until the document is made whole. */
export const exampleKey = "x-example"

/** Gives an endpoint its example: `.annotateMerge(example({ … }))`. */
export const example = (call: ExampleCall) =>
  Context.merge(Context.make(Example, call), OpenApi.annotations({ override: { [exampleKey]: call } }))

/** What is there when the story begins. */
export const sample = {
  /** `fra-1`, in the group `eu/frankfurt`, tagged `eu`, approved, verified and online. */
  server: "019ab8f0-51c3-7d4e-9a10-3c5f7e2b9d01",
  /** `eu/frankfurt`, and `eu` above it. */
  group: "019ab8f0-4f02-7b1c-8e55-0d6a4c8f1e02",
  parentGroup: "019ab8f0-4e91-7c3a-9b72-5f1d2e8a7c03",
  /** `Ada Lovelace`, ada@example.com. */
  user: "019ab8f0-5a7e-7f20-a4c1-9e8b3d6f5a04",
  /** Hers, `laptop`. */
  personalKey: "019ab8f0-5b13-7a6d-b8e2-1c4f9a7d3e05",
  /** Hers, `Ada's laptop`. */
  device: "019ab8f0-6c28-7e91-8d3f-7b5a2c9e4f06",
  /** Hers from that device to `fra-1`, active. */
  connection: "019ab8f0-7d39-7b04-9c6e-4a8d1f5b7c07",
  /** `lab`, by which `fra-1` registered. */
  registrationKey: "019ab8f0-502e-7d85-a1b9-8c3e6f4d2a08",
  /** `grace`, an owner; and her API token `exporter`, which has every scope. */
  admin: "019ab8f0-4d00-7a17-8f4b-2e9c5d7a6b09",
  apiToken: "019ab8f0-4d77-7c52-9e0a-6f3b8d1c4e0a"
} as const
