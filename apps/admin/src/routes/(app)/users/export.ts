/** The whole of a filtered list of users as CSV, fetched page by page. */

import { DateTime } from "effect"
import { download, line } from "#lib/csv.ts"
import { decodeUsersPage, type UserView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { toQuery, type UsersView } from "./filters.ts"
import { userStates } from "./users.ts"

const pageSize = 200

const header = [
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
]

const iso = (time: DateTime.Utc | null) => (time === null ? null : DateTime.formatIso(time))

const cells = (user: UserView) => [
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

export const save = (users: ReadonlyArray<UserView>) =>
  download(`users-${new Date().toISOString().slice(0, 10)}.csv`, [
    line(header),
    ...users.map((user) => line(cells(user)))
  ])

/** Returns how many users it wrote. `progress` hears of each page. */
export const exportUsers = async (view: UsersView, progress: (rows: number) => void) => {
  const users: Array<UserView> = []
  let cursor: string | null = null
  do {
    const page = decodeUsersPage(await rpc.users.list.query({ ...toQuery(view), limit: pageSize, cursor }))
    users.push(...page.items)
    cursor = page.nextCursor
    progress(users.length)
  } while (cursor !== null)
  save(users)
  return users.length
}
