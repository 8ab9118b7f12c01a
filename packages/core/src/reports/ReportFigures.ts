/**
 * What a report says: each kind as figures, series and tables of one shape, which screens and files show alike.
 *
 * What answers a question elsewhere in the broker answers it here too: usage comes from the roll-up of connections,
 * availability from the moves of servers. Nothing is shown of what is past its time: it is null, which is not zero.
 */
import type { AnalyticsDimension } from "@broker/domain/Analytics"
import { endReasonWords } from "@broker/domain/ConnectionWords"
import type { OrganizationId } from "@broker/domain/Organization"
import type {
  ReportCell,
  ReportData,
  ReportFigure,
  ReportKind,
  ReportParameters,
  ReportTable,
  ReportUnit
} from "@broker/domain/Report"
import type { GroupId } from "@broker/domain/Server"
import { reasonWords } from "@broker/domain/ServerWords"
import { capital, readable } from "@broker/domain/Wording"
import { type Cause, DateTime, Duration, Effect, type Schema } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import * as AnalyticsSql from "../analytics/AnalyticsSql.ts"
import { Availability } from "../availability/Availability.ts"
import * as AvailabilitySql from "../availability/AvailabilitySql.ts"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { VerificationPolicy } from "../verification/VerificationPolicy.ts"
import * as VerificationSql from "../verification/VerificationSql.ts"
import * as ReportFiguresSql from "./ReportFiguresSql.ts"
import type { Period, Span } from "./ReportPeriod.ts"
import { ReportsPolicy } from "./ReportsPolicy.ts"

export const titles: Record<ReportKind, string> = {
  usage: "Usage",
  performance: "Performance",
  health: "Health",
  inventory: "Inventory"
}

type Better = ReportFigure["better"]
type FigureDefinition = readonly [id: string, label: string, unit: ReportUnit, better: Better]
type SeriesDefinition = readonly [id: string, label: string, unit: ReportUnit]

interface Definition {
  readonly figures: ReadonlyArray<FigureDefinition>
  readonly series: ReadonlyArray<SeriesDefinition>
}

const definitions: Record<ReportKind, Definition> = {
  usage: {
    figures: [
      ["connections", "Connections", "count", "more"],
      ["users", "Users", "count", "more"],
      ["devices", "Devices", "count", "more"],
      ["received", "Received by clients", "bytes", "neither"],
      ["sent", "Sent by clients", "bytes", "neither"],
      ["time", "Time connected", "seconds", "neither"],
      ["mean-duration", "Mean duration", "seconds", "neither"],
      ["longest-duration", "Longest duration", "seconds", "neither"]
    ],
    series: [
      ["connections", "Connections", "count"],
      ["users", "Users", "count"],
      ["received", "Received by clients", "bytes"],
      ["sent", "Sent by clients", "bytes"]
    ]
  },
  performance: {
    figures: [
      ["rtt-median", "Median round trip", "milliseconds", "less"],
      ["rtt-p95", "Round trip of the slowest 5 %", "milliseconds", "less"],
      ["loss-median", "Median loss", "share", "less"],
      ["loss-p95", "Loss of the worst 5 %", "share", "less"],
      ["throughput", "Mean throughput", "bytes_per_second", "neither"],
      ["success", "Connections that came to be", "share", "more"],
      ["verification", "Verifications passed", "share", "more"],
      ["verification-latency", "Median time to verify", "milliseconds", "less"],
      ["verification-latency-p95", "Slowest 5 % to verify", "milliseconds", "less"]
    ],
    series: [
      ["rtt-median", "Median round trip", "milliseconds"],
      ["rtt-p95", "Round trip of the slowest 5 %", "milliseconds"],
      ["loss-median", "Median loss", "share"],
      ["throughput", "Mean throughput", "bytes_per_second"],
      ["success", "Connections that came to be", "share"],
      ["verification", "Verifications passed", "share"]
    ]
  },
  health: {
    figures: [
      ["availability", "Availability", "share", "more"],
      ["downtime", "Time offline, of all servers", "seconds", "less"],
      ["incidents", "Incidents", "count", "less"],
      ["longest-incident", "Longest incident", "seconds", "less"],
      ["flaps", "Falls soon after another", "count", "less"],
      ["guards", "Times the fleet guard held", "count", "less"],
      ["outages", "Outages of the broker", "count", "less"],
      ["outage-time", "Time the broker was away", "seconds", "less"]
    ],
    series: [
      ["availability", "Availability", "share"],
      ["incidents", "Incidents", "count"],
      ["downtime", "Time offline, of all servers", "seconds"]
    ]
  },
  inventory: {
    figures: [
      ["servers", "Servers", "count", "neither"],
      ["available", "Available now", "count", "more"],
      ["connection-limit", "Connections they may have", "count", "more"],
      ["joined", "Joined", "count", "neither"],
      ["retired", "Retired", "count", "neither"]
    ],
    series: [
      ["joined", "Joined", "count"],
      ["retired", "Retired", "count"]
    ]
  }
}

