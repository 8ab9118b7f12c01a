/** For how much of a time servers could be used, with what nobody could have known, or wanted, left out. */
import { type DateTime, Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Instant, Moment, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { GroupId, ServerId } from "./Server.ts"

/** A time in which no broker node was alive (H5). */
export const BrokerOutage = Schema.Struct({
  beganAt: Schema.DateTimeUtcFromString,
  endedAt: Schema.DateTimeUtcFromString
}).annotate({ title: "BrokerOutage" })
export type BrokerOutage = typeof BrokerOutage.Type

export const MaintenanceWindowId = Uuid.pipe(Schema.brand("MaintenanceWindowId"))
export type MaintenanceWindowId = typeof MaintenanceWindowId.Type

const span = {
  /** One server, one group with all below it, or, with neither, the whole fleet. */
  serverId: Schema.NullOr(ServerId),
  groupId: Schema.NullOr(GroupId),
  reason: Text(256)
}

/** One row of `maintenance_windows`: what is down in it is not held against anybody. */
export class MaintenanceWindow extends Model.Class<MaintenanceWindow>("MaintenanceWindow")({
  id: Model.UuidV7Insert(MaintenanceWindowId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  ...span,
  startsAt: Instant,
  endsAt: Instant,
  createdBy: Schema.String,
  createdAt: Instant
}) {}

export const MaintenanceWindowRequest = Schema.Struct({
  ...span,
  startsAt: Schema.DateTimeUtcFromString,
  endsAt: Schema.DateTimeUtcFromString
}).check(
  Schema.makeFilter(({ endsAt, groupId, serverId, startsAt }) => {
    if (serverId !== null && groupId !== null) return { path: ["groupId"], issue: "must be null beside a server" }
    const hours = (endsAt.epochMilliseconds - startsAt.epochMilliseconds) / 3_600_000
    if (hours <= 0) return { path: ["endsAt"], issue: "must be after startsAt" }
    return hours <= 24 * 31 || { path: ["endsAt"], issue: "must be at most 31 days after startsAt" }
  })
)
export type MaintenanceWindowRequest = typeof MaintenanceWindowRequest.Type

/** A window with what it is about, for people. */
export class ListedWindow extends Model.Class<ListedWindow>("ListedWindow")({
  ...Model.fields(MaintenanceWindow),
  /** The server's name or the group's path; null for the whole fleet. */
  about: Schema.NullOr(Schema.String)
}) {}

export class MaintenanceWindowNotFound extends Problem<MaintenanceWindowNotFound>()("MaintenanceWindowNotFound", {
  code: "maintenance_window_not_found",
  status: 404,
  title: "Maintenance window not found",
  detail: "There is no such maintenance window.",
  remedy: "Load the page again: somebody may have deleted it."
}) {}

const Seconds = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * Where a time went, in seconds. `up` is online or degraded, `down` is offline; `unknown` is what the fleet guard held
 * (H6); `excluded` are outages of the broker, maintenance, and the time before it was let in or after it was shut out.
 */
export const AvailabilityFigures = Schema.Struct({
  up: Seconds,
  down: Seconds,
  unknown: Seconds,
  excluded: Seconds,
  /** `up / (up + down)`; null where there was neither. */
  share: Schema.NullOr(Schema.Finite)
})
export type AvailabilityFigures = typeof AvailabilityFigures.Type

/** What happened in a span, as a server's strip draws it. */
export const AvailabilitySpan = Schema.Struct({
  from: Schema.DateTimeUtcFromString,
  to: Schema.DateTimeUtcFromString,
  state: Schema.Literals(["online", "degraded", "offline", "unknown", "never_seen", "outage", "maintenance", "out"])
}).annotate({ title: "AvailabilitySpan" })

export const AvailabilityDay = Schema.Struct({ day: Schema.String, ...AvailabilityFigures.fields }).annotate({
  title: "AvailabilityDay"
})

/** One server's, over a range, with its spans and its days. */
export const ServerAvailability = Schema.Struct({
  ...AvailabilityFigures.fields,
  falls: Schema.Int,
  spans: Schema.Array(AvailabilitySpan),
  days: Schema.Array(AvailabilityDay),
  outages: Schema.Array(BrokerOutage),
  windows: Schema.Array(ListedWindow.json)
}).annotate({ title: "ServerAvailability" })
export type ServerAvailability = typeof ServerAvailability.Type

/** A group's with all below it, or the fleet's where the group is null: all seconds of its servers together. */
export const GroupAvailability = Schema.Struct({
  groupId: Schema.NullOr(GroupId),
  path: Schema.NullOr(Schema.String),
  servers: Schema.Int,
  ...AvailabilityFigures.fields
}).annotate({ title: "GroupAvailability" })
export type GroupAvailability = typeof GroupAvailability.Type

export const isAvailabilityRange = Schema.makeFilter<{ readonly from: DateTime.Utc; readonly to: DateTime.Utc }>(
  ({ from, to }) => {
    const days = (to.epochMilliseconds - from.epochMilliseconds) / 86_400_000
    return (days > 0 && days <= 400) || { path: ["to"], issue: "must be after from, by 400 days at most" }
  }
)

/** From and to in time; at most 400 days. */
export const AvailabilityRange = Schema.Struct({
  from: Moment,
  to: Moment
}).check(isAvailabilityRange)
export type AvailabilityRange = typeof AvailabilityRange.Type

/** Of several servers at once: as many days of theirs together as a list shows. */
export const AvailabilityOfServers = Schema.Struct({
  ids: Schema.Array(ServerId).check(Schema.isMaxLength(200)),
  range: AvailabilityRange
}).check(
  Schema.makeFilter(({ ids, range }) => {
    const days = (range.to.epochMilliseconds - range.from.epochMilliseconds) / 86_400_000
    return (
      ids.length * days <= 3_100 || {
        path: ["range", "to"],
        issue: "must ask for 3,100 days at most, of all servers together"
      }
    )
  })
)
