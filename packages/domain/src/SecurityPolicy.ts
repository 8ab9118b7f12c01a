/** What an organization asks of its admins, and how long it keeps its audit log. */
import { Schema } from "effect"

const days = 86_400

export const SecurityPolicy = Schema.Struct({
  /** Admins without a second factor can do nothing but enrol one (A2). */
  requireFactor: Schema.Boolean,
  /** A session ends when it is not used for so long. */
  sessionIdleSeconds: Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 7 * days })),
  /** A session ends at the latest. */
  sessionLifetimeSeconds: Schema.Int.check(Schema.isBetween({ minimum: 3_600, maximum: 30 * days })),
  /** How long audit entries are kept; null for ever. */
  auditRetentionDays: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 90, maximum: 3_650 })))
})
export type SecurityPolicy = typeof SecurityPolicy.Type

export const usual: SecurityPolicy = {
  requireFactor: false,
  sessionIdleSeconds: 7_200,
  sessionLifetimeSeconds: 86_400,
  auditRetentionDays: null
}
