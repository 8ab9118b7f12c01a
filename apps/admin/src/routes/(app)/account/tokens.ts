/** Words for one's own API tokens, and what a new one is asked for. */
import { day } from "#lib/time.ts"

/** How long new tokens last, as offered. There is none without an end. */
export const lifetimes = [
  { value: "7d", label: "7 days", seconds: (7 * day) / 1_000 },
  { value: "30d", label: "30 days", seconds: (30 * day) / 1_000 },
  { value: "90d", label: "90 days", seconds: (90 * day) / 1_000 },
  { value: "365d", label: "1 year", seconds: (365 * day) / 1_000 }
] as const

/** One on a line, or with commas between them. */
export const networksOf = (text: string) => [...new Set(text.split(/[\s,]+/).filter((part) => part !== ""))]

export const callCommand = (audience: string, token: string) =>
  [`curl ${audience}/api/v1/servers`, `-H "Authorization: Bearer ${token}"`].join(" \\\n  ")
