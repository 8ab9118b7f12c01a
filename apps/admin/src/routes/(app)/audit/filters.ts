/** What the audit log shows, as it stands in the URL. */
import { ActorKind, Outcome, SubjectKind } from "@broker/domain/AuditEntry"
import { Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import type { RouterInputs } from "#lib/rpc.ts"
import { day, hour } from "#lib/time.ts"
import { limitOf, listed, one, searchOf } from "#lib/views.ts"

const presets = [
  { value: "1h", label: "1 h", length: hour },
  { value: "24h", label: "24 h", length: day },
  { value: "7d", label: "7 d", length: 7 * day },
  { value: "30d", label: "30 d", length: 30 * day }
] as const

type Preset = (typeof presets)[number]["value"]
export type Range = Preset | "all" | "custom"

export const ranges: ReadonlyArray<{ readonly value: Range; readonly label: string }> = [
  ...presets,
  { value: "all", label: "All" },
  { value: "custom", label: "Custom" }
]

export interface AuditView {
  readonly text: string
  /** `noun:verb`, or `noun:`; empty for all. */
  readonly action: string
  readonly actorKinds: ReadonlyArray<ActorKind>
  readonly actorId: string | null
  readonly subjectKind: SubjectKind | null
  readonly subjectId: string | null
  readonly outcome: typeof Outcome.Type | null
  readonly range: Range
  /** The ends of a custom range; null where it is open. */
  readonly from: number | null
  readonly to: number | null
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
}

export const defaults: AuditView = {
  text: "",
  action: "",
  actorKinds: [],
  actorId: null,
  subjectKind: null,
  subjectId: null,
  outcome: null,
  range: "all",
  from: null,
  to: null,
  limit: 50,
  cursor: null
}

const isActorKind = Schema.is(ActorKind)
const isSubjectKind = Schema.is(SubjectKind)
const isOutcome = Schema.is(Outcome)
const isUuid = Schema.is(Uuid)

const momentOf = (value: string | null) => {
  const at = value === null ? Number.NaN : Date.parse(value)
  return Number.isNaN(at) ? null : at
}

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): AuditView => {
  const from = momentOf(params.get("from"))
  const to = momentOf(params.get("to"))
  const isCustom = from !== null || to !== null
  const action = params.get("action") ?? ""
  return {
    text: (params.get("q") ?? "").slice(0, 128),
    action: /^[a-z-]+:[a-z-]*$/.test(action) ? action.slice(0, 64) : "",
    actorKinds: listed(params.get("by")).filter(isActorKind),
    actorId: one(isUuid, params.get("actor")),
    subjectKind: one(isSubjectKind, params.get("kind")),
    subjectId: one(isUuid, params.get("subject")),
    outcome: one(isOutcome, params.get("outcome")),
    range: isCustom ? "custom" : (presets.find(({ value }) => value === params.get("range"))?.value ?? defaults.range),
    from,
    to,
    limit: limitOf(params.get("limit"), defaults.limit),
    cursor: params.get("after")
  }
}

/** The number of the entry that is looked into. Apart from the view: looking into one asks for no other list. */
export const entryOf = (params: Pick<URLSearchParams, "get">) => {
  const seq = Number(params.get("entry") ?? Number.NaN)
  return Number.isSafeInteger(seq) && seq > 0 ? seq : null
}

const minutes = (at: number | null) => (at === null ? "" : `${new Date(at).toISOString().slice(0, 16)}Z`)

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: AuditView, entry: number | null = null) =>
  searchOf(
    [
      ["q", view.text],
      ["action", view.action],
      ["by", view.actorKinds.join(",")],
      ["actor", view.actorId ?? ""],
      ["kind", view.subjectKind ?? ""],
      ["subject", view.subjectId ?? ""],
      ["outcome", view.outcome ?? ""],
      ["range", view.range === defaults.range || view.range === "custom" ? "" : view.range],
      ["from", view.range === "custom" ? minutes(view.from) : ""],
      ["to", view.range === "custom" ? minutes(view.to) : ""],
      ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
      ["after", view.cursor ?? ""],
      ["entry", entry === null ? "" : String(entry)]
    ],
    [",", ":"]
  )

export const unfiltered = {
  text: "",
  action: "",
  actorKinds: [],
  actorId: null,
  subjectKind: null,
  subjectId: null,
  outcome: null,
  range: "all",
  from: null,
  to: null
} satisfies Partial<AuditView>

export const isFiltered = (view: AuditView) => viewSearch({ ...view, limit: defaults.limit, cursor: null }) !== ""

const spanOf = (view: AuditView, now: number) => {
  if (view.range === "custom") return { from: view.from, to: view.to }
  const length = presets.find(({ value }) => value === view.range)?.length
  return { from: length === undefined ? null : now - length, to: null }
}

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString())

type Query = RouterInputs["audit"]["list"]

const toFilter = (view: AuditView, now: number): Omit<Query, "limit" | "cursor"> => {
  const { from, to } = spanOf(view, now)
  return {
    from: iso(from),
    to: iso(to),
    text: view.text.trim(),
    action: view.action === "" ? null : view.action,
    actorKinds: view.actorKinds,
    actorId: view.actorId,
    subjectKind: view.subjectKind,
    subjectId: view.subjectId,
    outcome: view.outcome
  }
}

export const toQuery = (view: AuditView, now: number): Query => ({
  ...toFilter(view, now),
  limit: view.limit,
  cursor: view.cursor
})

/** Where the whole of what the filters match is downloaded. */
export const exportHref = (view: AuditView, format: "csv" | "json", now: number) => {
  const params = new URLSearchParams({ format })
  for (const [key, value] of Object.entries(toFilter(view, now))) {
    for (const each of [value].flat()) if (each !== null && each !== "") params.append(key, String(each))
  }
  return `/rpc/audit/export?${params}`
}
