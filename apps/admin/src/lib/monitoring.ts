/** How the broker does, and how the fleet did, as it arrives. */
import {
  FleetGuard,
  type GuardCause as GuardCauseSchema,
  type GuardEnd as GuardEndSchema
} from "@broker/domain/FleetGuard"
import { BrokerState, FleetAt, FleetMoment, type HeatCell, JobState } from "@broker/domain/Monitoring"
import type { ServerId, ServerStatus } from "@broker/domain/Server"
import { print, type Term } from "@broker/domain/ServerSearch"
import type { VerifiedServer } from "@broker/domain/Verification"
import { Schema } from "effect"
import { count, plural } from "./numbers.ts"
import type { Point } from "./rates.ts"
import { statuses, statusOrder, type Tone } from "./status.ts"
import { day, hour, maybeMillis, minute } from "./time.ts"
import { searchOf } from "./views.ts"

export const decodeBrokerState = Schema.decodeUnknownSync(BrokerState)
export const decodeFleetAt = Schema.decodeUnknownSync(FleetAt)
export const decodeTrend = Schema.decodeUnknownSync(Schema.Array(FleetMoment))
export const decodeJobs = Schema.decodeUnknownSync(Schema.Array(JobState))
export const decodeGuard = Schema.decodeUnknownSync(FleetGuard)
export const decodeGuards = Schema.decodeUnknownSync(Schema.Array(FleetGuard))

export type FleetView = typeof FleetAt.Type
export type MomentView = typeof FleetMoment.Type
export type CellView = typeof HeatCell.Type
export type JobView = typeof JobState.Type
export type GuardView = typeof FleetGuard.Type

/** What the page of the broker depends on, and the overview's own questions. */
export const brokerKey = "monitoring:broker"
export const overviewKey = "monitoring:overview"

/** How far back the fleet is known. */
export const reach = 90 * day

const notRetired: Term = { negated: true, condition: { _tag: "Status", statuses: ["retired"] } }

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
  "metrics-rollup": "Roll up metrics by the minute",
  "metrics-hours": "Roll up metrics by the hour",
  "bulk-acts": "Carry out bulk actions",
  prune: "Delete what is past its time"
}

const ends: Readonly<Record<typeof GuardEndSchema.Type, string>> = {
  recovered: "All were heard again",
  steady: "The rest was taken for gone",
  confirmed: "Said to be gone",
  expired: "Held for as long as it may"
}

/** How a guard ended; null while it holds. */
export const endWords = ({ end, endedBy }: Pick<GuardView, "end" | "endedBy">) =>
  end === null ? null : `${ends[end]}${endedBy === null ? "" : ` by ${endedBy}`}`

/** The servers that a cell counts: in this group and not below, and not retired. */
export const cellSearch = ({ path }: Pick<CellView, "path">, cells: ReadonlyArray<Pick<CellView, "path">>) => {
  const below = path === null ? "" : `${path}/`
  const children = new Set(
    path === null
      ? []
      : cells.flatMap((cell) =>
          cell.path?.startsWith(below) ? [below + (cell.path.slice(below.length).split("/")[0] ?? "")] : []
        )
  )
  const search = print([
    { negated: path === null, condition: { _tag: "Group", path } },
    ...[...children].map((child) => ({ negated: true, condition: { _tag: "Group" as const, path: child } })),
    notRetired
  ])
  // Of a group with very many below, there is no search: it would be too long.
  return search.length <= 512 && children.size < 30 ? search : null
}

/** The servers that are counted for a version. */
export const versionSearch = (version: string) =>
  print([{ negated: false, condition: { _tag: "Version", compare: "=", version } }, notRetired])

/** What a job does, and its own name where it is not known here. */
export const jobTitle = (name: string) => jobTitles[name] ?? name

export type JobStanding = "failed" | "overdue" | "lost" | "done"

/** Where a job stands, the gravest word first. */
export const jobStanding = ({ lastOutcome, overdue }: Pick<JobView, "lastOutcome" | "overdue">): JobStanding =>
  lastOutcome === "failed" ? "failed" : overdue ? "overdue" : (lastOutcome ?? "done")

/** What needs a person and is no server. */
export interface Trouble {
  readonly key: string
  readonly word: string
  readonly tone: Tone
  readonly name: string
  readonly why: string
  readonly at: number | null
  readonly href: string
  /** What the link leads to. */
  readonly see: string
}

/** Jobs that failed or are overdue, the failed ones first. */
export const jobTroubles = (jobs: ReadonlyArray<JobView>): ReadonlyArray<Trouble> =>
  (["failed", "overdue"] as const).flatMap((standing) =>
    jobs
      .filter((job) => jobStanding(job) === standing)
      .map((job) => ({
        key: `job ${job.name}`,
        word: standing === "failed" ? "Failed" : "Overdue",
        tone: standing === "failed" ? "bad" : "warn",
        name: `Job: ${jobTitle(job.name)}`,
        why:
          standing === "failed"
            ? (job.lastProblem ?? "Its last run failed. It runs again by itself.")
            : "It should have run, and no node runs it.",
        at: maybeMillis(standing === "failed" ? job.lastFailedAt : job.nextRunAt),
        href: "/broker",
        see: "See jobs"
      }))
  )

/** Servers whose last verification failed, but for those that are listed themselves. */
export const verificationTroubles = (
  { hasMore, servers }: { readonly hasMore: boolean; readonly servers: ReadonlyArray<VerifiedServer> },
  listed: ReadonlySet<ServerId>
): ReadonlyArray<Trouble> => {
  const others = servers.filter(({ serverId }) => !listed.has(serverId))
  const [latest] = others
  if (latest === undefined) return []
  const isOne = others.length === 1 && !hasMore
  return [
    {
      key: "verification",
      word: "Failed",
      tone: "bad",
      name: isOne ? `Verification of ${latest.name}` : "Verification",
      why: isOne
        ? (latest.reason ?? "It answered its last challenge wrongly.")
        : `${hasMore ? `More than ${count(others.length)}` : count(others.length)} servers answered their last challenge wrongly.`,
      at: maybeMillis(latest.last?.at ?? null),
      href: "/verification?list=failed",
      see: "See failed"
    }
  ]
}

/** The instant in the URL; null is now, as is what makes no sense or lies ahead. Before the reach, it is its begin. */
export const parseAt = (text: string | null, now: number): number | null => {
  if (text === null) return null
  const at = Date.parse(text)
  return Number.isFinite(at) && at < now ? Math.max(at, now - reach) : null
}

/** How far the slider and the charts reach back, and in which steps it goes. */
export const timeSpans = {
  "24h": { length: day, step: 5 * minute },
  "7d": { length: 7 * day, step: 30 * minute },
  "30d": { length: 30 * day, step: 2 * hour },
  "90d": { length: reach, step: 6 * hour }
} as const
export type TimeSpan = keyof typeof timeSpans

const isSpan = (text: string): text is TimeSpan => Object.hasOwn(timeSpans, text)

export const parseSpan = (text: string | null): TimeSpan => (text !== null && isSpan(text) ? text : "24h")

/** Whole minutes read well in a link, and the slider has no need of more. */
export const overviewHref = (at: number | null, span: TimeSpan) =>
  `/${searchOf(
    [
      ["at", at === null ? "" : new Date(Math.floor(at / minute) * minute).toISOString().replace(":00.000Z", "Z")],
      ["span", span === "24h" ? "" : span]
    ],
    [",", ":"]
  )}`
