/** Words for registration keys. */
import type { KeyView } from "#lib/fleet.ts"
import type { Tone } from "#lib/status.ts"
import { day, hour } from "#lib/time.ts"

export const keyStates: Record<
  KeyView["state"],
  { readonly word: string; readonly tone: Tone; readonly meaning: string }
> = {
  active: { word: "Active", tone: "ok", meaning: "Servers can join with it." },
  exhausted: { word: "Used up", tone: "idle", meaning: "As many servers joined as it allows." },
  expired: { word: "Expired", tone: "idle", meaning: "Its time is over." },
  revoked: { word: "Revoked", tone: "bad", meaning: "An admin revoked it." }
}

export const keyStateOrder: ReadonlyArray<KeyView["state"]> = ["active", "exhausted", "expired", "revoked"]

/** How long new keys last, as offered. */
export const expiries = [
  { value: "1h", label: "1 hour", seconds: hour / 1_000 },
  { value: "1d", label: "1 day", seconds: day / 1_000 },
  { value: "7d", label: "7 days", seconds: (7 * day) / 1_000 },
  { value: "30d", label: "30 days", seconds: (30 * day) / 1_000 },
  { value: "365d", label: "1 year", seconds: (365 * day) / 1_000 }
] as const

/** Tags as typed into one field: by commas or spaces. */
export const splitTags = (text: string) => text.split(/[\s,]+/).filter((tag) => tag !== "")
