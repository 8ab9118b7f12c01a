import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { SecurityPolicies } from "@broker/core/security-policies/SecurityPolicies"
import { usual } from "@broker/domain/SecurityPolicy"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { atWork, audited, codeOf, member } from "../admins/members.ts"

/** An owner of an organization of their own, at work. */
const owner = Effect.gen(function* () {
  const organizationId = yield* Fixtures.organization
  const { id } = yield* member("owner", organizationId)
  return { organizationId, id, ...(yield* atWork({ id })) }
})

const enrol = (id: string) =>
  SqlClient.SqlClient.use(
    (sql) => sql`update admins set totp_secret = ${new Uint8Array(16)}, totp_confirmed_at = now() where id = ${id}`
  )

layer(Fixtures.layer)("SecurityPolicies", (it) => {
  it.effect("without one, what is usual holds", () =>
    Effect.gen(function* () {
      const policies = yield* SecurityPolicies
      assert.deepStrictEqual(yield* policies.get(yield* Fixtures.organization), usual)
    })
  )

  it.effect("a change holds, and says in the audit log what changed", () =>
    Effect.gen(function* () {
      const policies = yield* SecurityPolicies
      const { admin, organizationId } = yield* owner
      const policy = { ...usual, sessionIdleSeconds: 600, auditRetentionDays: 365 }
      yield* policies.update(admin, policy)
      yield* policies.update(admin, policy)
      yield* policies.update(admin, { ...policy, auditRetentionDays: null })
      assert.deepStrictEqual(yield* policies.get(organizationId), { ...policy, auditRetentionDays: null })
      const entries = yield* audited(organizationId)
      assert.deepStrictEqual(
        entries.filter(({ action }) => action === "security-policy:update"),
        [
          { action: "security-policy:update", details: { sessionIdleSeconds: 600, auditRetentionDays: 365 } },
          { action: "security-policy:update", details: { auditRetentionDays: null } }
        ]
      )
    })
  )

  it.effect("A2 whoever demands a second factor has one", () =>
    Effect.gen(function* () {
      const policies = yield* SecurityPolicies
      const { admin, id, organizationId } = yield* owner
      const demanding = { ...usual, requireFactor: true }
      assert.strictEqual(yield* codeOf(policies.update(admin, demanding)), "factor_demanded")
      assert.deepStrictEqual(yield* policies.get(organizationId), usual)
      yield* enrol(id)
      yield* policies.update(admin, demanding)
      assert.isTrue((yield* policies.get(organizationId)).requireFactor)
    })
  )

  it.effect("A2 once one is demanded, whoever has none may do nothing but enrol, from the next request on", () =>
    Effect.gen(function* () {
      const policies = yield* SecurityPolicies
      const { admin, id, organizationId } = yield* owner
      const other = yield* member("owner", organizationId)
      const before = yield* atWork(other)
      yield* enrol(id)
      yield* policies.update(admin, { ...usual, requireFactor: true })
      const after = yield* atWork(other)
      assert.deepStrictEqual(
        [before, after].map(({ admin }) => [admin.mustEnrol, admin.permissions.size === 0]),
        [
          [false, false],
          [true, true]
        ]
      )
    })
  )

  it.effect("A5 whoever lost the permission a moment ago changes nothing", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const policies = yield* SecurityPolicies
      const { admin, id, organizationId } = yield* owner
      yield* member("owner", organizationId)
      yield* admins.changeRole(everything(organizationId), id, "admin")
      const refused = yield* Effect.flip(policies.update(admin, { ...usual, sessionIdleSeconds: 600 }))
      assert.deepInclude(refused, { code: "more_than_held", permissions: ["security-policy:update"] })
      assert.deepStrictEqual(yield* policies.get(organizationId), usual)
    })
  )

  it.effect("the database keeps to the same bounds", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policies = yield* SecurityPolicies
      const { admin, organizationId } = yield* owner
      yield* policies.update(admin, { ...usual, sessionIdleSeconds: 600 })
      for (const column of ["session_idle_seconds", "session_lifetime_seconds", "audit_retention_days"]) {
        const refused = yield* Effect.flip(
          sql`update security_policies set ${sql(column)} = 1 where organization_id = ${organizationId}`
        )
        assert.strictEqual(refused.reason._tag, "ConstraintError")
      }
    })
  )
})
