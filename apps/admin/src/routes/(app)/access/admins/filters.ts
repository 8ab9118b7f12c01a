/** What the list of admins shows, as it stands in the URL. There are few: they are filtered here. */
import { AdminState, type ListedAdmin } from "@broker/domain/Admin"
import { Schema } from "effect"
import { hasFactor } from "#lib/access.ts"
import { listed, searchOf } from "#lib/views.ts"

export interface AdminsView {
  readonly text: string
  readonly states: ReadonlyArray<AdminState>
  /** A role by its id; empty for all. */
  readonly role: string
  /** Only those with a second factor, or without; null for both. */
  readonly factor: boolean | null
  readonly inviting: boolean
}

const isState = Schema.is(AdminState)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): AdminsView => {
  const factor = params.get("factor")
  return {
    text: (params.get("q") ?? "").slice(0, 128),
    states: listed(params.get("state")).filter(isState),
    role: (params.get("role") ?? "").slice(0, 64),
    factor: factor === "yes" ? true : factor === "no" ? false : null,
    inviting: params.get("invite") === "1"
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: AdminsView) =>
  searchOf([
    ["q", view.text],
    ["state", view.states.join(",")],
    ["role", view.role],
    ["factor", view.factor === null ? "" : view.factor ? "yes" : "no"],
    ["invite", view.inviting ? "1" : ""]
  ])

export const unfiltered = { text: "", states: [], role: "", factor: null } satisfies Partial<AdminsView>

export const isFiltered = ({ factor, role, states, text }: AdminsView) =>
  text !== "" || states.length > 0 || role !== "" || factor !== null

export const filtered = (admins: ReadonlyArray<ListedAdmin>, { factor, role, states, text }: AdminsView) => {
  const wanted = text.trim().toLowerCase()
  return admins.filter(
    (admin) =>
      (wanted === "" || admin.name.toLowerCase().includes(wanted) || admin.id === wanted) &&
      (states.length === 0 || states.includes(admin.state)) &&
      (role === "" || admin.role === role) &&
      (factor === null || hasFactor(admin) === factor)
  )
}