/** What was read of one span: of each figure its value, of each series that of every step; null is not known. */
interface Reading {
  readonly figures: Readonly<Record<string, number | null>>
  readonly steps: ReadonlyArray<{ readonly at: DateTime.Utc; readonly values: Readonly<Record<string, number | null>> }>
}

export interface Asked {
  readonly organizationId: OrganizationId
  readonly parameters: ReportParameters
  readonly period: Period
  /** The group it is about, and all below it. */
  readonly group: { readonly path: string; readonly ids: ReadonlyArray<GroupId> } | null
  /** Whether users may be named. */
  readonly namesUsers: boolean
  /** How many rows tables have at most. */
  readonly rows: number
}

const share = (part: number, rest: number) => (part + rest === 0 ? null : part / (part + rest))

const iso = (at: DateTime.Utc | null) => (at === null ? null : DateTime.formatIso(at))

const secondsOf = ({ from, to }: Span) => (to.epochMilliseconds - from.epochMilliseconds) / 1_000

type Failure = SqlError | Schema.SchemaError | Cause.NoSuchElementError

type Column = readonly [id: string, label: string, unit: ReportUnit]

const table = (
  id: string,
  title: string,
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<ReportCell>>,
  total: number
): ReportTable => ({ id, title, columns: columns.map(([id, label, unit]) => ({ id, label, unit })), rows, total })

const usageColumns: ReadonlyArray<Column> = [
  ["connections", "Connections", "count"],
  ["users", "Users", "count"],
  ["devices", "Devices", "count"],
  ["received", "Received", "bytes"],
  ["sent", "Sent", "bytes"],
  ["time", "Time connected", "seconds"]
]

interface UsageRow {
  readonly connections: number
  readonly users: number
  readonly devices: number
  readonly rxBytes: number
  readonly txBytes: number
  readonly seconds: number
}

const usageCells = (row: UsageRow) => [row.connections, row.users, row.devices, row.rxBytes, row.txBytes, row.seconds]

const qualityColumns: ReadonlyArray<Column> = [
  ["connections", "Connections", "count"],
  ["rtt-median", "Median round trip", "milliseconds"],
  ["rtt-p95", "Slowest 5 %", "milliseconds"],
  ["loss-median", "Median loss", "share"],
  ["loss-p95", "Worst 5 %", "share"]
]

interface QualityRow {
  readonly connections: number
  readonly rttMedian: number | null
  readonly rttP95: number | null
  readonly lossMedian: number | null
  readonly lossP95: number | null
}

const qualityCells = (row: QualityRow) => [row.connections, row.rttMedian, row.rttP95, row.lossMedian, row.lossP95]

const availabilityColumns: ReadonlyArray<Column> = [
  ["availability", "Availability", "share"],
  ["offline", "Offline", "seconds"],
  ["unknown", "Unknown", "seconds"],
  ["excluded", "Not counted", "seconds"]
]

type Availabilities = ReturnType<typeof AvailabilitySql.figures>

const availabilityCells = (row: Availabilities) => [row.share, row.down, row.unknown, row.excluded]

