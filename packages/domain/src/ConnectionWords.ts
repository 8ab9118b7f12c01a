/** How connections end, in words. */
import { phraseOf, readable } from "./Wording.ts"

/** The broker's own reasons, in the order of a filter. Sides give others beside them. */
export const endReasons: Readonly<Record<string, string>> = {
  client_ended: "ended by the client",
  server_ended: "ended by the server",
  server_refused: "refused by the server",
  server_dropped: "the server does not have it any more",
  server_lost: "the server went offline",
  server_suspended: "the server was suspended",
  server_retired: "the server was retired",
  intent_expired: "the server never reported it active",
  admin_disconnected: "disconnected by an admin",
  key_revoked: "the personal key was revoked",
  device_blocked: "the device was blocked",
  device_removed: "the device was removed",
  user_suspended: "the user was suspended",
  user_deleted: "the user was deleted"
}

export const endReasonWords = (reason: string | null) =>
  reason === null ? null : (phraseOf(endReasons, reason) ?? readable(reason))
