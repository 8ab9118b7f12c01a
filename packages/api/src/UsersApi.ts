import { Device } from "@broker/domain/Device"
import {
  CreatedPersonalKey,
  PersonalKey,
  PersonalKeyId,
  PersonalKeyNotFound,
  PersonalKeyOver,
  PersonalKeyRequest,
  PersonalKeyRotation
} from "@broker/domain/PersonalKey"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Page, Text } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import {
  EmailTaken,
  ListedUser,
  UserId,
  UserNotFound,
  UserPatch,
  UserRequest,
  UserSort,
  UserState,
  UserSuspended
} from "@broker/domain/User"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Paged, paged, Sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { Reasoned } from "./FleetApi.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { accounts, alan, deviceOfAda, ids, keyOfAda, keyOfAlan, listedAda } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** A name is all that a user needs. */
export const NewUser = Schema.Struct({
  name: UserRequest.fields.name,
  email: UserPatch.fields.email,
  note: UserPatch.fields.note
}).annotate({ title: "NewUser" })

/** Without an end, and with as many connections as are usual, unless said otherwise. */
export const NewPersonalKey = Schema.Struct({
  name: PersonalKeyRequest.fields.name,
  expiresInSeconds: Schema.optionalKey(PersonalKeyRequest.fields.expiresInSeconds),
  connectionLimit: Schema.optionalKey(PersonalKeyRequest.fields.connectionLimit)
}).annotate({ title: "NewPersonalKey" })

const one = { id: UserId }

