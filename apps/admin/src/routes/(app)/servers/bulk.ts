/** What can be done to many servers at once, as the dialog asks for it. */
import { ServerId } from "@broker/domain/Server"
import type { BulkRequestInput } from "#lib/bulk.svelte.ts"
import { type ServersView, toQuery } from "./filters.ts"

export type BulkKind =
  | "tag"
  | "label"
  | "move"
  | "drain"
  | "serve"
  | "maintain"
  | "limit"
  | "verify"
  | "approve"
  | "suspend"
  | "retire"

export type ActionInput = BulkRequestInput["action"]
export type SelectionInput = BulkRequestInput["selection"]

/** So many can be ticked one by one. */
export const maxTicked = 5_000

/** Those that are ticked, also where their rows are gone; or whatever the list finds. */
export const selectionOf = (
  selecting: { readonly everything: boolean; readonly ids: ReadonlyArray<string> },
  view: ServersView
): SelectionInput =>
  selecting.everything
    ? { _tag: "Found", query: toQuery(view) }
    : { _tag: "Ticked", ids: selecting.ids.map((id) => ServerId.make(id)) }

interface KindWords {
  readonly title: string
  readonly verb: string
  /** Said before anything is counted. */
  readonly effect: string
  readonly dangerous: boolean
}

export const kinds: Record<BulkKind, KindWords> = {
  tag: {
    title: "Tag",
    verb: "Tag",
    effect: "Tags that servers give themselves stay: only those given by admins are changed.",
    dangerous: false
  },
  label: {
    title: "Label",
    verb: "Label",
    effect: "Labels that servers give themselves stay: only those given by admins are changed.",
    dangerous: false
  },
  move: {
    title: "Move",
    verb: "Move",
    effect: "What the group says of heartbeats, verification and limits holds for them from then on.",
    dangerous: false
  },
  drain: {
    title: "Drain",
    verb: "Drain",
    effect: "They keep their connections and take no new ones.",
    dangerous: false
  },
  serve: { title: "Serve with", verb: "Serve with", effect: "They take new connections again.", dangerous: false },
  maintain: {
    title: "Start maintenance on",
    verb: "Start maintenance on",
    effect: "They take no new connections, and what is down is not held against them.",
    dangerous: false
  },
  limit: {
    title: "Limit connections of",
    verb: "Limit",
    effect: "A lower limit ends no connection; 0 takes no new ones.",
    dangerous: false
  },
  verify: {
    title: "Verify",
    verb: "Verify",
    effect: "Each is asked to prove its key with its next heartbeat.",
    dangerous: false
  },
  approve: {
    title: "Approve",
    verb: "Approve",
    effect: "Those that are pending or suspended are let in.",
    dangerous: false
  },
  suspend: {
    title: "Suspend",
    verb: "Suspend",
    effect: "They are shut out at once, until an admin approves them again.",
    dangerous: true
  },
  retire: {
    title: "Retire",
    verb: "Retire",
    effect: "This cannot be undone: a retired server stays retired, and its key pair can never register again.",
    dangerous: true
  }
}

/** `site=fra, tier=1`, where a value may be empty: `spare=`. Null where a part has no equals sign or no sound key. */
export const labelsOf = (text: string): Readonly<Record<string, string>> | null => {
  const labels: Record<string, string> = {}
  for (const part of text.split(/[,\n]/).map((piece) => piece.trim())) {
    if (part === "") continue
    const [, key, value] = /^([A-Za-z][A-Za-z0-9_./-]{0,62})\s*=\s*(.*)$/u.exec(part) ?? []
    if (key === undefined || value === undefined) return null
    labels[key] = value
  }
  return labels
}

export const wordsOf = (text: string) => [...new Set(text.split(/[\s,]+/).filter((word) => word !== ""))]
