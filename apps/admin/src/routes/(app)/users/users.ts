/** Words for users, their keys and their devices. */
import type { UserSort } from "@broker/domain/User"
import type { PersonalKeyView, UserView } from "#lib/fleet.ts"
import type { Tone } from "#lib/status.ts"
import { day, hour } from "#lib/time.ts"

interface Wording {
  readonly word: string
  readonly tone: Tone
  readonly meaning: string
}

export const userStates: Record<UserView["state"], Wording> = {
  active: { word: "Active", tone: "ok", meaning: "Can sign in and connect with a personal key." },
  suspended: { word: "Suspended", tone: "bad", meaning: "Can neither sign in nor connect." }
}

export const userStateOrder: ReadonlyArray<UserView["state"]> = ["active", "suspended"]

export const userSorts: ReadonlyArray<readonly [UserSort, string]> = [
  ["name", "Name, A to Z"],
  ["-name", "Name, Z to A"],
  ["-lastSeen", "Seen, latest first"],
  ["lastSeen", "Seen, oldest first"],
  ["-created", "Created, newest first"],
  ["created", "Created, oldest first"]
]

export const personalKeyStates: Record<PersonalKeyView["state"], Wording> = {
  active: { word: "Active", tone: "ok", meaning: "Signs clients in." },
  expired: { word: "Expired", tone: "idle", meaning: "Its time is over." },
  revoked: { word: "Revoked", tone: "bad", meaning: "An admin revoked it." }
}

/** How long new personal keys last, as offered. */
export const lifetimes = [
  { value: "7d", label: "7 days", seconds: (7 * day) / 1_000 },
  { value: "30d", label: "30 days", seconds: (30 * day) / 1_000 },
  { value: "90d", label: "90 days", seconds: (90 * day) / 1_000 },
  { value: "365d", label: "1 year", seconds: (365 * day) / 1_000 },
  { value: "never", label: "Never", seconds: null }
] as const

/** How long a replaced key goes on, as offered. */
export const overlaps = [
  { value: "0", label: "At once", seconds: 0 },
  { value: "1h", label: "After 1 hour", seconds: hour / 1_000 },
  { value: "1d", label: "After 1 day", seconds: day / 1_000 },
  { value: "7d", label: "After 7 days", seconds: (7 * day) / 1_000 },
  { value: "30d", label: "After 30 days", seconds: (30 * day) / 1_000 }
] as const
