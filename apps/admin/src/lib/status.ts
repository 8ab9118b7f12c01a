/** A server's status and its moves, in words. */
import type { ServerStatus } from "@broker/domain/Server"
import type { TransitionView } from "./fleet.ts"
import { readable } from "./words.ts"

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

const reasons: Record<string, string> = {
  approval_required: "waits for approval",
  approved: "approved by an admin",
  boot_conflict: "two machines claim to be this server",
  challenge_failed: "signed a challenge with the wrong key",
  unanswered: "left too many challenges unanswered",
  clock_skew: "its clock is more than 2 minutes off",
  fleet_guard: "many servers fell silent at once",
  flapping: "comes and goes",
  forked: "two machines claim to be this server",
  heartbeat: "a heartbeat arrived",
  missed_heartbeats: "heartbeats missed",
  recovered: "heartbeats arrive again",
  registered: "registered with a key",
  retired_by_server: "left by itself",
  verification_expired: "did not answer its challenges"
}

export const reasonWords = (reason: string | null) => (reason === null ? null : (reasons[reason] ?? readable(reason)))

type Move = Pick<TransitionView, "axis" | "before" | "after">

const livenessVerb = ({ after, before }: Move) => {
  if (after === "online")
    return before === null || before === "never_seen" ? "sent its first heartbeat" : "is back online"
  if (after === "offline") return "went offline"
  if (after === "degraded") return "is degraded"
  if (after === "unknown") return "fell silent with many others"
  return `is ${after.replaceAll("_", " ")}`
}

const admissionVerb = ({ after, before }: Move) => {
  if (before === null) return after === "pending" ? "joined and waits for approval" : "joined"
  if (after === "approved") return before === "suspended" ? "was approved again" : "was approved"
  return `was ${after}`
}

const dutyVerb = ({ after }: Move) => {
  if (after === "serving") return "serves again"
  return after === "draining" ? "is draining" : "went into maintenance"
}

/** What a server did, as the rest of a sentence that starts with its name. */
export const moveVerb = (move: Move) => {
  switch (move.axis) {
    case "liveness":
      return livenessVerb(move)
    case "admission":
      return admissionVerb(move)
    case "duty":
      return dutyVerb(move)
    case "verification":
      return move.after === "verified" ? "was verified" : "is no longer verified"
  }
}

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

export const moveTone = ({ after }: Pick<Move, "after">): Tone => moveTones[after] ?? "idle"

/** Reasons that only repeat what the verb says. */
const told = new Set(["registered", "heartbeat", "recovered", "approved"])

export const moveReason = ({ reason }: Pick<TransitionView, "reason">) =>
  reason === null || told.has(reason) ? null : reasonWords(reason)

/** Statuses that need a person. */
export const grave: ReadonlyArray<ServerStatus> = ["suspended", "offline", "degraded", "pending"]
