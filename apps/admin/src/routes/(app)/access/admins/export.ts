/** Admins as CSV. */
import type { ListedAdmin } from "@broker/domain/Admin"
import { adminStates } from "#lib/access.ts"
import { iso, type Sheet } from "#lib/csv.ts"

export const sheet: Sheet<ListedAdmin> = {
  name: "admins",
  header: [
    "name",
    "id",
    "role",
    "state",
    "authenticator_app",
    "passkeys",
    "recovery_codes",
    "single_sign_on",
    "open_sessions",
    "last_sign_in",
    "created_at"
  ],
  cells: (admin) => [
    admin.name,
    admin.id,
    admin.roleName,
    adminStates[admin.state].word,
    admin.factors.totp,
    admin.factors.passkeys,
    admin.factors.recoveryCodes,
    admin.singleSignOn,
    admin.sessions,
    iso(admin.lastSignInAt),
    iso(admin.createdAt)
  ]
}
