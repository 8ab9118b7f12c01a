/** Connections in words: how they stand, how they ended, and what the accounts of both sides come to. */
import type { ConnectionStatus, CutSubject, Verdict } from "@broker/domain/Connection"
import type { ConnectionView, CutView } from "./fleet.ts"
import { plural, seconds } from "./numbers.ts"
import type { Tone } from "./status.ts"

export { endReasons, endReasonWords } from "@broker/domain/ConnectionWords"

export interface Wording {
  readonly word: string
  readonly tone: Tone
  readonly meaning: string
}

/** A status, or `stale`: an active connection whose server is offline. */
export type ConnectionStanding = ConnectionStatus | "stale"

export const connectionStandings: Record<ConnectionStanding, Wording> = {
  intent: { word: "Intent", tone: "info", meaning: "The client has a grant, and is on its way to the server." },
  active: { word: "Active", tone: "ok", meaning: "The server accepted it and has not told its end." },
  stale: { word: "Stale", tone: "warn", meaning: "Its server is offline. It ends unless the server comes back." },
  ended: { word: "Ended", tone: "idle", meaning: "It was active, and is over." },
  expired: { word: "Expired", tone: "idle", meaning: "It never came to be: too late, called off, or cut before." },
  refused: { word: "Refused", tone: "bad", meaning: "The server did not accept it." }
}

export const standingOf = ({
  staleSince,
  status
}: Pick<ConnectionView, "status" | "staleSince">): ConnectionStanding =>
  status === "active" && staleSince !== null ? "stale" : status

export const isLive = ({ status }: Pick<ConnectionView, "status">) => status === "intent" || status === "active"

export const verdicts: Record<Verdict, Wording> = {
  confirmed: { word: "Confirmed", tone: "ok", meaning: "Both sides told its end, and count alike." },
  client_only: { word: "Client only", tone: "warn", meaning: "The server never told its end." },
  server_only: { word: "Server only", tone: "warn", meaning: "The client never told its end." },
  byte_mismatch: {
    word: "Bytes differ",
    tone: "bad",
    meaning: "Both sides told its end, and their bytes differ by more than a twentieth."
  }
}

export const verdictOrder: ReadonlyArray<Verdict> = ["confirmed", "client_only", "server_only", "byte_mismatch"]

/** What a cut was about, as the start of a sentence. */
export const cutSubjects: Record<CutSubject, string> = {
  connection: "Connection",
  "personal-key": "Personal key",
  device: "Device",
  user: "User",
  server: "Server"
}

/** Whether a server has yet to confirm that it ended what it was told to end. */
export const isCutOpen = ({ confirmedServers, servers }: Pick<CutView, "servers" | "confirmedServers">) =>
  confirmedServers < servers

/** How far a cut has come: "2 of 3 servers confirmed, 4.1 s median, 1 overdue". */
export const cutWords = (cut: Pick<CutView, "servers" | "confirmedServers" | "overdueServers" | "medianSeconds">) =>
  [
    `${isCutOpen(cut) ? `${cut.confirmedServers} of ` : ""}${plural(cut.servers, "server")} confirmed`,
    ...(cut.medianSeconds === null ? [] : [`${seconds(cut.medianSeconds)} median`]),
    ...(cut.overdueServers === 0 ? [] : [`${cut.overdueServers} overdue`])
  ].join(", ")
