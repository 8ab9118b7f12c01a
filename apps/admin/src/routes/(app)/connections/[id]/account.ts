/** The two accounts of a connection: what happened on which side, and what they come to. */
import { endReasonWords, isLive } from "#lib/connection.ts"
import type { ConnectionView } from "#lib/fleet.ts"
import { bytes, seconds } from "#lib/numbers.ts"
import type { Tone } from "#lib/status.ts"
import { maybeMillis, millis } from "#lib/time.ts"

export type Side = "client" | "broker" | "server"

/** What happened on one side at one moment. */
export interface Happening {
  readonly at: number
  readonly side: Side
  readonly words: string
  readonly detail: string | null
  readonly tone: Tone | "accent"
}

/** So much later is later; a report that came with another is none of its own. */
const apart = 1
/** What the broker takes for alike: a twentieth, or so many bytes. */
const slack = 65_536

/** How long the server took to cut, in seconds; null while it has not. */
export const secondsToCut = ({
  cutConfirmedAt,
  cutOrderedAt
}: Pick<ConnectionView, "cutOrderedAt" | "cutConfirmedAt">) =>
  cutOrderedAt === null || cutConfirmedAt === null
    ? null
    : Math.max(0, millis(cutConfirmedAt) - millis(cutOrderedAt)) / 1_000

const endedBy: Record<NonNullable<ConnectionView["endedBy"]>, string> = {
  client: "by the client",
  server: "by the server",
  broker: "by the broker",
  admin: "by an admin"
}

/** All that happened, in order. What comes of one act at one moment keeps the order in which it is told here. */
export const happenings = (connection: ConnectionView): ReadonlyArray<Happening> => {
  const told: Array<Happening> = []
  const add = (
    at: ConnectionView["activeAt"],
    side: Side,
    words: string,
    detail: string | null = null,
    tone: Happening["tone"] = "accent"
  ) => {
    if (at !== null) told.push({ at: millis(at), side, words, detail, tone })
  }
  const alone = (at: ConnectionView["activeAt"], others: ReadonlyArray<ConnectionView["activeAt"]>) =>
    at !== null && others.every((other) => other === null || Math.abs(millis(other) - millis(at)) > apart) ? at : null

  add(connection.createdAt, "client", "Asked for a connection")
  add(connection.createdAt, "broker", `Granted ${connection.serverName}`)
  add(connection.activeAt, "server", "Accepted it", null, "ok")
  add(connection.clientOpenedAt, "client", "First word", null, "ok")
  add(
    alone(connection.clientReportedAt, [connection.clientOpenedAt, connection.clientEndedAt]),
    "client",
    "Last progress"
  )
  add(alone(connection.serverReportedAt, [connection.activeAt, connection.serverEndedAt]), "server", "Last progress")
  add(connection.staleSince, "broker", "Fell in doubt", "the server is offline", "warn")
  add(connection.cutOrderedAt, "broker", "Ordered to cut", `by ${connection.cutOrderedBy ?? "the broker"}`, "warn")
  const over = () =>
    add(
      connection.endedAt,
      "broker",
      connection.status === "ended" ? "Over" : connection.status === "refused" ? "Refused" : "Expired",
      [endReasonWords(connection.endReason), connection.endedBy && endedBy[connection.endedBy]]
        .filter((part) => part !== null)
        .join(", "),
      connection.status === "refused" ? "bad" : "idle"
    )
  const byClient = () =>
    add(connection.clientEndedAt, "client", "Told its end", endReasonWords(connection.clientReason), "idle")
  const byServer = () =>
    add(connection.serverEndedAt, "server", "Told its end", endReasonWords(connection.serverReason), "idle")
  // Who ended it told so first; the broker ends it of its own accord, or an admin's.
  const { endedBy: first } = connection
  for (const tell of first === "client"
    ? [byClient, over, byServer]
    : first === "server"
      ? [byServer, over, byClient]
      : [over, byClient, byServer]) {
    tell()
  }
  const took = secondsToCut(connection)
  add(connection.cutConfirmedAt, "server", "Confirmed the cut", took === null ? null : `after ${seconds(took)}`, "ok")
  add(connection.settledAt, "broker", "Settled")
  return told.toSorted((a, b) => a.at - b.at)
}

