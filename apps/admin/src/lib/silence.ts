/** Why a server is in its status, in words that say how long and how much. */
import type { ServerStatus } from "@broker/domain/Server"
import { reasonWords } from "./status.ts"
import { span } from "./time.ts"
import { capital } from "./words.ts"

export interface Standing {
  readonly status: ServerStatus
  readonly reason: string | null
  readonly lastSeenAt: number | null
  /** The interval it was last told. */
  readonly intervalSeconds: number | null
}

/** How many heartbeats should have come since the last one. */
const missed = (lastSeenAt: number, intervalSeconds: number, now: number) =>
  Math.max(0, Math.floor((now - lastSeenAt) / (intervalSeconds * 1_000)))

export const explainStatus = ({ intervalSeconds, lastSeenAt, reason, status }: Standing, now: number) => {
  const silent = reason === null || reason === "missed_heartbeats"
  if ((status === "offline" || status === "degraded" || status === "unknown") && silent && lastSeenAt !== null) {
    const beats = intervalSeconds === null ? "" : `, ${missed(lastSeenAt, intervalSeconds, now)} missed`
    return `No heartbeat for ${span(now - lastSeenAt)}${beats}`
  }
  if (status === "pending") return "Waits for approval"
  const words = reasonWords(reason)
  return words === null ? "" : capital(words)
}
