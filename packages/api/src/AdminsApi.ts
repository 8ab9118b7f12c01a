import { ListedAdmin } from "@broker/domain/Admin"
import { ApiToken } from "@broker/domain/ApiToken"
import { InvalidCursor, Page } from "@broker/domain/Primitives"
import { Role } from "@broker/domain/Role"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { Paged } from "./Conditional.ts"
import { example } from "./Example.ts"
import { auditors, exporter, grace } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** Who may do what in the organization. It is changed in the dashboard, by people who prove who they are. */
export class AdminsApi extends HttpApiGroup.make("admins")
  .add(
    HttpApiEndpoint.get("list", "/admins", { query: Paged, success: Page(ListedAdmin), error: InvalidCursor })
      .annotateMerge(requires("admins:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { limit: "10" },
          answer: { items: [grace], nextCursor: null },
          varies: ["sessions"]
        })
      )
      .annotate(OpenApi.Summary, "List admins, by name")
      .annotate(OpenApi.Description, "With their roles, their second factors and when they signed in last."),
    HttpApiEndpoint.get("roles", "/roles", { query: Paged, success: Page(Role), error: InvalidCursor })
      .annotateMerge(requires("roles:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          answer: { items: [auditors], nextCursor: null },
          varies: ["description", "permissions"]
        })
      )
      .annotate(OpenApi.Summary, "List roles, with what they hold")
      .annotate(OpenApi.Description, "Those that come with the broker first, then the organization's own by name."),
    HttpApiEndpoint.get("apiTokens", "/api-tokens", {
      query: Paged,
      success: Page(ApiToken.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("api-tokens:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { limit: "10" },
          answer: { items: [exporter], nextCursor: null },
          varies: ["hint", "scopes", "lastUsedAt", "lastAddress"]
        })
      )
      .annotate(OpenApi.Summary, "List everybody's API tokens, the newest first")
      .annotate(OpenApi.Description, "Those that are over too, and none with its secret.")
  )
  .middleware(ApiTokenAuthentication)
  .annotateMerge(
    OpenApi.annotations({
      title: "Admins",
      description: "For machines with an API token: who may do what in the organization."
    })
  ) {}
