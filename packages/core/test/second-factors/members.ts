/** Admins with factors, as tests of factors need them. */
import { Passkeys } from "@broker/core/second-factors/Passkeys"
import { type Member, SecondFactors } from "@broker/core/second-factors/SecondFactors"
import type { AdminId } from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { type Authenticator, authenticator, type Flaws, totpCode } from "@broker/testing/Authenticator"
import * as Fixtures from "@broker/testing/Fixtures"
import { Clock, DateTime, Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"

/** Where the broker of these tests is, unless told otherwise. */
export const origin = "http://localhost:3000"

/** An owner who has no factor, and no password either, as whoever signs in by the identity provider. */
export const member = Effect.fnUntraced(function* (organizationId: OrganizationId = defaultOrganizationId) {
  const sql = yield* SqlClient.SqlClient
  const { id, name } = yield* Fixtures.admin({ organizationId })
  yield* sql`update admins set password_hash = null where id = ${id}`
  return { id, name, organizationId } satisfies Member
})

/** An organization that demands a second factor, or not. */
export const demand = Effect.fnUntraced(function* (organizationId: OrganizationId, requireFactor = true) {
  const sql = yield* SqlClient.SqlClient
  const now = DateTime.toDateUtc(yield* DateTime.now)
  yield* sql`
    insert into security_policies
      (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, updated_at)
    values (${organizationId}, ${requireFactor}, 7200, 86400, ${now})
    on conflict (organization_id) do update set require_factor = excluded.require_factor`
})

/** What the app of a secret shows now, or so many steps away. */
export const codeOf = (secret: Redacted.Redacted<string>, steps = 0) =>
  Effect.map(Clock.currentTimeMillis, (now) => totpCode(secret, now + steps * 30_000))

/** An app that counts. Its first code is used up. */
export const enrolTotp = Effect.fnUntraced(function* (admin: Member) {
  const factors = yield* SecondFactors
  const { secret } = yield* factors.beginTotp(admin)
  const fresh = yield* factors.firstCodes(admin.id)
  const codes = yield* factors.confirmTotp(admin, yield* codeOf(secret), fresh)
  return { secret, codes: (codes ?? []).map(Redacted.value) }
})

/** A passkey of a device, or of a new one. */
export const enrolPasskey = Effect.fnUntraced(function* (
  admin: Member,
  device: Authenticator = authenticator(origin),
  name = "phone"
) {
  const passkeys = yield* Passkeys
  const fresh = yield* SecondFactors.use((factors) => factors.firstCodes(admin.id))
  const { challenge, options } = yield* passkeys.beginEnrolment(admin)
  const codes = yield* passkeys.enrol(admin, name, device.create(options), challenge, fresh)
  return { device, codes: (codes ?? []).map(Redacted.value) }
})

/** Whose passkey a device signs in with, and with what flaws. */
export const signBy = Effect.fnUntraced(function* (
  device: Authenticator,
  flaws: Flaws = {},
  adminId: AdminId | null = null
) {
  const passkeys = yield* Passkeys
  const { challenge, options } = yield* passkeys.request(adminId)
  return yield* passkeys.verify(device.get(options, flaws), challenge)
})

/** What the audit log has of changes of somebody's or something's, the oldest first; not how tests made them. */
export const audited = Effect.fnUntraced(function* (subjectId: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ action: string; details: Record<string, unknown> }>`
      select action, details
        from audit_entries
       where subject_id = ${subjectId}
         and actor_kind <> 'database'
         and action <> 'admins:create'
    order by id`
})
