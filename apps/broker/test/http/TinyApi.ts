/** An API just large enough to attack the edge with. */
import { Validation } from "@broker/api/Validation"
import { Effect, Schema } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiError, HttpApiGroup, OpenApi } from "effect/http-api"
import { clientAddress, RequestId } from "../../src/http/Edge.ts"

const Thing = Schema.Struct({
  name: Schema.String.check(Schema.isMaxLength(64)),
  count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2147483647 })),
  tags: Schema.Array(Schema.String).check(Schema.isMaxLength(16))
})

class NameTaken extends HttpApiError.Problem<NameTaken>()(
  "NameTaken",
  {
    type: "/problems/name_taken",
    status: 409,
    title: "Name taken"
  },
  { code: Schema.tag("name_taken") }
) {}

/** Stands for the SqlError of a database that is away. */
export class DatabaseAway extends Error {}

export const secret = "postgres://broker:hunter2@db"

const Ok = Schema.Struct({ ok: Schema.Boolean })

export class TinyApi extends HttpApi.make("tiny")
  .add(
    HttpApiGroup.make("things")
      .add(
        HttpApiEndpoint.post("create", "/things", {
          payload: Thing,
          success: Schema.Struct({ name: Schema.String, count: Schema.Int }),
          error: NameTaken
        }).annotate(OpenApi.Summary, "Create a thing"),
        HttpApiEndpoint.get("read", "/things/:id", { params: { id: Schema.FiniteFromString }, success: Ok }),
        HttpApiEndpoint.delete("remove", "/things/:id", { params: { id: Schema.FiniteFromString }, success: Ok }),
        HttpApiEndpoint.get("slow", "/slow", { query: { ms: Schema.FiniteFromString }, success: Ok }),
        HttpApiEndpoint.get("boom", "/boom", { success: Ok }),
        HttpApiEndpoint.get("unfit", "/unfit", { success: Schema.Struct({ n: Schema.Int }) }),
        HttpApiEndpoint.get("away", "/away", { success: Ok }),
        HttpApiEndpoint.get("taken", "/taken", { success: Ok, error: NameTaken }),
        HttpApiEndpoint.get("who", "/who", {
          query: { token: Schema.optional(Schema.String) },
          success: Schema.Struct({ client: Schema.NullOr(Schema.String), requestId: Schema.String })
        })
      )
      .prefix("/api/v1")
  )
  .middleware(Validation)
  .annotateMerge(OpenApi.annotations({ title: "Tiny", version: "1" })) {}

export const Things = HttpApiBuilder.group(TinyApi, "things", (handlers) =>
  handlers.handleAll({
    create: ({ payload: { count, name } }) => Effect.succeed({ name, count }),
    read: () => Effect.succeed({ ok: true }),
    remove: () => Effect.succeed({ ok: true }),
    slow: ({ query }) => Effect.as(Effect.sleep(query.ms), { ok: true }),
    boom: () => Effect.die(new Error(`can't reach ${secret}`)),
    unfit: () => Effect.succeed({ n: 0.5 }),
    away: () => Effect.die(new DatabaseAway("connection refused")),
    taken: () => Effect.fail(new NameTaken({ detail: "fra-1 is taken" })),
    who: Effect.fnUntraced(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const address = yield* Effect.provideService(clientAddress, HttpServerRequest.HttpServerRequest, request)
      return { client: address._tag === "Some" ? address.value : null, requestId: yield* RequestId }
    })
  })
)
