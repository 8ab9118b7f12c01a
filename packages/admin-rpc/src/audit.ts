import { AuditLog } from "@broker/core/audit/AuditLog"
import { AuditEntry, AuditQuery, AuditVerdict } from "@broker/domain/AuditEntry"
import { Page } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

/** Exports are a plain route, because they stream. */
export const audit = router({
  list: procedure("audit:read")
    .input(Wire.input(AuditQuery))
    .output(Wire.output(Page(AuditEntry)))
    .query(({ ctx, input }) => ctx.run(AuditLog.use((log) => log.list(ctx.admin.organizationId, input)))),

  /** By its number, as links name it. */
  get: procedure("audit:read")
    .input(Wire.input(Schema.Struct({ seq: AuditEntry.fields.seq })))
    .output(Wire.output(AuditEntry))
    .query(({ ctx, input }) => ctx.run(AuditLog.use((log) => log.get(ctx.admin.organizationId, input.seq)))),

  actions: procedure("audit:read")
    .output(Wire.output(Schema.Array(Schema.String)))
    .query(({ ctx }) => ctx.run(AuditLog.use((log) => log.actions(ctx.admin.organizationId)))),

  verify: procedure("audit:verify")
    .output(Wire.output(AuditVerdict))
    .mutation(({ ctx }) => ctx.run(AuditLog.use((log) => log.verify(ctx.admin.organizationId))))
})
