import { GroupNotFound } from "@broker/domain/Group"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Page } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import {
  CreatedRegistrationKey,
  RegistrationKey,
  RegistrationKeyId,
  RegistrationKeyNotFound,
  RegistrationKeyRequest,
  RegistrationKeyState,
  ReplacementKeyGivesNothing
} from "@broker/domain/RegistrationKey"
import { ServerNotFound } from "@broker/domain/Server"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, paged, Sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { ids, lab, rollout } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** One use and nothing else, unless said otherwise. */
export const NewRegistrationKey = Schema.Struct({
  name: RegistrationKeyRequest.fields.name,
  expiresInSeconds: RegistrationKeyRequest.fields.expiresInSeconds,
  useLimit: Schema.optionalKey(RegistrationKeyRequest.fields.useLimit),
  tags: Schema.optionalKey(RegistrationKeyRequest.fields.tags),
  approval: Schema.optionalKey(Schema.Boolean),
  replacesServerId: Schema.optionalKey(RegistrationKeyRequest.fields.replacesServerId),
  groupId: RegistrationKeyRequest.fields.groupId
}).annotate({ title: "NewRegistrationKey" })

const one = { id: RegistrationKeyId }

/** The secrets that let servers join. */
export class RegistrationKeysApi extends HttpApiGroup.make("registrationKeys")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        state: Schema.optionalKey(Schema.ArrayEnsure(RegistrationKeyState)),
        ...paged
      }),
      success: Page(RegistrationKey.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("registration-keys:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { state: "active", limit: "10" },
          answer: { items: [lab], nextCursor: null },
          varies: ["hint", "uses"]
        })
      )
      .annotate(OpenApi.Summary, "List registration keys, the newest first")
      .annotate(OpenApi.Description, "Without their secrets. `state` may be repeated: any of them."),
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: RegistrationKey.json,
      error: RegistrationKeyNotFound
    })
      .annotateMerge(requires("registration-keys:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.registrationKey },
          answer: lab,
          varies: ["hint", "uses"]
        })
      )
      .annotate(OpenApi.Summary, "Read a registration key, without its secret")
      .annotate(
        OpenApi.Description,
        "By whom it was made, and how often it was used. Its `ETag` is the one for `If-Match`."
      ),
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: NewRegistrationKey,
      success: CreatedRegistrationKey.annotate({ title: "CreatedRegistrationKey" }).pipe(HttpApiSchema.status(201)),
      error: [ServerNotFound, GroupNotFound, ReplacementKeyGivesNothing, IdempotencyKeyReused]
    })
      .annotateMerge(requires("registration-keys:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "rollout-2026-11" },
          body: { name: "rollout", expiresInSeconds: 604_800, useLimit: 20, tags: ["edge"] },
          answer: { ...rollout, key: "brk_reg_AaIJlpWOd_O_T4Tbui1wdgYL17U-iUu1Po3ciMrD-Nfzk--1RZMUpPsP2OLA" },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Create a registration key")
      .annotate(
        OpenApi.Description,
        "`key` is shown this once. For one server unless `useLimit` says otherwise; `replacesServerId` makes one by which that server changes its key pair."
      ),
    HttpApiEndpoint.post("revoke", "/:id/revoke", {
      params: one,
      headers: ifMatch,
      success: RegistrationKey.json,
      error: [RegistrationKeyNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("registration-keys:revoke"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.rollout },
          answer: { ...rollout, revokedAt: "2026-11-22T10:18:00.000Z", state: "revoked" },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Revoke a registration key, for good")
      .annotate(OpenApi.Description, "Servers that joined by it stay. Doing it again changes nothing.")
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/registration-keys")
  .annotateMerge(
    OpenApi.annotations({
      title: "Registration keys",
      description: "For machines with an API token: the secrets that let servers join."
    })
  ) {}
