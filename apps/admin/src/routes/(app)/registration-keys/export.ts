/** The whole of a filtered list of registration keys as CSV. Secrets are not in it: nobody has them. */
import { iso, type Sheet, saveAll } from "#lib/csv.ts"
import { decodeKeysPage, type KeyView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { keyStates } from "./keys.ts"

const sheet: Sheet<KeyView> = {
  name: "registration-keys",
  header: [
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
  ],
  cells: (key) => [
    key.name,
    key.id,
    key.hint,
    keyStates[key.state].word,
    key.uses,
    key.useLimit,
    key.approval,
    key.tags.join(" "),
    key.createdBy,
    iso(key.createdAt),
    iso(key.expiresAt),
    iso(key.revokedAt)
  ]
}

/** Returns how many keys it wrote. */
export const exportKeys = (states: ReadonlyArray<KeyView["state"]>) =>
  saveAll(sheet, async (page) => decodeKeysPage(await rpc.registrationKeys.list.query({ states, ...page })))
