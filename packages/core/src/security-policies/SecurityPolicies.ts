/** What an organization asks of its admins. */
import type { OrganizationId } from "@broker/domain/Organization"
import type { FactorDemanded } from "@broker/domain/SecondFactor"
import type { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { Context, type Effect, Layer } from "effect"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import type { Actor } from "../audit/Actor.ts"

export class SecurityPolicies extends Context.Service<
  SecurityPolicies,
  {
    get(organizationId: OrganizationId): Effect.Effect<SecurityPolicy>
    /** Whoever demands a second factor has one: nobody locks themselves out (A2). */
    update(admin: SignedInAdmin, policy: SecurityPolicy): Effect.Effect<SecurityPolicy, FactorDemanded, Actor>
  }
>()("@broker/core/security-policies/SecurityPolicies") {
  static readonly layer = Layer.mock(SecurityPolicies)({})
}
