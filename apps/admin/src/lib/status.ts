/** A server's status and its moves, in words. */
import type { ServerStatus } from "@broker/domain/Server"
import type { TransitionView } from "./fleet.ts"

export { moveReason, moveVerb, reasonWords } from "@broker/domain/ServerWords"

export type Tone = "ok" | "warn" | "bad" | "info" | "idle"

export const statuses: Record<ServerStatus, { readonly word: string; readonly tone: Tone; readonly meaning: string }> =
  {
    online: { word: "Online", tone: "ok", meaning: "Heartbeats arrive in time." },
    degraded: { word: "Degraded", tone: "warn", meaning: "Heartbeats are late, or its clock is off." },
    offline: { word: "Offline", tone: "bad", meaning: "No heartbeat for several intervals." },
    unknown: {
      word: "Unknown",
      tone: "idle",
      meaning: "Many servers fell silent at once, so the broker does not judge."
    },
    never_seen: { word: "Never seen", tone: "info", meaning: "Registered, but no heartbeat has arrived yet." },
    pending: { word: "Pending", tone: "info", meaning: "Waits for an admin's approval." },
    draining: { word: "Draining", tone: "info", meaning: "Keeps its connections and takes no new ones." },
    maintenance: { word: "Maintenance", tone: "idle", meaning: "Taken out of service on purpose." },
    suspended: { word: "Suspended", tone: "bad", meaning: "Shut out by an admin or by a failed verification." },
    retired: { word: "Retired", tone: "idle", meaning: "Gone for good." }
  }

/** In the order of lists and legends: what works, then what needs a look, then what is out on purpose. */
export const statusOrder: ReadonlyArray<ServerStatus> = [
  "online",
  "degraded",
  "offline",
  "unknown",
  "never_seen",
  "pending",
  "draining",
  "maintenance",
  "suspended",
  "retired"
]

const moveTones: Record<string, Tone> = {
  online: "ok",
  approved: "ok",
  serving: "ok",
  verified: "ok",
  degraded: "warn",
  unverified: "warn",
  offline: "bad",
  suspended: "bad",
  pending: "info",
  draining: "info"
}

export const moveTone = ({ after }: Pick<TransitionView, "after">): Tone => moveTones[after] ?? "idle"

/** Statuses that need a person. */
export const grave: ReadonlyArray<ServerStatus> = ["suspended", "offline", "degraded", "pending"]
