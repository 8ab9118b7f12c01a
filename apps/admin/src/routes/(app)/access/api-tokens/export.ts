/** API tokens as CSV. */
import { type ApiTokenView, tokenStates } from "#lib/access.ts"
import { iso, type Sheet } from "#lib/csv.ts"

export const sheet: Sheet<ApiTokenView> = {
  name: "api-tokens",
  header: [
    "name",
    "id",
    "starts_with",
    "owner",
    "state",
    "scopes",
    "without_effect",
    "networks",
    "last_used",
    "last_address",
    "expires_at",
    "created_at"
  ],
  cells: (token) => [
    token.name,
    token.id,
    token.hint,
    token.ownerName,
    tokenStates[token.state].word,
    token.scopes.join(" "),
    token.idle.join(" "),
    token.networks.join(" "),
    iso(token.lastUsedAt),
    token.lastAddress,
    iso(token.expiresAt),
    iso(token.createdAt)
  ]
}