export const make = Effect.gen(function* () {
  const availability = yield* Availability
  const analytics = yield* AnalyticsSql.make
  const availabilities = yield* AvailabilitySql.make
  const verifications = yield* VerificationSql.make
  const statements = yield* ReportFiguresSql.make
  const connectionsPolicy = yield* ConnectionsPolicy
  const verificationPolicy = yield* VerificationPolicy
  const { flappingWindow } = yield* ServersPolicy
  const { settledAfter } = yield* ReportsPolicy

  /** One span as statements want it. */
  const rangeOf = ({ group, organizationId, parameters, period }: Asked, span: Span): ReportFiguresSql.Range => ({
    organizationId,
    path: group?.path ?? null,
    groups: group?.ids ?? null,
    from: span.from,
    to: span.to,
    step: period.step,
    timeZone: parameters.timeZone
  })

  const analyticsOf = (range: ReportFiguresSql.Range, by: AnalyticsDimension) => ({
    organizationId: range.organizationId,
    path: range.path,
    from: range.from,
    to: range.to,
    query: {
      from: range.from,
      to: range.to,
      timeZone: range.timeZone,
      step: range.step,
      by,
      serverId: null,
      userId: null,
      deviceId: null,
      platform: null
    }
  })

  /** What of a span is kept that long: whether all of it, and whether all since an instant. */
  const keptOf = Effect.fnUntraced(function* ({ from }: Span, kept: Duration.Duration) {
    const horizon = DateTime.subtractDuration(yield* DateTime.now, kept)
    const since = (at: DateTime.Utc) => DateTime.isGreaterThanOrEqualTo(DateTime.max(at, from), horizon)
    return { whole: since(from), since }
  })

  /** How long something is kept, as notes tell it. */
  const daysOf = (kept: Duration.Duration) => `${Math.floor(Duration.toDays(kept))} days`

  /** Time that has not come says nothing. */
  const past = Effect.fnUntraced(function* (range: ReportFiguresSql.Range) {
    const now = yield* DateTime.now
    return { ...range, to: DateTime.max(range.from, DateTime.min(range.to, now)) }
  })

  const usage = Effect.fnUntraced(function* (range: ReportFiguresSql.Range) {
    const kept = yield* keptOf(range, connectionsPolicy.usageHistory)
    const each = yield* keptOf(range, connectionsPolicy.history)
    const all = yield* analytics.steps(analyticsOf(range, "server"))
    const durations = each.whole ? yield* statements.durations(range) : { mean: null, longest: null }
    const total = all.find(({ at }) => at === null)
    const known = (value: number | undefined) => (kept.whole ? (value ?? 0) : null)
    const knownAt = (at: DateTime.Utc, value: number) => (kept.since(at) ? value : null)
    return {
      each: each.whole,
      kept: kept.whole,
      used: all,
      figures: {
        connections: known(total?.connections),
        users: known(total?.users),
        devices: known(total?.devices),
        received: known(total?.rxBytes),
        sent: known(total?.txBytes),
        time: known(total?.seconds),
        "mean-duration": durations.mean,
        "longest-duration": durations.longest
      },
      steps: all.flatMap(({ at, ...step }) =>
        at === null
          ? []
          : [
              {
                at,
                values: {
                  connections: knownAt(at, step.connections),
                  users: knownAt(at, step.users),
                  received: knownAt(at, step.rxBytes),
                  sent: knownAt(at, step.txBytes)
                }
              }
            ]
      )
    }
  })

  const performance = Effect.fnUntraced(function* (range: ReportFiguresSql.Range) {
    const each = yield* keptOf(range, connectionsPolicy.history)
    const quality = yield* statements.qualityTotals(range)
    const qualities = yield* statements.qualitySteps(range)
    const outcomes = yield* statements.outcomes(range)
    const moved = yield* analytics.moved(analyticsOf(range, "server"))
    const used = yield* keptOf(range, connectionsPolicy.usageHistory)
    const tallied = yield* keptOf(
      range,
      range.groups === null ? verificationPolicy.tallies : verificationPolicy.history
    )
    const asked = yield* keptOf(range, verificationPolicy.history)
    const verified = yield* statements.verifications(range)
    const latency = asked.whole ? yield* statements.verificationLatency(range) : { median: null, p95: null }
    const sum = <A>(rows: ReadonlyArray<A>, of: (row: A) => number) => rows.reduce((total, row) => total + of(row), 0)
    const perSecond = (bytes: number, seconds: number) => (seconds <= 0 ? null : bytes / seconds)
    const { to } = yield* past(range)
    return {
      each: each.whole,
      tallied: tallied.whole,
      asked: asked.whole,
      figures: {
        "rtt-median": each.whole ? quality.rttMedian : null,
        "rtt-p95": each.whole ? quality.rttP95 : null,
        "loss-median": each.whole ? quality.lossMedian : null,
        "loss-p95": each.whole ? quality.lossP95 : null,
        throughput: used.whole
          ? perSecond(
              sum(moved, ({ bytes }) => bytes),
              secondsOf({ from: range.from, to })
            )
          : null,
        success: each.whole
          ? share(
              sum(outcomes, ({ connected }) => connected),
              sum(outcomes, ({ expired, refused }) => expired + refused)
            )
          : null,
        verification: tallied.whole
          ? share(
              sum(verified, ({ passed }) => passed),
              sum(verified, ({ expired, failed }) => failed + expired)
            )
          : null,
        "verification-latency": latency.median,
        "verification-latency-p95": latency.p95
      },
      steps: qualities.map(({ at, ...step }, index) => {
        const use = moved[index]
        const outcome = outcomes[index]
        const verification = verified[index]
        // Of a step that is going on, what is past.
        const until = DateTime.min(qualities[index + 1]?.at ?? to, to)
        const length = secondsOf({ from: DateTime.max(at, range.from), to: until })
        const isKept = each.since(at)
        return {
          at,
          values: {
            "rtt-median": isKept ? step.rttMedian : null,
            "rtt-p95": isKept ? step.rttP95 : null,
            "loss-median": isKept ? step.lossMedian : null,
            throughput: use !== undefined && used.since(at) ? perSecond(use.bytes, length) : null,
            success:
              isKept && outcome !== undefined ? share(outcome.connected, outcome.expired + outcome.refused) : null,
            verification:
              tallied.since(at) && verification !== undefined
                ? share(verification.passed, verification.failed + verification.expired)
                : null
          }
        }
      })
    }
  })

  const incidentsOf = (range: ReportFiguresSql.Range, limit: number) =>
    availabilities.incidents({ ...range, limit, flappingSeconds: Duration.toSeconds(flappingWindow) })

  const health = Effect.fnUntraced(function* (asked: ReportFiguresSql.Range, limit: number) {
    const range = yield* past(asked)
    const steps = yield* availabilities.bySteps(range)
    const incidents = yield* incidentsOf(range, limit)
    const [longest] = incidents
    const guards = yield* statements.guards({ ...range, limit })
    const outages = yield* availabilities.outages(range)
    const sum = (of: (row: (typeof steps)[number]) => number) => steps.reduce((total, row) => total + of(row), 0)
    const clipped = outages.map(({ beganAt, endedAt }) =>
      secondsOf({ from: DateTime.max(beganAt, range.from), to: DateTime.min(endedAt, range.to) })
    )
    const [up, down] = [sum((row) => row.up), sum((row) => row.down)]
    return {
      incidents,
      guards,
      outages,
      figures: {
        availability: share(up, down),
        downtime: down,
        incidents: longest?.incidents ?? 0,
        "longest-incident": longest?.seconds ?? null,
        flaps: longest?.flaps ?? 0,
        guards: guards[0]?.total ?? 0,
        outages: outages.length,
        "outage-time": clipped.reduce((total, seconds) => total + seconds, 0)
      },
      steps: steps.map(({ at, down, falls, up }) => ({
        at,
        values: { availability: share(up, down), incidents: falls, downtime: down }
      }))
    }
  })

  const inventory = Effect.fnUntraced(function* (range: ReportFiguresSql.Range, isNow: boolean) {
    const statuses = isNow ? yield* statements.byStatus(range) : []
    const { joined, retired } = yield* statements.moves(range)
    const steps = yield* statements.moveSteps(range)
    const standing = statuses.filter(({ status }) => status !== "retired")
    const sum = (of: (row: (typeof statuses)[number]) => number) =>
      isNow ? standing.reduce((total, row) => total + of(row), 0) : null
    return {
      statuses,
      figures: {
        servers: sum((row) => row.servers),
        available: sum((row) => row.available),
        "connection-limit": sum((row) => row.limit),
        joined,
        retired
      },
      steps: steps.map(({ at, ...values }) => ({ at, values }))
    }
  })

  type UsageReading = Effect.Success<ReturnType<typeof usage>>
  type PerformanceReading = Effect.Success<ReturnType<typeof performance>>
  type HealthReading = Effect.Success<ReturnType<typeof health>>
  type InventoryReading = Effect.Success<ReturnType<typeof inventory>>

  const usageTables = Effect.fnUntraced(function* (asked: Asked, range: ReportFiguresSql.Range, read: UsageReading) {
    // Of half of a time they would say something untrue of all of it.
    if (!read.kept) return []
    const by = Effect.fnUntraced(function* (dimension: AnalyticsDimension, title: string, label: string) {
      const rows = yield* analytics.groups({ ...analyticsOf(range, dimension), limit: asked.rows })
      // Who uses nothing but what they are counted by is one.
      const columns = dimension === "user" ? usageColumns.filter(([id]) => id !== "users") : usageColumns
      return table(
        `by-${dimension}`,
        title,
        [["name", label, "text"], ...columns],
        rows.map((row) => [
          row.name,
          ...usageCells(row).filter((_, index) => dimension !== "user" || usageColumns[index]?.[0] !== "users")
        ]),
        rows[0]?.groups ?? 0
      )
    })
    const days = read.used.flatMap(({ at, ...step }) => (at === null ? [] : [[iso(at), ...usageCells(step)]]))
    const reasons = read.each ? yield* statements.endings({ ...range, limit: asked.rows }) : []
    return [
      yield* by("server", "By server", "Server"),
      yield* by("group", "By group", "Group"),
      ...(asked.namesUsers ? [yield* by("user", "By user", "User")] : []),
      yield* by("platform", "By platform", "Platform"),
      table(
        "by-time",
        range.step === "day" ? "By day" : "By hour",
        [["at", range.step === "day" ? "Day" : "Hour", "time"], ...usageColumns],
        days.slice(0, asked.rows),
        days.length
      ),
      ...(read.each
        ? [
            table(
              "end-reasons",
              "Why connections ended",
              [
                ["reason", "Reason", "text"],
                ["connections", "Connections", "count"]
              ],
              reasons.map(({ connections, reason }) => [capital(endReasonWords(reason) ?? ""), connections]),
              reasons[0]?.total ?? 0
            )
          ]
        : [])
    ]
  })

  const performanceTables = Effect.fnUntraced(function* (
    asked: Asked,
    range: ReportFiguresSql.Range,
    read: PerformanceReading
  ) {
    if (!read.each) return []
    const limit = asked.rows
    const servers = yield* statements.qualityByServer({ ...range, limit })
    const groups = yield* statements.qualityByGroup({ ...range, limit })
    const refusals = yield* statements.refusals({ ...range, limit })
    return [
      table(
        "by-server",
        "By server, the slowest first",
        [["name", "Server", "text"], ["group", "Group", "text"], ...qualityColumns],
        servers.map((row) => [row.name, row.group, ...qualityCells(row)]),
        servers[0]?.total ?? 0
      ),
      table(
        "by-group",
        "By group, the slowest first",
        [["group", "Group", "text"], ...qualityColumns],
        groups.map((row) => [row.group ?? "No group", ...qualityCells(row)]),
        groups[0]?.total ?? 0
      ),
      table(
        "refusals",
        "Why connections did not come to be",
        [
          ["reason", "Reason", "text"],
          ["connections", "Connections", "count"]
        ],
        refusals.map(({ connections, reason }) => [capital(endReasonWords(reason) ?? ""), connections]),
        refusals[0]?.total ?? 0
      )
    ]
  })

  const healthTables = Effect.fnUntraced(function* (asked: Asked, whole: ReportFiguresSql.Range, read: HealthReading) {
    const range = yield* past(whole)
    const limit = asked.rows
    const path = asked.group?.path
    const groups = (yield* availability.ofGroups(asked.organizationId, range)).filter((row) =>
      path === undefined ? true : row.path !== null && `${row.path}/`.startsWith(`${path}/`)
    )
    const servers = yield* availabilities.byServer({ ...range, limit })
    const { guards, incidents } = read
    const outages = read.outages.toReversed()
    const times: ReadonlyArray<Column> = [
      ["began", "Began", "time"],
      ["ended", "Ended", "time"]
    ]
    return [
      table(
        "by-group",
        "Availability by group",
        [["group", "Group", "text"], ["servers", "Servers", "count"], ...availabilityColumns],
        groups.slice(0, limit).map((row) => [row.path ?? "All servers", row.servers, ...availabilityCells(row)]),
        groups.length
      ),
      table(
        "by-server",
        "Availability by server, the longest offline first",
        [
          ["name", "Server", "text"],
          ["group", "Group", "text"],
          ...availabilityColumns,
          ["incidents", "Incidents", "count"]
        ],
        servers.map((row) => [row.name, row.group, ...availabilityCells(AvailabilitySql.figures(row)), row.falls]),
        servers[0]?.servers ?? 0
      ),
      table(
        "incidents",
        "Incidents, the longest first",
        [
          ["name", "Server", "text"],
          ["group", "Group", "text"],
          ...times,
          ["length", "Length", "seconds"],
          ["reason", "Reason", "text"]
        ],
        incidents.map((row) => [
          row.name,
          row.group,
          iso(row.beganAt),
          iso(row.endedAt),
          row.seconds,
          capital(reasonWords(row.reason) ?? "")
        ]),
        incidents[0]?.incidents ?? 0
      ),
      table(
        "guards",
        "When the fleet guard held",
        [...times, ["held", "Held", "count"], ["expected", "Of", "count"], ["cause", "In common", "text"]],
        guards.map((row) => [
          iso(row.beganAt),
          iso(row.endedAt),
          row.held,
          row.expected,
          capital([readable(row.cause), row.causeDetail].filter((part) => part !== null).join(": "))
        ]),
        guards[0]?.total ?? 0
      ),
      table(
        "outages",
        "When the broker was away",
        [...times, ["length", "Length", "seconds"]],
        outages
          .slice(0, limit)
          .map((row) => [
            iso(row.beganAt),
            iso(row.endedAt),
            secondsOf({ from: DateTime.max(row.beganAt, range.from), to: DateTime.min(row.endedAt, range.to) })
          ]),
        outages.length
      )
    ]
  })

  const inventoryTables = Effect.fnUntraced(function* (
    asked: Asked,
    range: ReportFiguresSql.Range,
    read: InventoryReading
  ) {
    const limited = { ...range, limit: asked.rows }
    const statuses = read.statuses.filter(({ status }) => status !== "retired")
    const total = statuses.reduce((sum, { servers }) => sum + servers, 0)
    const list = yield* statements.list(limited)
    const counted = (
      id: string,
      title: string,
      label: string,
      rows: ReadonlyArray<{ readonly name: string; readonly servers: number; readonly total: number }>
    ) =>
      table(
        id,
        title,
        [
          ["name", label, "text"],
          ["servers", "Servers", "count"],
          ["share", "Of all", "share"]
        ],
        rows.map(({ name, servers }) => [name, servers, share(servers, total - servers)]),
        rows[0]?.total ?? 0
      )
    return [
      counted(
        "by-status",
        "By status",
        "Status",
        statuses.map(({ servers, status }) => ({ name: capital(readable(status)), servers, total: statuses.length }))
      ),
      counted("by-version", "By version", "Version", yield* statements.versions(limited)),
      counted("by-group", "By group", "Group", yield* statements.groups(limited)),
      counted("by-capability", "By capability", "Capability", yield* statements.capabilities(limited)),
      counted("by-tag", "By tag", "Tag", yield* statements.tags(limited)),
      table(
        "servers",
        "Servers",
        [
          ["name", "Server", "text"],
          ["group", "Group", "text"],
          ["status", "Status", "text"],
          ["version", "Version", "text"],
          ["tags", "Tags", "text"],
          ["connection-limit", "May have", "count"],
          ["joined", "Joined", "time"]
        ],
        list.map((row) => [
          row.name,
          row.group,
          capital(readable(row.status)),
          row.version,
          row.tags.length === 0 ? null : row.tags.join(", "),
          row.connectionLimit,
          iso(row.registeredAt)
        ]),
        total
      )
    ]
  })

  /** What is left out because it is past its time, in words that are the same for the same time. */
  const usageNotes = ({ each, kept }: UsageReading): ReadonlyArray<string> => [
    ...(kept
      ? []
      : [
          `Usage is kept for ${daysOf(connectionsPolicy.usageHistory)}, and this time began before: figures of all of it, and tables, are left out.`
        ]),
    ...(each
      ? []
      : [
          `Connections are kept one by one for ${daysOf(connectionsPolicy.history)}, and this time began before: how long they lasted, and why they ended, are left out.`
        ])
  ]

  const performanceNotes = ({ asked, each, tallied }: PerformanceReading, range: ReportFiguresSql.Range) => [
    ...(each
      ? []
      : [
          `Connections are kept one by one for ${daysOf(connectionsPolicy.history)}, and this time began before: round trips, loss, how many came to be, and tables, are left out.`
        ]),
    ...(asked
      ? []
      : [
          `Verifications are kept one by one for ${daysOf(verificationPolicy.history)}, and this time began before: how long they took ${
            tallied ? "is" : range.groups === null ? "and how they ended are" : "and how those of a group ended are"
          } left out.`
        ])
  ]

  /** What is told of a span, and of the one before; what was read for figures is not read again for tables. */
  const told = Effect.fnUntraced(function* <R extends Reading>(
    asked: Asked,
    read: (range: ReportFiguresSql.Range, isNow: boolean) => Effect.Effect<R, Failure>,
    tablesOf: (
      asked: Asked,
      range: ReportFiguresSql.Range,
      read: R
    ) => Effect.Effect<ReadonlyArray<ReportTable>, Failure>,
    notesOf: (read: R, range: ReportFiguresSql.Range) => ReadonlyArray<string> = () => []
  ) {
    const { previous } = asked.period
    const range = rangeOf(asked, asked.period)
    const own = yield* read(range, true)
    const current: Reading = own
    const former: Reading | null = previous === null ? null : yield* read(rangeOf(asked, previous), false)
    return { current, former, tables: yield* tablesOf(asked, range, own), notes: notesOf(own, range) }
  })

  const toldOf = (asked: Asked) => {
    switch (asked.parameters.kind) {
      case "usage":
        return told(asked, usage, usageTables, usageNotes)
      case "performance":
        return told(asked, performance, performanceTables, performanceNotes)
      case "health":
        return told(asked, (range, isNow) => health(range, isNow ? asked.rows : 1), healthTables)
      case "inventory":
        return told(asked, inventory, inventoryTables)
    }
  }

  /** Whether a time is over, and all that came of it is told and counted. */
  const isComplete = Effect.fnUntraced(function* (to: DateTime.Utc) {
    const { at } = yield* analytics.completeUntil(undefined)
    const settled = DateTime.subtractDuration(yield* DateTime.now, settledAfter)
    return DateTime.isGreaterThanOrEqualTo(settled, to) && DateTime.isGreaterThanOrEqualTo(at, to)
  })

  /** The group of parameters, with the ids of all below it; fails where there is none. */
  const groupOf = Effect.fnUntraced(function* (organizationId: OrganizationId, id: GroupId) {
    const { path } = yield* statements.group({ organizationId, id })
    const below = yield* verifications.groupsBelow({ organizationId, id })
    return { path, ids: below.map(({ id }) => id) }
  })

  /** In a transaction that `prepare` began, so that all of it is of one moment. */
  const data = Effect.fn("ReportFigures.data")(function* (asked: Asked) {
    const { parameters, period } = asked
    const { figures, series } = definitions[parameters.kind]
    const now = yield* DateTime.now
    const { current, former, notes, tables } = yield* toldOf(asked)
    return {
      kind: parameters.kind,
      title: titles[parameters.kind],
      group: asked.group?.path ?? null,
      from: period.from,
      to: period.to,
      previous: period.previous,
      timeZone: parameters.timeZone,
      step: period.step,
      complete: yield* isComplete(period.to),
      notes,
      figures: figures.map(([id, label, unit, better]) => ({
        id,
        label,
        unit,
        better,
        value: current.figures[id] ?? null,
        previous: former?.figures[id] ?? null
      })),
      series: series.map(([id, label, unit]) => ({
        id,
        label,
        unit,
        points: current.steps.map(({ at, values }, index) => ({
          at,
          value: DateTime.isGreaterThan(at, now) ? null : (values[id] ?? null),
          previous: former?.steps[index]?.values[id] ?? null
        }))
      })),
      tables
    } satisfies ReportData
  })

  return { prepare: analytics.prepareReport, data, groupOf, isComplete }
})
