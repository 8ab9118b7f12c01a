import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { ApiToken, ApiTokenId, ApiTokenNotFound } from "@broker/domain/ApiToken"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { DateTime, Effect, type Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import * as Output from "../Output.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(ApiToken.json)
const encodePage = Schema.encodeSync(Page(ApiToken.json))

const row = (now: DateTime.Utc) => (token: ApiToken) => [
  token.id,
  token.name,
  token.ownerName,
  token.state,
  Output.list(token.scopes.map((scope) => (token.idle.includes(scope) ? `(${scope})` : scope))),
  Output.or(token.networks.join(", "), "everywhere"),
  Output.relative(token.expiresAt, now),
  Output.relative(token.lastUsedAt, now)
]

export const list = (flags: Common & { readonly all: boolean }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const tokens = yield* ApiTokens.use((tokens) => tokens.list(defaultOrganizationId, null))
      const items = flags.all ? tokens : tokens.filter(({ state }) => state === "active")
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["ID", "NAME", "OWNER", "STATE", "SCOPES", "NETWORKS", "EXPIRES", "LAST USED"],
          items.map(row(now))
        ),
        flags.all
          ? "There are no API tokens."
          : "There is no API token that can be used. Admins make them in the dashboard; `--all` lists the others."
      )
    })
  )

export const revoke = (flags: Common & { readonly id: string }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* Schema.decodeEffect(ApiTokenId)(flags.id.toLowerCase()).pipe(
        Effect.mapError(() => new ApiTokenNotFound())
      )
      const token = yield* ApiTokens.use((tokens) => tokens.revoke(defaultOrganizationId, id, null))
      yield* Output.either(flags.json, encode(token), [`${token.name} of ${token.ownerName} opens nothing any more.`])
    })
  )
