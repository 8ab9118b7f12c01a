import { Device, DeviceId, DeviceNotFound } from "@broker/domain/Device"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { Reasoned } from "./FleetApi.ts"
import { accounts, deviceOfAda, ids, oldPhone } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

const one = { id: DeviceId }

/** What users' clients run on. A user's are listed beside the user. */
export class DevicesApi extends HttpApiGroup.make("devices")
  .add(
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: Device.json,
      error: DeviceNotFound
    })
      .annotateMerge(requires("users:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.device },
          answer: deviceOfAda,
          varies: ["publicKey", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "Read a device")
      .annotate(
        OpenApi.Description,
        "Whose it is, when it was seen last, and whether it is blocked. Its `ETag` is the one for `If-Match`."
      ),
    HttpApiEndpoint.post("block", "/:id/block", {
      params: one,
      headers: ifMatch,
      payload: Reasoned,
      success: Device.json,
      error: [DeviceNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("devices:block"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.oldPhone },
          body: { reason: "Lost" },
          answer: { ...oldPhone, blockedAt: "2026-11-22T10:17:00.000Z", blockedReason: "Lost" },
          varies: ["publicKey", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "Block a device")
      .annotate(OpenApi.Description, "Ends its sessions and connections. Doing it again changes nothing."),
    HttpApiEndpoint.post("unblock", "/:id/unblock", {
      params: one,
      headers: ifMatch,
      success: Device.json,
      error: [DeviceNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("devices:block"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.oldPhone },
          answer: oldPhone,
          varies: ["publicKey", ...accounts]
        })
      )
      .annotate(OpenApi.Summary, "Let a blocked device sign in again")
      .annotate(OpenApi.Description, "Its client has to sign in anew. Doing it again changes nothing."),
    HttpApiEndpoint.delete("delete", "/:id", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [DeviceNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("devices:block"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.oldPhone }
        })
      )
      .annotate(OpenApi.Summary, "Forget a device")
      .annotate(
        OpenApi.Description,
        "It makes room for another; its connections end, and it may sign in anew as a new one. To shut it out, block it."
      )
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/devices")
  .annotateMerge(
    OpenApi.annotations({
      title: "Devices",
      description: "For machines with an API token: what users' clients run on."
    })
  ) {}
