/** Who connected where, how long, and how much: over time and by whom. */
import { DateTime, Option, Schema } from "effect"
import { Verdict } from "./Connection.ts"
import { DeviceId } from "./Device.ts"
import { Count, Text } from "./Primitives.ts"
import { ServerId } from "./Server.ts"
import { UserId } from "./User.ts"

/** A zone of the IANA database, such as `Europe/Berlin`: days begin when they begin there (C7). */
export const TimeZone = Text(64).check(
  Schema.makeFilter(
    // Mere offsets, which JavaScript takes too, PostgreSQL reads the other way round.
    (zone) =>
      (/^[a-z]/iu.test(zone) && Option.isSome(DateTime.zoneMakeNamed(zone))) ||
      "must be a time zone such as Europe/Berlin"
  )
)

export const AnalyticsStep = Schema.Literals(["hour", "day"])
export type AnalyticsStep = typeof AnalyticsStep.Type

/** What figures are told apart by. */
export const AnalyticsDimension = Schema.Literals(["server", "group", "user", "platform"])
export type AnalyticsDimension = typeof AnalyticsDimension.Type

const maxSteps = 1_500

export const AnalyticsQuery = Schema.Struct({
  from: Schema.DateTimeUtcFromString,
  /** The end, itself outside. */
  to: Schema.DateTimeUtcFromString,
  timeZone: TimeZone,
  step: AnalyticsStep,
  by: AnalyticsDimension,
  serverId: Schema.NullOr(ServerId),
  userId: Schema.NullOr(UserId),
  deviceId: Schema.NullOr(DeviceId),
  platform: Schema.NullOr(Text(64))
}).check(
  Schema.makeFilter(({ from, step, to }) => {
    const hours = (to.epochMilliseconds - from.epochMilliseconds) / 3_600_000
    if (hours <= 0) return { path: ["to"], issue: "must be after from" }
    return (
      hours / (step === "hour" ? 1 : 24) <= maxSteps || {
        path: ["from"],
        issue: `must be at most ${maxSteps} steps back`
      }
    )
  })
)
export type AnalyticsQuery = typeof AnalyticsQuery.Type

/** Sums over a span. A connection counts where it began; its time and its bytes count where they fell. */
const figures = {
  connections: Count,
  users: Count,
  devices: Count,
  seconds: Schema.Finite,
  /** As clients count: what they received, and what they sent. Spread evenly over the connection's time. */
  rxBytes: Schema.Finite,
  txBytes: Schema.Finite
}
export const Figures = Schema.Struct(figures)
export type Figures = typeof Figures.Type

export const Analytics = Schema.Struct({
  totals: Figures,
  /** Every step of the range, those without a connection too. */
  steps: Schema.Array(Schema.Struct({ at: Schema.DateTimeUtcFromString, ...figures })),
  /** By the dimension, those with the most time first, 50 at most. */
  groups: Schema.Array(Schema.Struct({ key: Schema.String, name: Schema.String, ...figures })),
  /** How many more groups there are. */
  moreGroups: Count,
  /** Of the connections that ended in the range. */
  verdicts: Schema.Record(Verdict, Count),
  reasons: Schema.Array(Schema.Struct({ reason: Schema.String, connections: Count })),
  /** Of the intents made in the range. */
  outcomes: Schema.Struct({ connected: Count, expired: Count, refused: Count }),
  /** Until when what happened is in the figures. */
  completeUntil: Schema.DateTimeUtcFromString
})
export type Analytics = typeof Analytics.Type
