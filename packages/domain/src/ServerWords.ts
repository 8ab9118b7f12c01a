/** A server's moves in words. */
import type { TransitionAxis } from "./Server.ts"
import { phraseOf, readable } from "./Wording.ts"

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

export const reasonWords = (reason: string | null) =>
  reason === null ? null : (phraseOf(reasons, reason) ?? readable(reason))

export interface Move {
  readonly axis: typeof TransitionAxis.Type
  readonly before: string | null
  readonly after: string
}

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

/** Reasons that only repeat what the verb says. */
const told = new Set(["registered", "heartbeat", "recovered", "approved"])

export const moveReason = ({ reason }: { readonly reason: string | null }) =>
  reason === null || told.has(reason) ? null : reasonWords(reason)
