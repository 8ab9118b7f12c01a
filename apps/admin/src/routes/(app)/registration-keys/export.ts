/** The whole of a filtered list of registration keys as CSV. Secrets are not in it: nobody has them. */

import { DateTime } from "effect"
import { download, line } from "#lib/csv.ts"
import { decodeKeysPage, type KeyView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { keyStates } from "./keys.ts"

const header = [
  "name",
  "id",
  "hint",
  "state",
  "uses",
  "use_limit",
  "approval",
  "tags",
  "created_by",
  "created_at",
  "expires_at",
  "revoked_at"
]

const cells = (key: KeyView) => [
  key.name,
  key.id,
  key.hint,
  keyStates[key.state].word,
  key.uses,
  key.useLimit,
  key.approval,
  key.tags.join(" "),
  key.createdBy,
  DateTime.formatIso(key.createdAt),
  DateTime.formatIso(key.expiresAt),
  key.revokedAt === null ? null : DateTime.formatIso(key.revokedAt)
]

export const exportKeys = async (states: ReadonlyArray<KeyView["state"]>) => {
  const lines = [line(header)]
  let cursor: string | null = null
  do {
    const page = decodeKeysPage(await rpc.registrationKeys.list.query({ states, limit: 200, cursor }))
    lines.push(...page.items.map((key) => line(cells(key))))
    cursor = page.nextCursor
  } while (cursor !== null)
  download(`registration-keys-${new Date().toISOString().slice(0, 10)}.csv`, lines)
  return lines.length - 1
}
