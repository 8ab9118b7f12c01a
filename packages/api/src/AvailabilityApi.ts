import {
  AvailabilityRange,
  BrokerOutage,
  GroupAvailability,
  isAvailabilityRange,
  ListedWindow
} from "@broker/domain/Availability"
import { FleetGuard } from "@broker/domain/FleetGuard"
import { InvalidCursor, Page } from "@broker/domain/Primitives"
import { GroupId } from "@broker/domain/Server"
import { VerificationList, VerifiedServer } from "@broker/domain/Verification"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { Paged, paged } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { availabilityOfGroup, day, newDisks, proving, shares, verifiedFrankfurt } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

const InRange = Schema.Struct({ ...AvailabilityRange.fields, ...paged }).check(isAvailabilityRange)

/** For how much of a time the fleet could be used, and what counts for nobody. */
export class AvailabilityApi extends HttpApiGroup.make("availability")
  .add(
    HttpApiEndpoint.get("ofGroups", "/availability", {
      query: InRange,
      success: Page(GroupAvailability),
      error: InvalidCursor
    })
      .annotateMerge(requires("maintenance:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: day,
          answer: { items: [availabilityOfGroup], nextCursor: null },
          varies: ["servers", ...shares]
        })
      )
      .annotate(OpenApi.Summary, "List for how much of a time the fleet and its groups could be used")
      .annotate(
        OpenApi.Description,
        "The fleet first, with a `groupId` of null, then groups by their paths, each with all below it. At most 400 days."
      ),
    HttpApiEndpoint.get("outages", "/outages", {
      query: InRange,
      success: Page(BrokerOutage),
      error: InvalidCursor
    })
      .annotateMerge(requires("maintenance:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ query: day, answer: { items: [], nextCursor: null } }))
      .annotate(OpenApi.Summary, "List when no node of the broker was alive")
      .annotate(OpenApi.Description, "What happened in such a time is held against no server. At most 400 days."),
    HttpApiEndpoint.get("windows", "/maintenance-windows", {
      query: Paged,
      success: Page(ListedWindow.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("maintenance:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ query: { limit: "10" }, answer: { items: [newDisks], nextCursor: null } }))
      .annotate(OpenApi.Summary, "List maintenance that is announced, goes on, or was lately")
      .annotate(OpenApi.Description, "What is down in a window is held against nobody."),
    HttpApiEndpoint.get("verification", "/verification", {
      query: Schema.Struct({ list: VerificationList, groupId: Schema.optionalKey(GroupId), ...paged }),
      success: Page(VerifiedServer),
      error: InvalidCursor
    })
      .annotateMerge(requires("verification:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { list: "passed", groupId: sample.group, limit: "10" },
          answer: { items: [verifiedFrankfurt], nextCursor: null },
          varies: proving
        })
      )
      .annotate(OpenApi.Summary, "List servers by how they prove their keys")
      .annotate(
        OpenApi.Description,
        "Who is to be asked, the soonest first; or who passed, failed or kept silent, the latest first. What is not verified is not available."
      ),
    HttpApiEndpoint.get("fleetGuards", "/fleet-guards", {
      query: Paged,
      success: Page(FleetGuard),
      error: InvalidCursor
    })
      .annotateMerge(requires("fleet-guard:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ query: { limit: "10" }, answer: { items: [], nextCursor: null } }))
      .annotate(OpenApi.Summary, "List when the fleet guard held judgement, the newest first")
      .annotate(
        OpenApi.Description,
        "When much of a fleet falls silent at once, its servers are `unknown`, not offline. The newest 100; the one that holds now has an `endedAt` of null."
      )
  )
  .middleware(ApiTokenAuthentication)
  .annotateMerge(
    OpenApi.annotations({
      title: "Availability",
      description: "For machines with an API token: when the fleet could be used, and why not."
    })
  ) {}
