/** How a server's clock and its capabilities stand, in words. */
import type { CapabilityStanding } from "@broker/domain/Verification"
import type { Tone } from "#lib/status.ts"
import { duration, second } from "#lib/time.ts"

/** From here on a server counts as degraded (H4), in seconds. */
const graveSkew = 120
/** Less than that is the way of the heartbeat, in seconds. */
const noSkew = 2

export const skewWords = (skew: number | null): { readonly words: string; readonly isGrave: boolean } => {
  if (skew === null) return { words: "Not known", isGrave: false }
  const off = Math.abs(skew)
  if (off < noSkew) return { words: "In time with the broker's", isGrave: false }
  return {
    words: `Its clock is ${duration(off * second)} ${skew > 0 ? "ahead" : "behind"}`,
    isGrave: off > graveSkew
  }
}

export const standings: Record<
  CapabilityStanding["standing"],
  { readonly word: string; readonly tone: Tone; readonly meaning: string }
> = {
  confirmed: { word: "Confirmed", tone: "ok", meaning: "The broker checked it, and found it so." },
  refuted: { word: "Refuted", tone: "bad", meaning: "The broker checked it, and found it not to be so." },
  declared: { word: "Declared", tone: "idle", meaning: "As the server says; nobody has checked it." }
}

/** Why a capability stands where it does. */
export const standingReason = ({ checkable, reason, standing }: CapabilityStanding) => {
  if (reason !== null) return reason
  if (standing !== "declared") return standings[standing].meaning
  return checkable ? "Not checked yet." : "There is no check for it: the server's word."
}
