import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Admins } from "@broker/core/admins/Admins"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Roles } from "@broker/core/roles/Roles"
import { ListedAdmin } from "@broker/domain/Admin"
import { ApiToken } from "@broker/domain/ApiToken"
import { Role } from "@broker/domain/Role"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { pageOf } from "./Machine.ts"
import { resource } from "./Resource.ts"

const admin = resource(ListedAdmin, ListedAdmin.fields)
const role = resource(Role, Role.fields)
const apiToken = resource(ApiToken.json, ApiToken.json.fields)

export const AdminsHttp = HttpApiBuilder.group(
  Api,
  "admins",
  Effect.fn(function* (handlers) {
    const admins = yield* Admins
    const roles = yield* Roles
    const tokens = yield* ApiTokens

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          admin.page(
            pageOf(admins.list(organizationId), query, ({ id }) => id),
            query.fields
          )
        ),
      roles: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          role.page(
            pageOf(roles.list(organizationId), query, ({ id }) => id),
            query.fields
          )
        ),
      apiTokens: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          apiToken.page(
            pageOf(tokens.list(organizationId, null), query, ({ id }) => id),
            query.fields
          )
        )
    })
  })
)
