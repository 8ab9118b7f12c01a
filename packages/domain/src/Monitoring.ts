/** How the broker itself does, and how the fleet did at any time. */
import { Schema } from "effect"
import { Count, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { GroupId, ServerStatus } from "./Server.ts"

/** A process of the broker. Shares are of one processor, times in milliseconds. */
export const NodeState = Schema.Struct({
  id: Uuid,
  name: Schema.String,
  version: Schema.String,
  role: Schema.Literals(["leader", "follower"]),
  alive: Schema.Boolean,
  startedAt: Schema.DateTimeUtcFromString,
  lastSeenAt: Schema.DateTimeUtcFromString,
  cpu: Schema.NullOr(Schema.Finite),
  memoryBytes: Schema.NullOr(Schema.Finite),
  /** How late its timers come, the worst 1 in 100. */
  lagMillis: Schema.NullOr(Schema.Finite),
  heartbeatsPerSecond: Schema.NullOr(Schema.Finite),
  requestsPerSecond: Schema.NullOr(Schema.Finite)
})
export type NodeState = typeof NodeState.Type

export const JobState = Schema.Struct({
  name: Schema.String,
  everySeconds: Schema.Finite,
  runs: Count,
  failures: Count,
  lastStartedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  lastTookMillis: Schema.NullOr(Schema.Finite),
  lastOutcome: Schema.NullOr(Schema.Literals(["done", "failed", "lost"])),
  /** Of the last run that failed, and when that was; a later one may have gone well. */
  lastProblem: Schema.NullOr(Schema.String),
  lastFailedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  nextRunAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** Long after its time: no node runs it. */
  overdue: Schema.Boolean
})
export type JobState = typeof JobState.Type

export const DatabaseState = Schema.Struct({
  version: Schema.String,
  sizeBytes: Schema.Finite,
  /** The biggest, with what belongs to them. */
  tables: Schema.Array(Schema.Struct({ name: Schema.String, bytes: Schema.Finite, rows: Schema.Finite })),
  connections: Count,
  maxConnections: Count,
  /** Statements that take long now, without their values. */
  slow: Schema.Array(
    Schema.Struct({ statement: Schema.String, seconds: Schema.Finite, waitsFor: Schema.NullOr(Schema.String) })
  ),
  /** By the time they took in all, where the database keeps account of it (`pg_stat_statements`). */
  heaviest: Schema.NullOr(
    Schema.Array(
      Schema.Struct({
        statement: Schema.String,
        calls: Schema.Finite,
        meanMillis: Schema.Finite,
        totalMillis: Schema.Finite
      })
    )
  )
})
export type DatabaseState = typeof DatabaseState.Type

export const BrokerState = Schema.Struct({
  nodes: Schema.Array(NodeState),
  jobs: Schema.Array(JobState),
  database: DatabaseState
})
export type BrokerState = typeof BrokerState.Type

export const StatusCounts = Schema.Record(ServerStatus, Count)

/** A group in the heat map, or, with a null id, the servers in none. */
export const HeatCell = Schema.Struct({
  groupId: Schema.NullOr(GroupId),
  path: Schema.NullOr(Schema.String),
  total: Count,
  counts: StatusCounts,
  connections: Count
})
export type HeatCell = typeof HeatCell.Type

export const VersionInUse = Schema.Struct({
  version: Schema.NullOr(Schema.String),
  servers: Count,
  /** Whether a later one is in use. */
  outdated: Schema.Boolean
})

/** The fleet at an instant. Retired servers are counted as such, and nowhere else: neither in the total nor in groups. */
export const FleetAt = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  total: Count,
  counts: StatusCounts,
  groups: Schema.Array(HeatCell),
  versions: Schema.Array(VersionInUse),
  liveConnections: Count
})
export type FleetAt = typeof FleetAt.Type

/** Groups and versions of the time before that are deleted: what would be told of it is not what was. */
export class BeyondHistory extends Problem<BeyondHistory>()("BeyondHistory", {
  code: "beyond_history",
  status: 422,
  title: "Too long ago",
  detail: "How the fleet was so long ago is not kept.",
  remedy: "Ask for an instant in the last 90 days."
}) {}

/** One point of the fleet's own history, for trends and for the time slider. */
export const FleetMoment = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  total: Count,
  up: Count,
  down: Count,
  unknown: Count,
  connections: Count,
  /** A second, going by the intervals of the servers that were heard in time. */
  heartbeats: Schema.Finite
})
export type FleetMoment = typeof FleetMoment.Type
