/** Rules C1, C2, C4, C5 and the verdicts once more, without a database: what the statements must come to. */

const intentLifetime = 60_000
const staleLifetime = 60_000
const grace = 10_000
const settlement = 120_000

/** One connection as the broker should see it; times in milliseconds. */
export interface Standing {
  readonly status: "intent" | "active" | "ended" | "expired" | "refused"
  readonly by: "client" | "server" | "broker" | "admin" | null
  readonly reason: string | null
  readonly createdAt: number
  readonly activeAt: number | null
  readonly endedAt: number | null
  readonly staleSince: number | null
  /** Whether each side has told the end, or had it told. */
  readonly clientEnded: boolean
  readonly serverEnded: boolean
  readonly clientSpoke: boolean
  readonly isCut: boolean
  readonly isConfirmed: boolean
  readonly verdict: string | null
}

export const intent = (now: number): Standing => ({
  status: "intent",
  by: null,
  reason: null,
  createdAt: now,
  activeAt: null,
  endedAt: null,
  staleSince: null,
  clientEnded: false,
  serverEnded: false,
  clientSpoke: false,
  isCut: false,
  isConfirmed: false,
  verdict: null
})

/** What came of a step: the standing after it, and what whoever took it was told. */
export type Outcome = readonly [Standing, "ok" | "connection_over" | "connection_conflict"]

const verdictOf = ({ clientEnded, clientSpoke, serverEnded }: Standing) => {
  if (clientEnded && serverEnded) return "confirmed"
  if (clientEnded) return "client_only"
  if (serverEnded) return "server_only"
  return clientSpoke ? "client_only" : "server_only"
}

/** Judged once both have told the end, and anew with late news. */
const judged = (standing: Standing): Standing =>
  standing.status === "ended" && (standing.verdict !== null || (standing.clientEnded && standing.serverEnded))
    ? { ...standing, verdict: verdictOf(standing) }
    : standing

const end = (
  standing: Standing,
  status: "ended" | "expired" | "refused",
  by: NonNullable<Standing["by"]>,
  reason: string,
  now: number
): Standing => ({ ...standing, status, by, reason, endedAt: now, staleSince: null })

const isLive = ({ status }: Standing) => status === "intent" || status === "active"

export const accept = (standing: Standing, now: number): Outcome => {
  if (standing.status === "active") return [standing, "ok"]
  if (standing.status === "intent" && now < standing.createdAt + intentLifetime) {
    return [{ ...standing, status: "active", activeAt: now }, "ok"]
  }
  return [standing, "connection_over"]
}

export const endByServer = (standing: Standing, now: number): Outcome => {
  const [begun, outcome] = standing.status === "intent" ? accept(standing, now) : ([standing, "ok"] as const)
  if (outcome !== "ok") return [standing, outcome]
  if (begun.status !== "active" && begun.status !== "ended") return [standing, "connection_over"]
  const ended = begun.status === "active" ? end(begun, "ended", "server", "server_ended", now) : begun
  return [judged({ ...ended, serverEnded: true, isConfirmed: ended.isCut }), "ok"]
}

export const refuse = (standing: Standing, now: number): Outcome => {
  if (standing.status === "refused") return [standing, "ok"]
  if (standing.status === "active") return [standing, "connection_conflict"]
  if (standing.status !== "intent") return [standing, "connection_over"]
  return [end(standing, "refused", "server", "server_refused", now), "ok"]
}

export const progressOfClient = (standing: Standing): Outcome =>
  isLive(standing) ? [{ ...standing, clientSpoke: true }, "ok"] : [standing, "connection_over"]

export const endByClient = (standing: Standing, now: number): Outcome => {
  if (standing.status === "expired" && standing.by === "client") return [standing, "ok"]
  if (standing.status === "expired" || standing.status === "refused") return [standing, "connection_over"]
  const ended =
    standing.status === "ended"
      ? standing
      : end(standing, standing.status === "active" ? "ended" : "expired", "client", "client_ended", now)
  return [judged({ ...ended, clientEnded: true }), "ok"]
}

export const disconnect = (standing: Standing, now: number): Standing => {
  if (!isLive(standing)) return standing
  const wasActive = standing.status === "active"
  return {
    ...end(standing, wasActive ? "ended" : "expired", "admin", "admin_disconnected", now),
    isCut: wasActive
  }
}

/** A heartbeat whose live set lists the connection or not; tells what the server is told to cut. */
export const beat = (standing: Standing, lists: boolean, now: number): readonly [Standing, told: string | null] => {
  const heard = { ...standing, staleSince: null }
  const isOver = !isLive(heard)
  const ordered = heard.isCut && !heard.isConfirmed
  if (lists) return [heard, isOver ? heard.reason : null]
  if (heard.activeAt === null || heard.activeAt >= now - grace) return [heard, ordered ? heard.reason : null]
  if (heard.status === "active") {
    return [judged({ ...end(heard, "ended", "server", "server_dropped", now), serverEnded: true }), null]
  }
  const isUnsettled = heard.status === "ended" && heard.verdict === null
  const serverEnded = heard.serverEnded || isUnsettled || ordered
  return [judged({ ...heard, serverEnded, isConfirmed: heard.isCut }), null]
}

/** The server's silence is noticed. */
export const offline = (standing: Standing, now: number): Standing =>
  standing.status === "active" && standing.staleSince === null ? { ...standing, staleSince: now } : standing

export const sweep = (standing: Standing, now: number): Standing => {
  if (standing.status === "intent" && now >= standing.createdAt + intentLifetime) {
    return end(standing, "expired", "broker", "intent_expired", now)
  }
  const lost =
    standing.status === "active" && standing.staleSince !== null && now >= standing.staleSince + staleLifetime
      ? end(standing, "ended", "broker", "server_lost", now)
      : standing
  return lost.status === "ended" && lost.verdict === null && now >= (lost.endedAt ?? now) + settlement
    ? { ...lost, verdict: verdictOf(lost) }
    : lost
}
