/** The whole of a filtered list of users as CSV, fetched page by page. */
import { iso, type Sheet, saveAll } from "#lib/csv.ts"
import { decodeUsersPage, type UserView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { toQuery, type UsersView } from "./filters.ts"
import { userStates } from "./users.ts"

export const sheet: Sheet<UserView> = {
  name: "users",
  header: [
    "name",
    "id",
    "email",
    "state",
    "state_reason",
    "state_since",
    "keys",
    "devices",
    "live_connections",
    "last_seen",
    "created_at",
    "note"
  ],
  cells: (user) => [
    user.name,
    user.id,
    user.email,
    userStates[user.state].word,
    user.stateReason,
    iso(user.stateSince),
    user.keys,
    user.devices,
    user.liveConnections,
    iso(user.lastSeenAt),
    iso(user.createdAt),
    user.note
  ]
}

/** Returns how many users it wrote. `progress` hears of each page. */
export const exportUsers = (view: UsersView, progress: (rows: number) => void) =>
  saveAll(sheet, async (page) => decodeUsersPage(await rpc.users.list.query({ ...toQuery(view), ...page })), progress)
