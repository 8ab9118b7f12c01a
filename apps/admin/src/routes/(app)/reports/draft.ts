/** A saved report as its form has it, and as it is sent. */
import {
  type ReportFormat,
  type ReportKind,
  type ReportParameters,
  ReportRange,
  type ReportRequest
} from "@broker/domain/Report"
import type { GroupId } from "@broker/domain/Server"
import { Schema } from "effect"
import type { Schedule } from "./schedule.ts"
import { presets, rangeWords } from "./view.ts"

export interface Draft {
  readonly name: string
  readonly kind: ReportKind
  /** One of the choices of ranges, by its place. */
  readonly range: string
  readonly timeZone: string
  readonly group: GroupId | "none" | null
  readonly compare: boolean
  readonly formats: ReadonlyArray<ReportFormat>
  readonly schedule: Schedule | null
  readonly emails: string
  readonly webhook: boolean
}

const encodeRange = Schema.encodeSync(ReportRange)
const keyOf = (range: ReportRange) => JSON.stringify(encodeRange(range))

/** The ranges by name, and the one that stands there, where it is none of them. */
export const rangeChoices = ({ range, timeZone }: Pick<ReportParameters, "range" | "timeZone">) => {
  const usual = presets.map(({ range, label }) => ({
    key: keyOf(range),
    range,
    label: range.kind === "days" ? `The ${range.days} days before` : label
  }))
  if (usual.some(({ key }) => key === keyOf(range))) return usual
  const always = range.kind === "between" ? ", always these days" : ""
  return [...usual, { key: keyOf(range), range, label: `${rangeWords(range, timeZone)}${always}` }]
}

export const draftOf = (
  parameters: ReportParameters,
  report?: Pick<ReportRequest, "emails" | "formats" | "name" | "schedule" | "webhook">
): Draft => ({
  name: report?.name ?? "",
  kind: parameters.kind,
  range: keyOf(parameters.range),
  timeZone: parameters.timeZone,
  group: parameters.groupId ?? "none",
  compare: parameters.compare,
  formats: report?.formats ?? ["pdf"],
  schedule: report?.schedule ?? null,
  emails: report?.emails.join("\n") ?? "",
  webhook: report?.webhook ?? false
})

/** Addresses as people type them: lines, commas, semicolons. */
export const addresses = (text: string) => [
  ...new Set(
    text
      .split(/[\s,;]+/)
      .map((address) => address.trim())
      .filter((address) => address !== "")
  )
]

/** As it goes over the wire; its own schema says what is wrong with it. */
export const requestOf = (draft: Draft) => ({
  name: draft.name.trim(),
  parameters: {
    kind: draft.kind,
    range: JSON.parse(draft.range) as unknown,
    timeZone: draft.timeZone,
    groupId: draft.group === "none" ? null : draft.group,
    compare: draft.compare
  },
  formats: draft.formats,
  schedule: draft.schedule,
  emails: addresses(draft.emails),
  webhook: draft.webhook
})