/** The people who connect, with their keys and devices. */
export class UsersApi extends HttpApiGroup.make("users")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        q: Schema.optionalKey(Text(128)),
        state: Schema.optionalKey(Schema.ArrayEnsure(UserState)),
        sort: Schema.optionalKey(UserSort),
        ...paged
      }),
      success: Page(ListedUser.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { q: "lovelace", state: ["active", "suspended"], sort: "name", limit: "10" },
          answer: { items: [listedAda], nextCursor: null },
          varies: accounts
        })
      )
      .annotate(OpenApi.Summary, "List users")
      .annotate(
        OpenApi.Description,
        "`q` is part of a name or an e-mail address, or a whole id. By name unless `sort` says otherwise."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: ListedUser.json,
      error: UserNotFound
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.user },
          answer: listedAda,
          varies: accounts
        })
      )
      .annotate(OpenApi.Summary, "Read a user")
      .annotate(OpenApi.Description, "With how many keys and devices they have. Its `ETag` is the one for `If-Match`."),
    HttpApiEndpoint.get("personalKeys", "/:id/personal-keys", {
      params: one,
      query: Paged,
      success: Page(PersonalKey.json),
      error: [UserNotFound, InvalidCursor]
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.user },
          answer: { items: [keyOfAda], nextCursor: null },
          varies: ["hint", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "List a user's personal keys, the newest first")
      .annotate(OpenApi.Description, "Those that are over too, and none with its secret."),
    HttpApiEndpoint.get("devices", "/:id/devices", {
      params: one,
      query: Paged,
      success: Page(Device.json),
      error: [UserNotFound, InvalidCursor]
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.user },
          answer: { items: [deviceOfAda], nextCursor: null },
          varies: ["publicKey", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "List a user's devices, the last seen first")
      .annotate(OpenApi.Description, "Those that are blocked too."),
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: NewUser,
      success: ListedUser.json.pipe(HttpApiSchema.status(201)),
      error: [EmailTaken, IdempotencyKeyReused]
    })
      .annotateMerge(requires("users:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "create-alan" },
          body: { name: "Alan Turing", email: "alan@example.com" },
          answer: alan
        })
      )
      .annotate(OpenApi.Summary, "Create a user")
      .annotate(OpenApi.Description, "They connect once they have a personal key."),
    HttpApiEndpoint.patch("update", "/:id", {
      params: one,
      headers: ifMatch,
      payload: UserPatch.annotate({ title: "UserPatch" }),
      success: ListedUser.json,
      error: [UserNotFound, EmailTaken, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("users:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.alan },
          body: { note: "On leave until March" },
          answer: { ...alan, note: "On leave until March" }
        })
      )
      .annotate(OpenApi.Summary, "Change a user's name, e-mail address or note")
      .annotate(OpenApi.Description, "What is left out stays."),
    HttpApiEndpoint.post("suspend", "/:id/suspend", {
      params: one,
      headers: ifMatch,
      payload: Reasoned,
      success: ListedUser.json,
      error: [UserNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("users:suspend"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.alan },
          body: { reason: "On leave" },
          answer: { ...alan, note: "On leave until March", state: "suspended", stateReason: "On leave" }
        })
      )
      .annotate(OpenApi.Summary, "Suspend a user")
      .annotate(OpenApi.Description, "Ends their sessions and connections. Doing it again changes nothing."),
    HttpApiEndpoint.post("resume", "/:id/resume", {
      params: one,
      headers: ifMatch,
      success: ListedUser.json,
      error: [UserNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("users:suspend"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.alan },
          answer: { ...alan, note: "On leave until March" }
        })
      )
      .annotate(OpenApi.Summary, "Let a suspended user connect again")
      .annotate(OpenApi.Description, "With the keys that they had. Doing it again changes nothing."),
    HttpApiEndpoint.delete("delete", "/:id", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [UserNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("users:delete"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.alan }
        })
      )
      .annotate(OpenApi.Summary, "Delete a user, with keys and devices")
      .annotate(OpenApi.Description, "Their connections end; what is known of past ones stays."),
    HttpApiEndpoint.post("createPersonalKey", "/:id/personal-keys", {
      params: one,
      headers: idempotencyKey,
      payload: NewPersonalKey,
      success: CreatedPersonalKey.annotate({ title: "CreatedPersonalKey" }).pipe(HttpApiSchema.status(201)),
      error: [UserNotFound, UserSuspended, IdempotencyKeyReused]
    })
      .annotateMerge(requires("personal-keys:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.alan },
          body: { name: "desk" },
          answer: { ...keyOfAlan, key: "brk_usr_AaIJlpVNdq-f69nhOdWTJga8qEkhrxPtgQz1t3NAZqaj5dnwkuoc2t0sSQQA" },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Create a personal key for a user")
      .annotate(OpenApi.Description, "`key` is shown this once.")
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/users")
  .annotateMerge(
    OpenApi.annotations({ title: "Users", description: "For machines with an API token: the people who connect." })
  ) {}

const key = { id: PersonalKeyId }

/** The secrets that users sign in with. */
export class PersonalKeysApi extends HttpApiGroup.make("personalKeys")
  .add(
    HttpApiEndpoint.get("get", "/:id", {
      params: key,
      headers: ifNoneMatch,
      query: Sparse,
      success: PersonalKey.json,
      error: PersonalKeyNotFound
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.personalKey },
          answer: keyOfAda,
          varies: ["hint", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "Read a personal key, without its secret")
      .annotate(
        OpenApi.Description,
        "By whom and when it was made, used, replaced or revoked. Its `ETag` is the one for `If-Match`."
      ),
    HttpApiEndpoint.post("rotate", "/:id/rotate", {
      params: key,
      headers: ifMatch,
      payload: Schema.Struct({ overlapSeconds: PersonalKeyRotation.fields.overlapSeconds }).annotate({
        title: "KeyOverlap"
      }),
      success: CreatedPersonalKey.annotate({ title: "CreatedPersonalKey" }).pipe(HttpApiSchema.status(201)),
      error: [PersonalKeyNotFound, PersonalKeyOver, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("personal-keys:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.desk },
          body: { overlapSeconds: 86_400 },
          answer: {
            ...keyOfAlan,
            id: ids.deskSuccessor,
            key: "brk_usr_AaIJlpVtdMqZzKpZ--iIZgmbnksew4OoBkuf1QCHfEmFAKnTZ9-YS3kqdMJw"
          },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Replace a personal key by a new one")
      .annotate(
        OpenApi.Description,
        "The new key has name, limit and lifetime of the old one, which goes on for the overlap. `key` is shown this once."
      ),
    HttpApiEndpoint.post("revoke", "/:id/revoke", {
      params: key,
      headers: ifMatch,
      payload: Reasoned,
      success: PersonalKey.json,
      error: [PersonalKeyNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("personal-keys:revoke"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.desk },
          body: { reason: "Lost" },
          answer: {
            ...keyOfAlan,
            expiresAt: "2026-11-23T10:15:00.000Z",
            replacedBy: ids.deskSuccessor,
            revokedAt: "2026-11-22T10:16:00.000Z",
            revokedReason: "Lost",
            state: "revoked"
          },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Revoke a personal key, for good")
      .annotate(OpenApi.Description, "Ends its sessions and connections. Doing it again changes nothing.")
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/personal-keys")
  .annotateMerge(
    OpenApi.annotations({
      title: "Personal keys",
      description: "For machines with an API token: the secrets that users sign in with."
    })
  ) {}
