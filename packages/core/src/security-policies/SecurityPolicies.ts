/** What an organization asks of its admins. */
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld } from "@broker/domain/Permission"
import { FactorDemanded } from "@broker/domain/SecondFactor"
import { SecurityPolicy, usual } from "@broker/domain/SecurityPolicy"
import { Context, DateTime, Effect, Layer, Option, Struct } from "effect"
import { SqlClient } from "effect/sql"
import { AdminSessions, type SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import { within } from "../admins/Authority.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import { ApiTokens } from "../api-tokens/ApiTokens.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as SecurityPoliciesSql from "./SecurityPoliciesSql.ts"

export class SecurityPolicies extends Context.Service<
  SecurityPolicies,
  {
    get(organizationId: OrganizationId): Effect.Effect<SecurityPolicy>
    /** Whoever demands a second factor has one: nobody locks themselves out (A2). Holds from the next request on. */
    update(
      admin: SignedInAdmin,
      policy: SecurityPolicy
    ): Effect.Effect<SecurityPolicy, FactorDemanded | MoreThanHeld, Actor>
  }
>()("@broker/core/security-policies/SecurityPolicies") {
  static readonly layerNoDeps = Layer.effect(
    SecurityPolicies,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* SecurityPoliciesSql.make
      const standing = yield* StandingSql.make
      const sessions = yield* AdminSessions
      const tokens = yield* ApiTokens
      const audit = yield* Audit

      const get = Effect.fn("SecurityPolicies.get")(function* (organizationId: OrganizationId) {
        return Option.getOrElse(yield* statements.find(organizationId), () => usual)
      }, Effect.orDie)

      const update = Effect.fn("SecurityPolicies.update")(
        function* (admin: SignedInAdmin, policy: SecurityPolicy) {
          const { organizationId } = admin
          yield* standing.hold(organizationId)
          // Whoever was let in by a permission may have lost it while they waited for their turn (A5).
          yield* within(yield* standing.remaining(admin), ["security-policy:update"])
          const before = yield* get(organizationId)
          if (policy.requireFactor) {
            yield* statements.holdAdmin(admin.id)
            const { has } = yield* statements.hasFactor(admin.id)
            if (!has) return yield* new FactorDemanded()
          }
          const changed = Struct.keys(SecurityPolicy.fields).filter((field) => policy[field] !== before[field])
          if (changed.length === 0) return before
          yield* statements.put({ organizationId, ...policy, updatedAt: yield* DateTime.now })
          yield* audit.record({
            organizationId,
            action: "security-policy:update",
            subjectKind: "security-policy",
            subjectId: organizationId,
            details: Object.fromEntries(changed.map((field) => [field, policy[field]]))
          })
          yield* sessions.forget
          yield* tokens.forget
          return policy
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      return SecurityPolicies.of({ get, update })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
