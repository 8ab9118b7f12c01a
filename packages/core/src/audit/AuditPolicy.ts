/** How the audit log is gone through. */
import { Context, Duration } from "effect"

export const AuditPolicy = Context.Reference("@broker/core/audit/AuditPolicy", {
  defaultValue: () => ({
    /** Entries that are read at a time, to verify and to export. */
    batch: 1_000,
    /** Entries that are wrong and are looked at more closely: whether they only changed places. */
    suspects: 20,
    /** Chains that are signed in one run. */
    checkpointsPerRun: 200,
    /** For so long every checkpoint is kept, and the last of each day for ever. */
    allCheckpointsFor: Duration.days(7),
    /** Entries past their time that are deleted of one organization at a time. */
    pruneBatch: 2_000,
    /** For so long what belongs to nobody is kept, which strangers write: sign-ins of unknown names and the like. */
    installationRetentionDays: 400
  })
})
