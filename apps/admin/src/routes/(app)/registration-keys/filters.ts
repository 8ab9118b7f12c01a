/** What the list of registration keys shows, as it stands in the URL. */
import { RegistrationKeyId, RegistrationKeyState } from "@broker/domain/RegistrationKey"
import { Schema } from "effect"
import { listed, one, searchOf } from "#lib/views.ts"

export interface KeysView {
  readonly states: ReadonlyArray<RegistrationKeyState>
  readonly cursor: string | null
  /** The key whose details are open. */
  readonly open: RegistrationKeyId | null
  readonly creating: boolean
}

export const pageSize = 50

const isState = Schema.is(RegistrationKeyState)
const isId = Schema.is(RegistrationKeyId)

export const parseView = (params: Pick<URLSearchParams, "get">): KeysView => {
  return {
    states: listed(params.get("state")).filter(isState),
    cursor: params.get("after"),
    open: one(isId, params.get("key")),
    creating: params.get("create") === "1"
  }
}

export const viewSearch = ({ creating, cursor, open, states }: KeysView) =>
  searchOf([
    ["state", states.join(",")],
    ["after", cursor ?? ""],
    ["key", open ?? ""],
    ["create", creating ? "1" : ""]
  ])
