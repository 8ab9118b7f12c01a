/** When much of a fleet falls silent at once, the cause is rarely the servers: they are unknown, not offline (H6). */
import { Schema } from "effect"
import { Count, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const FleetGuardId = Uuid.pipe(Schema.brand("FleetGuardId"))
export type FleetGuardId = typeof FleetGuardId.Type

/**
 * How it ended: all are heard again, or the number held was steady for long enough, or an admin said that they are really
 * gone, or it had held for as long as any may. But for the first, who was held is taken for gone.
 */
export const GuardEnd = Schema.Literals(["recovered", "steady", "confirmed", "expired"])

/** What the silent ones have in common, as far as there is anything. */
export const GuardCause = Schema.Literals(["broker", "network", "group", "version", "unclear"])

export const FleetGuard = Schema.Struct({
  id: FleetGuardId,
  beganAt: Schema.DateTimeUtcFromString,
  endedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  end: Schema.NullOr(GuardEnd),
  /** Who said that they are gone. */
  endedBy: Schema.NullOr(Schema.String),
  /** Live servers when it began, those of them that are heard now, and those that are held as unknown now. */
  expected: Count,
  seen: Count,
  held: Count,
  cause: GuardCause,
  /** The network, group or version they have in common. */
  causeDetail: Schema.NullOr(Schema.String),
  /** Since when the number held has not moved, and when the guard ends by itself if it stays so. */
  steadySince: Schema.NullOr(Schema.DateTimeUtcFromString),
  endsAt: Schema.NullOr(Schema.DateTimeUtcFromString)
}).annotate({ title: "FleetGuard" })
export type FleetGuard = typeof FleetGuard.Type

export class FleetGuardNotOpen extends Problem<FleetGuardNotOpen>()("FleetGuardNotOpen", {
  code: "fleet_guard_not_open",
  status: 409,
  title: "The fleet guard is not holding",
  detail: "The fleet guard has ended already.",
  remedy: "Load the page again to see where the servers stand."
}) {}
