/** What the audit log shows, as it stands in the URL. */
import { ActorKind, Outcome, SubjectKind } from "@broker/domain/AuditEntry"
import { Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { anyTime, parseRange, type Ranged, rangeEnds, rangeSearch } from "#lib/list-range.ts"
import type { RouterInputs } from "#lib/rpc.ts"
import { limitOf, listed, one, searchOf } from "#lib/views.ts"

export interface AuditView extends Ranged {
  readonly text: string
  /** `noun:verb`, or `noun:`; empty for all. */
  readonly action: string
  readonly actorKinds: ReadonlyArray<ActorKind>
  readonly actorId: string | null
  readonly subjectKind: SubjectKind | null
  readonly subjectId: string | null
  readonly outcome: typeof Outcome.Type | null
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
  ...anyTime,
  limit: 50,
  cursor: null
}

const isActorKind = Schema.is(ActorKind)
const isSubjectKind = Schema.is(SubjectKind)
const isOutcome = Schema.is(Outcome)
const isUuid = Schema.is(Uuid)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): AuditView => {
  const action = params.get("action") ?? ""
  return {
    text: (params.get("q") ?? "").slice(0, 128),
    action: /^[a-z-]+:[a-z-]*$/.test(action) ? action.slice(0, 64) : "",
    actorKinds: listed(params.get("by")).filter(isActorKind),
    actorId: one(isUuid, params.get("actor")),
    subjectKind: one(isSubjectKind, params.get("kind")),
    subjectId: one(isUuid, params.get("subject")),
    outcome: one(isOutcome, params.get("outcome")),
    ...parseRange(params),
    limit: limitOf(params.get("limit"), defaults.limit),
    cursor: params.get("after")
  }
}

/** The number of the entry that is looked into. Apart from the view: looking into one asks for no other list. */
export const entryOf = (params: Pick<URLSearchParams, "get">) => {
  const seq = Number(params.get("entry") ?? Number.NaN)
  return Number.isSafeInteger(seq) && seq > 0 ? seq : null
}

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
      ...rangeSearch(view),
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
  ...anyTime
} satisfies Partial<AuditView>

export const isFiltered = (view: AuditView) => viewSearch({ ...view, limit: defaults.limit, cursor: null }) !== ""

type Query = RouterInputs["audit"]["list"]

const toFilter = (view: AuditView, now: number): Omit<Query, "limit" | "cursor"> => ({
  ...rangeEnds(view, now),
  text: view.text.trim(),
  action: view.action === "" ? null : view.action,
  actorKinds: view.actorKinds,
  actorId: view.actorId,
  subjectKind: view.subjectKind,
  subjectId: view.subjectId,
  outcome: view.outcome
})

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
