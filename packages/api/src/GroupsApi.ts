import {
  Group,
  GroupInTree,
  GroupInUse,
  GroupMisplaced,
  GroupNameTaken,
  GroupNotFound,
  GroupPatch,
  GroupRequest
} from "@broker/domain/Group"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Page } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import { GroupId } from "@broker/domain/Server"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Paged, Sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { groupOfFrankfurt, ids, munich } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** A name is all that a group needs. */
export const NewGroup = Schema.Struct({ ...GroupPatch.fields, name: GroupRequest.fields.name }).annotate({
  title: "NewGroup"
})

const one = { id: GroupId }

/** Folders of servers, and what holds in them. */
export class GroupsApi extends HttpApiGroup.make("groups")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: Paged,
      success: Page(GroupInTree.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("groups:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { limit: "50" },
          answer: {
            items: [{ ...groupOfFrankfurt, servers: 2, serversBelow: 2, availableBelow: 1 }],
            nextCursor: null
          },
          varies: ["servers", "serversBelow", "availableBelow"]
        })
      )
      .annotate(OpenApi.Summary, "List groups in the order of their paths, with how their servers do")
      .annotate(
        OpenApi.Description,
        "What is in a group follows it. A tree that changes meanwhile does not repeat or skip what stays in its place."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: Group.json,
      error: GroupNotFound
    })
      .annotateMerge(requires("groups:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.group },
          answer: groupOfFrankfurt
        })
      )
      .annotate(OpenApi.Summary, "Read a group")
      .annotate(
        OpenApi.Description,
        "With what it says itself, and what holds in it, whoever said so. Its `ETag` is the one for `If-Match`."
      ),
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: NewGroup,
      success: Group.json.pipe(HttpApiSchema.status(201)),
      error: [GroupNotFound, GroupNameTaken, GroupMisplaced, IdempotencyKeyReused]
    })
      .annotateMerge(requires("groups:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "create-munich" },
          body: { name: "munich", parentId: sample.parentGroup, connectionLimit: 200 },
          answer: munich
        })
      )
      .annotate(OpenApi.Summary, "Create a group")
      .annotate(
        OpenApi.Description,
        "What is left out, or null, is left to the group above, and to the broker's settings in the end."
      ),
    HttpApiEndpoint.patch("update", "/:id", {
      params: one,
      headers: ifMatch,
      payload: GroupPatch.annotate({ title: "GroupPatch" }),
      success: Group.json,
      error: [GroupNotFound, GroupNameTaken, GroupMisplaced, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("groups:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.munich },
          body: { connectionLimit: 400 },
          answer: { ...munich, connectionLimit: 400, effectiveConnectionLimit: 400 }
        })
      )
      .annotate(OpenApi.Summary, "Change a group's name, place or policy")
      .annotate(OpenApi.Description, "What is left out stays. A new `parentId` moves it with all that is below it."),
    HttpApiEndpoint.delete("delete", "/:id", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [GroupNotFound, GroupInUse, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("groups:delete"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.munich }
        })
      )
      .annotate(OpenApi.Summary, "Delete an empty group")
      .annotate(
        OpenApi.Description,
        "409 names what it still holds: servers, groups, registration keys or announced maintenance."
      )
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/groups")
  .annotateMerge(
    OpenApi.annotations({ title: "Groups", description: "For machines with an API token: the tree of groups." })
  ) {}
