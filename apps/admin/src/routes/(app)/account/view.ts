/** What the page of one's own account shows, as it stands in the URL. */
import { searchOf } from "#lib/views.ts"

export const tabs = [
  { value: "sign-in", label: "Sign-in" },
  { value: "sessions", label: "Sessions" },
  { value: "api-tokens", label: "API tokens" },
  { value: "appearance", label: "Appearance" }
] as const

export type Tab = (typeof tabs)[number]["value"]

export interface AccountView {
  readonly tab: Tab
  /** Whether the form for a new API token is open. */
  readonly creating: boolean
  /** The API token whose details are open. */
  readonly open: string | null
}

export const tabOf = (value: string | null): Tab => tabs.find((tab) => tab.value === value)?.value ?? "sign-in"

export const parseView = (params: Pick<URLSearchParams, "get">): AccountView => ({
  tab: tabOf(params.get("tab")),
  creating: params.get("create") === "1",
  open: params.get("open")
})

export const viewSearch = ({ creating, open, tab }: AccountView) => {
  const isTokens = tab === "api-tokens"
  return searchOf([
    ["tab", tab === "sign-in" ? "" : tab],
    ["create", isTokens && creating ? "1" : ""],
    ["open", isTokens ? (open ?? "") : ""]
  ])
}
