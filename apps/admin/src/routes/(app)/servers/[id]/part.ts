/** What each tab of a server's page is given. */
import type { ServerHistory } from "@broker/domain/Fleet"
import type { Permission } from "@broker/domain/Permission"
import type { ServerView } from "#lib/fleet.ts"

export interface PartProps {
  readonly server: ServerView
  readonly history: ServerHistory
  readonly permissions: ReadonlyArray<Permission>
}
