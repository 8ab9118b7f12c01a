/** What the list of registration keys shows, as it stands in the URL. */
import { RegistrationKeyId, RegistrationKeyState } from "@broker/domain/RegistrationKey"
import { Schema } from "effect"

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
  const key = params.get("key")
  return {
    states: [...new Set((params.get("state") ?? "").split(",").filter(isState))],
    cursor: params.get("after"),
    open: isId(key) ? key : null,
    creating: params.get("create") === "1"
  }
}

export const viewSearch = ({ creating, cursor, open, states }: KeysView) => {
  const parts: Array<readonly [string, string]> = [
    ["state", states.join(",")],
    ["after", cursor === null ? "" : encodeURIComponent(cursor)],
    ["key", open ?? ""],
    ["create", creating ? "1" : ""]
  ]
  const search = parts.flatMap(([key, value]) => (value === "" ? [] : [`${key}=${value}`])).join("&")
  return search === "" ? "" : `?${search}`
}
