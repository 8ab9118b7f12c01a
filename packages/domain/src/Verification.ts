/** How the broker makes sure, again and again, that servers are who they were (V3, V5), and what it found. */
import { Schema } from "effect"
import { ChallengePurpose, ChallengeState } from "./Challenge.ts"
import { Count, PageLimit, Text } from "./Primitives.ts"
import { GroupId, ServerId, ServerName } from "./Server.ts"

/** Why a server is asked before its time, or that it is not. */
export const VerificationRisk = Schema.Literals(["none", "new_network", "new_version", "new_boot", "new_capability"])
export type VerificationRisk = typeof VerificationRisk.Type

/** What one list shows: who is to be asked, soonest first; or who failed or keeps silent, the latest first. */
export const VerificationList = Schema.Literals(["due", "failed", "silent", "passed"])

export const VerificationQuery = Schema.Struct({
  list: VerificationList,
  groupId: Schema.NullOr(GroupId),
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type VerificationQuery = typeof VerificationQuery.Type

export const VerifiedServer = Schema.Struct({
  serverId: ServerId,
  name: ServerName,
  group: Schema.NullOr(Schema.String),
  verified: Schema.Boolean,
  verifiedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  dueAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  risk: VerificationRisk,
  /** The last question and how it ended. */
  last: Schema.NullOr(
    Schema.Struct({
      purpose: ChallengePurpose,
      state: ChallengeState,
      at: Schema.DateTimeUtcFromString,
      /** From the question to the answer, in milliseconds. */
      latencyMillis: Schema.NullOr(Schema.Finite)
    }).annotate({ title: "LastQuestion" })
  ),
  /** Questions in a row that it left unanswered. */
  silences: Count,
  /** Why it failed, in a sentence. */
  reason: Schema.NullOr(Schema.String)
}).annotate({ title: "VerifiedServer" })
export type VerifiedServer = typeof VerifiedServer.Type

/** The last 24 hours, by the hour. */
export const VerificationHour = Schema.Struct({
  hour: Schema.DateTimeUtcFromString,
  passed: Count,
  failed: Count,
  expired: Count
})

/** How the servers of one group stand, those of groups below it not counted; none of a group stand last. */
export const VerificationGroup = Schema.Struct({
  groupId: Schema.NullOr(GroupId),
  group: Schema.NullOr(Schema.String),
  verified: Count,
  unverified: Count,
  /** Whose last question they answered wrongly, or left unanswered. */
  failed: Count,
  silent: Count,
  /** To be asked now. */
  due: Count
})
export type VerificationGroup = typeof VerificationGroup.Type

export const VerificationFigures = Schema.Struct({
  passed: Count,
  failed: Count,
  expired: Count,
  /** Of those that ended; null where none did. */
  passRate: Schema.NullOr(Schema.Finite),
  latencyP50Millis: Schema.NullOr(Schema.Finite),
  latencyP95Millis: Schema.NullOr(Schema.Finite),
  /** Servers that are to be asked now, and within the next hour. */
  due: Count,
  dueWithinHour: Count,
  verified: Count,
  unverified: Count,
  hours: Schema.Array(VerificationHour),
  groups: Schema.Array(VerificationGroup)
})
export type VerificationFigures = typeof VerificationFigures.Type

/**
 * What a server says it can do, and what the broker found:
 * - `declared`: there is no check for it, or none has been made yet
 * - `confirmed`, `refuted`: as the last check found
 */
export const CapabilityStanding = Schema.Struct({
  capability: Schema.String,
  standing: Schema.Literals(["declared", "confirmed", "refuted"]),
  checkable: Schema.Boolean,
  reason: Schema.NullOr(Schema.String),
  checkedAt: Schema.NullOr(Schema.DateTimeUtcFromString)
}).annotate({ title: "CapabilityStanding" })
export type CapabilityStanding = typeof CapabilityStanding.Type
