import { SecurityPolicies } from "@broker/core/security-policies/SecurityPolicies"
import { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const One = Wire.output(SecurityPolicy)

export const securityPolicy = router({
  get: procedure("security-policy:read")
    .output(One)
    .query(({ ctx }) => ctx.run(SecurityPolicies.use((policies) => policies.get(ctx.admin.organizationId)))),

  update: procedure("security-policy:update", { provenly: true })
    .input(Wire.input(SecurityPolicy))
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(SecurityPolicies.use((policies) => policies.update(ctx.admin, input))))
})
