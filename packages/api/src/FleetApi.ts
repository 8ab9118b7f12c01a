import { AvailabilityRange, isAvailabilityRange, ServerAvailability } from "@broker/domain/Availability"
import { GroupNotFound } from "@broker/domain/Group"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Page, Text } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import {
  AdmissionConflict,
  AssignmentTooLarge,
  Duty,
  FleetServer,
  ServerChanges,
  ServerId,
  ServerNotFound
} from "@broker/domain/Server"
import { ServerNote } from "@broker/domain/ServerNote"
import { CapabilityStanding, VerifiedServer } from "@broker/domain/Verification"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Paged, Sparse, sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import {
  availabilityOfFrankfurt,
  day,
  fleetFrankfurt,
  fleetJoined,
  ids,
  moving,
  proving,
  shares,
  verifiedFrankfurt
} from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** Why, for whoever asks later. */
export const Reasoned = Schema.Struct({ reason: Schema.optionalKey(Text(256)) }).annotate({ title: "Reasoned" })

const one = { id: ServerId }

/** What machines do with servers in the place of admins. */
export class FleetApi extends HttpApiGroup.make("fleet")
  .add(
    HttpApiEndpoint.patch("update", "/:id", {
      params: one,
      headers: ifMatch,
      payload: ServerChanges,
      success: FleetServer.json,
      error: [ServerNotFound, GroupNotFound, AssignmentTooLarge, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:update", { ownConnectionLimit: "servers:limit" }))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          body: { tags: { add: ["edge"], remove: [] }, ownConnectionLimit: 500 },
          answer: {
            ...fleetFrankfurt,
            tags: ["eu", "edge"],
            assignedTags: ["eu", "edge"],
            connectionLimit: 500,
            ownConnectionLimit: 500
          },
          varies: moving
        })
      )
      .annotate(OpenApi.Summary, "Change a server's group, tags, labels or connection limit")
      .annotate(
        OpenApi.Description,
        "What is left out stays. Tags and labels are those that admins give, beside those that the server declares: as a whole by `assignedTags` and `assignedLabels`, or one by one by `tags` and `labels`, which nobody's change at the same time can undo. Who names `ownConnectionLimit` needs the scope `servers:limit` too."
      ),
    HttpApiEndpoint.put("setDuty", "/:id/duty", {
      params: one,
      headers: ifMatch,
      payload: Schema.Struct({ duty: Duty }).annotate({ title: "DutyChange" }),
      success: FleetServer.json,
      error: [ServerNotFound, AdmissionConflict, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:drain"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          body: { duty: "serving" },
          answer: {
            ...fleetFrankfurt,
            tags: ["eu", "edge"],
            assignedTags: ["eu", "edge"],
            connectionLimit: 500,
            ownConnectionLimit: 500
          },
          varies: moving
        })
      )
      .annotate(OpenApi.Summary, "Drain a server, or put it back to serving")
      .annotate(
        OpenApi.Description,
        "A draining server takes no new connections, and keeps those that it has. Doing it again changes nothing."
      ),
    HttpApiEndpoint.post("suspend", "/:id/suspend", {
      params: one,
      headers: ifMatch,
      payload: Reasoned,
      success: FleetServer.json,
      error: [ServerNotFound, AdmissionConflict, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:suspend"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.joined },
          body: { reason: "Reported for abuse" },
          answer: { ...fleetJoined, admission: "suspended", status: "suspended", statusReason: "Reported for abuse" },
          varies: moving
        })
      )
      .annotate(OpenApi.Summary, "Shut a server out until it is approved again")
      .annotate(OpenApi.Description, "Its connections end. Doing it again changes nothing."),
    HttpApiEndpoint.post("approve", "/:id/approve", {
      params: one,
      headers: ifMatch,
      success: FleetServer.json,
      error: [ServerNotFound, AdmissionConflict, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:approve"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.joined },
          answer: { ...fleetJoined, status: "never_seen" },
          varies: moving
        })
      )
      .annotate(OpenApi.Summary, "Let a pending or suspended server in")
      .annotate(
        OpenApi.Description,
        "Clients find it once it has proven its key and is heard. Doing it again changes nothing."
      ),
    HttpApiEndpoint.post("retire", "/:id/retire", {
      params: one,
      headers: ifMatch,
      payload: Reasoned,
      success: FleetServer.json,
      error: [ServerNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:retire"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.joined },
          body: { reason: "The machine is gone" },
          answer: { ...fleetJoined, admission: "retired", status: "retired", statusReason: "The machine is gone" },
          varies: moving
        })
      )
      .annotate(OpenApi.Summary, "Shut a server out for good")
      .annotate(OpenApi.Description, "There is no way back. Doing it again changes nothing."),
    HttpApiEndpoint.post("verify", "/:id/verify", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [ServerNotFound, AdmissionConflict, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("servers:verify"))
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ path: { id: sample.server } }))
      .annotate(OpenApi.Summary, "Ask a server to prove its key now")
      .annotate(
        OpenApi.Description,
        "It is asked with its next heartbeat. How it ended stands in its `verification`, and is told as an event."
      ),
    HttpApiEndpoint.get("verification", "/:id/verification", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: VerifiedServer,
      error: ServerNotFound
    })
      .annotateMerge(requires("verification:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          answer: verifiedFrankfurt,
          varies: proving
        })
      )
      .annotate(OpenApi.Summary, "Read when a server proved its key, and when it is asked again")
      .annotate(OpenApi.Description, "With how the last question ended, and why the server is in doubt where it is."),
    HttpApiEndpoint.get("capabilities", "/:id/capabilities", {
      params: one,
      query: Paged,
      success: Page(CapabilityStanding),
      error: [ServerNotFound, InvalidCursor]
    })
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          answer: {
            items: [{ capability: "vpn", standing: "declared", checkable: false, reason: null, checkedAt: null }],
            nextCursor: null
          },
          varies: ["standing", "checkable", "reason", "checkedAt"]
        })
      )
      .annotate(OpenApi.Summary, "List what a server says it can do, and what the broker found")
      .annotate(OpenApi.Description, "By name. What nothing checks stays `declared`."),
    HttpApiEndpoint.get("availability", "/:id/availability", {
      params: one,
      headers: ifNoneMatch,
      query: Schema.Struct({ ...AvailabilityRange.fields, ...sparse }).check(isAvailabilityRange),
      success: ServerAvailability,
      error: ServerNotFound
    })
      .annotateMerge(requires("maintenance:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          query: day,
          answer: availabilityOfFrankfurt,
          varies: [...shares, "falls", "spans", "days", "outages", "windows"]
        })
      )
      .annotate(OpenApi.Summary, "Read for how much of a time a server could be used")
      .annotate(
        OpenApi.Description,
        "With what happened in it, and by the day in UTC. At most 400 days; what has not happened yet says nothing."
      ),
    HttpApiEndpoint.get("notes", "/:id/notes", {
      params: one,
      query: Paged,
      success: Page(ServerNote.json),
      error: [ServerNotFound, InvalidCursor]
    })
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.server },
          query: { limit: "10" },
          answer: {
            items: [
              {
                id: ids.note,
                serverId: sample.server,
                body: "Shares its uplink with fra-2.",
                author: "grace",
                authorId: sample.admin,
                createdAt: "2026-11-22T10:06:00.000Z"
              }
            ],
            nextCursor: null
          }
        })
      )
      .annotate(OpenApi.Summary, "List what admins wrote about a server, the newest first")
      .annotate(OpenApi.Description, "Notes are written in the dashboard.")
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/servers")
  .annotateMerge(
    OpenApi.annotations({
      title: "Fleet",
      description: "For machines with an API token: manage servers, and read what is known of them."
    })
  ) {}
