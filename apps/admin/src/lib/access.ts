/** Who may sign in and what they may do, decoded by the domain's own schemas, and in words. */
import { type AdminId, type AdminState, ListedAdmin } from "@broker/domain/Admin"
import { CreatedLink, Invitation } from "@broker/domain/AdminLink"
import { ApiToken, type ApiTokenState } from "@broker/domain/ApiToken"
import { AuditEntry, AuditVerdict } from "@broker/domain/AuditEntry"
import type { Permission } from "@broker/domain/Permission"
import { Page } from "@broker/domain/Primitives"
import { Role, RoleEffect } from "@broker/domain/Role"
import { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { SignInFailure } from "@broker/domain/SignInFailure"
import { Schema } from "effect"
import { plural } from "./numbers.ts"
import { beyond, heldBy } from "./permissions.ts"
import type { Tone } from "./status.ts"

export type ApiTokenView = typeof ApiToken.json.Type

export const decodeAdmin = Schema.decodeUnknownSync(ListedAdmin)
export const decodeAdmins = Schema.decodeUnknownSync(Schema.Array(ListedAdmin))
export const decodeInvitations = Schema.decodeUnknownSync(Schema.Array(Invitation))
export const decodeLink = Schema.decodeUnknownSync(CreatedLink)
export const decodeRole = Schema.decodeUnknownSync(Role)
export const decodeRoles = Schema.decodeUnknownSync(Schema.Array(Role))
export const decodeRoleEffect = Schema.decodeUnknownSync(RoleEffect)
export const decodeApiTokens = Schema.decodeUnknownSync(Schema.Array(ApiToken.json))
export const decodeSignInFailures = Schema.decodeUnknownSync(Schema.Array(SignInFailure))
export const decodeSecurityPolicy = Schema.decodeUnknownSync(SecurityPolicy)
export const decodeAuditEntry = Schema.decodeUnknownSync(AuditEntry)
export const decodeAuditPage = Schema.decodeUnknownSync(Page(AuditEntry))
export const decodeAuditVerdict = Schema.decodeUnknownSync(AuditVerdict)

/** What loads admins, invitations and roles depends on it. */
export const accessKey = "broker:access"
export const apiTokensKey = "broker:api-tokens"
export const signInsKey = "broker:sign-ins"

interface Wording {
  readonly word: string
  readonly tone: Tone
  readonly meaning: string
}

export const adminStates: Record<AdminState, Wording> = {
  active: { word: "Active", tone: "ok", meaning: "Can sign in." },
  disabled: { word: "Disabled", tone: "bad", meaning: "Can do nothing here, and keeps the role for later." }
}

export const adminStateOrder: ReadonlyArray<AdminState> = ["active", "disabled"]

export const tokenStates: Record<ApiTokenState, Wording> = {
  active: { word: "Active", tone: "ok", meaning: "Can be used." },
  expired: { word: "Expired", tone: "idle", meaning: "Its time is over." },
  revoked: { word: "Revoked", tone: "bad", meaning: "Somebody revoked it." }
}

export const tokenStateOrder: ReadonlyArray<ApiTokenState> = ["active", "expired", "revoked"]

export const hasFactor = ({ factors }: Pick<ListedAdmin, "factors">) => factors.totp || factors.passkeys > 0

/** "authenticator app, 2 passkeys and 8 recovery codes" as parts. */
export const factorWords = ({ passkeys, recoveryCodes, totp }: ListedAdmin["factors"]) => [
  ...(totp ? ["authenticator app"] : []),
  ...(passkeys > 0 ? [plural(passkeys, "passkey")] : []),
  ...(recoveryCodes > 0 ? [plural(recoveryCodes, "recovery code")] : [])
]

/** Who would act on whom. */
interface Acting {
  readonly admin: { readonly id: AdminId }
  readonly permissions: ReadonlyArray<Permission>
}

/** Why nothing can be done to an admin, in a sentence; null where something can. */
export const untouchable = (
  { id, role }: Pick<ListedAdmin, "id" | "role">,
  me: Acting,
  roles: ReadonlyArray<Role>
): string | null => {
  if (id === me.admin.id) {
    return "This is you. Nobody changes their own role, disables or resets themselves: ask another owner."
  }
  const held = heldBy(role, roles)
  if (held === undefined) return null
  const more = beyond(held, me.permissions).length
  return more === 0
    ? null
    : `Their role holds ${plural(more, "permission")} that yours does not: ask somebody who has them.`
}