/** One direction, as both sides count it. */
export interface Direction {
  readonly name: string
  readonly client: { readonly words: string; readonly value: number | null }
  readonly server: { readonly words: string; readonly value: number | null }
  /** Null unless both sides count. */
  readonly difference: number | null
  readonly share: number | null
  readonly differs: boolean
}

const direction = (name: string, client: Direction["client"], server: Direction["server"]): Direction => {
  if (client.value === null || server.value === null) {
    return { name, client, server, difference: null, share: null, differs: false }
  }
  const difference = Math.abs(client.value - server.value)
  const most = Math.max(client.value, server.value)
  return {
    name,
    client,
    server,
    difference,
    share: most === 0 ? 0 : difference / most,
    differs: difference > Math.max(slack, most / 20)
  }
}

export const directions = (connection: ConnectionView): ReadonlyArray<Direction> => [
  direction(
    "Down",
    { words: "Client received", value: connection.clientRxBytes },
    { words: "Server sent", value: connection.serverTxBytes }
  ),
  direction(
    "Up",
    { words: "Client sent", value: connection.clientTxBytes },
    { words: "Server received", value: connection.serverRxBytes }
  )
]

/** A share of a whole that is hardly there is not nothing. */
export const smallPercent = (share: number) =>
  share === 0
    ? "0 %"
    : share < 0.001
      ? "under 0.1 %"
      : share < 0.1
        ? `${(share * 100).toFixed(1)} %`
        : `${Math.round(share * 100)} %`

const confirmed = (connection: ConnectionView) => {
  const known = directions(connection).flatMap(({ difference, share }) =>
    difference === null || share === null ? [] : [{ difference, share }]
  )
  if (known.length === 0) return "Both sides told its end, and neither counted bytes."
  const most = Math.max(...known.map(({ difference }) => difference))
  return most === 0
    ? "Both sides told its end, and count the same to the byte."
    : `Both sides told its end, and count alike: they are ${bytes(most)} apart at most, where a twentieth or 64 KiB would still pass.`
}

const mismatch = (connection: ConnectionView) => {
  const off = directions(connection).filter(({ differs }) => differs)
  const parts = off.map(
    ({ client, difference, server, share }) =>
      `${client.words.toLowerCase()} ${bytes(client.value ?? 0)} where the ${server.words.toLowerCase()} ${bytes(server.value ?? 0)}, ${bytes(difference ?? 0)} (${smallPercent(share ?? 0)}) apart`
  )
  return `Both sides told its end, but they do not count alike: the ${parts.join("; the ")}. More than a twentieth and 64 KiB is a mismatch.`
}

/** What the verdict rests on, in a sentence. */
export const explainVerdict = (connection: ConnectionView) => {
  const { clientEndedAt, serverEndedAt, status, verdict } = connection
  switch (verdict) {
    case "confirmed":
      return confirmed(connection)
    case "byte_mismatch":
      return mismatch(connection)
    case "client_only":
      return clientEndedAt === null
        ? "Neither side told its end, and only the client ever reported: the account rests on its word alone."
        : "The client told its end, the server never did: how it ended rests on the client's word alone."
    case "server_only":
      return serverEndedAt === null
        ? "Neither side told its end. The server had accepted it, so the account rests on its word alone."
        : "The server told its end, the client never did: how it ended rests on the server's word alone."
    case null:
      if (isLive(connection)) return "It is judged once it is over and both sides told its end."
      if (status !== "ended") return "It never carried traffic, so there is nothing to judge."
      if (clientEndedAt !== null) return "The client told its end. The broker waits for the server's account."
      if (serverEndedAt !== null) return "The server told its end. The broker waits for the client's account."
      return "The broker waits for the accounts of both sides."
  }
}

/** Why it stands as it does, as the rest of a line that starts with the status. */
export const explainStanding = (connection: ConnectionView) => {
  const { endReason, expiresAt, staleSince, status } = connection
  if (status === "intent")
    return { words: "it expires unless the server accepts it", at: millis(expiresAt), isAhead: true }
  if (staleSince !== null) return { words: "its server is offline", at: millis(staleSince), isAhead: false }
  if (status === "active") return null
  return { words: endReasonWords(endReason) ?? "", at: maybeMillis(connection.endedAt) ?? 0, isAhead: false }
}
