/** How the broker does, and how the fleet did, as it arrives. */
import { FleetGuard, type GuardCause as GuardCauseSchema } from "@broker/domain/FleetGuard"
import { BrokerState, FleetAt, FleetMoment, type HeatCell, type JobState } from "@broker/domain/Monitoring"
import type { ServerStatus } from "@broker/domain/Server"
import { Schema } from "effect"
import { count, plural } from "./numbers.ts"
import type { Point } from "./rates.ts"
import { statuses, statusOrder } from "./status.ts"
import { day, hour, minute } from "./time.ts"
import { searchOf } from "./views.ts"

export const decodeBrokerState = Schema.decodeUnknownSync(BrokerState)
export const decodeFleetAt = Schema.decodeUnknownSync(FleetAt)
export const decodeTrend = Schema.decodeUnknownSync(Schema.Array(FleetMoment))
export const decodeGuard = Schema.decodeUnknownSync(Schema.NullOr(FleetGuard))

export type FleetView = typeof FleetAt.Type
export type MomentView = typeof FleetMoment.Type
export type CellView = typeof HeatCell.Type
export type JobView = typeof JobState.Type
export type GuardView = typeof FleetGuard.Type

/** What the page of the broker depends on, and the overview's own questions. */
export const brokerKey = "monitoring:broker"
export const overviewKey = "monitoring:overview"

/** How far back the time slider goes. */
export const reach = 90 * day

/** One point a minute; where more than a few are missing, the line breaks. */
export const series = (
  moments: ReadonlyArray<MomentView>,
  of: (moment: MomentView) => number,
  step: number
): ReadonlyArray<Point> => {
  const drawn: Array<Point> = []
  let last: number | undefined
  for (const moment of moments) {
    const at = moment.at.epochMilliseconds
    if (last !== undefined && at - last > 3 * step) drawn.push({ at: last + 1, value: null })
    drawn.push({ at, value: of(moment) })
    last = at
  }
  return drawn
}

const inService: ReadonlyArray<ServerStatus> = ["online", "degraded", "draining"]

export const upOf = (counts: Readonly<Record<ServerStatus, number>>) =>
  inService.reduce((sum, status) => sum + counts[status], 0)

/** The statuses that a cell is judged by, the gravest first. */
const gravity: ReadonlyArray<ServerStatus> = ["offline", "suspended", "unknown", "degraded"]

/** What of a group is worst, and how much of it: what its cell shows. */
export const worstOf = ({ counts }: Pick<CellView, "counts">): ServerStatus =>
  gravity.find((status) => counts[status] > 0) ??
  statusOrder.find((status) => status !== "retired" && counts[status] > 0) ??
  "online"

/** A cell in words: "eu/west: 12 of 14 up, 2 offline". */
export const cellWords = (cell: CellView) => {
  const rest = statusOrder
    .filter((status) => status !== "online" && status !== "retired" && cell.counts[status] > 0)
    .map((status) => `${count(cell.counts[status])} ${statuses[status].word.toLowerCase()}`)
  return `${cell.path ?? "No group"}: ${[`${count(upOf(cell.counts))} of ${count(cell.total)} up`, ...rest].join(", ")}`
}

const causes: Readonly<Record<typeof GuardCauseSchema.Type, (detail: string | null) => string>> = {
  broker: () => "The broker itself could not hear them",
  network: (detail) => (detail === null ? "They share a network" : `They share the network ${detail}`),
  group: (detail) => (detail === null ? "They share a group" : `They share the group ${detail}`),
  version: (detail) => (detail === null ? "They share a version" : `They share the version ${detail}`),
  unclear: () => "They have nothing in common that the broker knows of"
}

export const causeWords = ({ cause, causeDetail }: Pick<GuardView, "cause" | "causeDetail">) =>
  causes[cause](causeDetail)

/** What "Really gone" does, in numbers. */
export const goneWords = ({ held }: Pick<GuardView, "held">) =>
  `${plural(held, "server")} that ${held === 1 ? "is" : "are"} held as unknown ${held === 1 ? "becomes" : "become"} offline now.`

const jobTitles: Readonly<Record<string, string>> = {
  "servers-sweep": "Notice silent servers",
  "challenges-renew": "Renew challenges",
  "connections-sweep": "Settle connections",
  "connection-usage": "Roll up connections",
  "signing-keys": "Renew signing keys",
  "audit-checkpoints": "Sign the audit log",
  "audit-retention": "Delete old audit entries",
  "fleet-moments": "Note how the fleet does",
  "capability-checks": "Check capabilities",
  "metrics-partitions": "Make room for metrics",
  "metrics-rollup": "Roll up metrics",
  prune: "Delete what is past its time"
}

/** What a job does, and its own name where it is not known here. */
export const jobTitle = (name: string) => jobTitles[name] ?? name

export type JobStanding = "failed" | "overdue" | "lost" | "done"

/** Where a job stands, the gravest word first. */
export const jobStanding = ({ lastOutcome, overdue }: Pick<JobView, "lastOutcome" | "overdue">): JobStanding =>
  lastOutcome === "failed" ? "failed" : overdue ? "overdue" : (lastOutcome ?? "done")

/** The instant in the URL; null is now, as is what makes no sense or lies ahead. */
export const parseAt = (text: string | null, now: number): number | null => {
  if (text === null) return null
  const at = Date.parse(text)
  return Number.isFinite(at) && at > 0 && at < now ? at : null
}

/** How far the slider and the charts reach back, and in which steps it goes. */
export const timeSpans = {
  "24h": { length: day, step: 5 * minute },
  "7d": { length: 7 * day, step: 30 * minute },
  "30d": { length: 30 * day, step: 2 * hour }
} as const
export type TimeSpan = keyof typeof timeSpans

export const parseSpan = (text: string | null): TimeSpan => (text === "7d" || text === "30d" ? text : "24h")

/** Whole minutes read well in a link, and the slider has no need of more. */
export const overviewHref = (at: number | null, span: TimeSpan) =>
  `/${searchOf(
    [
      ["at", at === null ? "" : new Date(Math.floor(at / minute) * minute).toISOString().replace(":00.000Z", "Z")],
      ["span", span === "24h" ? "" : span]
    ],
    [",", ":"]
  )}`
