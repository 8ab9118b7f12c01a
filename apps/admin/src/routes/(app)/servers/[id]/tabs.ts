/** The tabs of a server's page, as they stand in the URL. */
import type { Permission } from "@broker/domain/Permission"

const serverTabs = [
  { value: "summary", label: "Summary", needs: null },
  { value: "metrics", label: "Metrics", needs: "metrics:read" },
  { value: "timeline", label: "Timeline", needs: null },
  { value: "connections", label: "Connections", needs: "connections:read" },
  { value: "verification", label: "Verification", needs: null },
  { value: "audit", label: "Audit", needs: "audit:read" },
  { value: "notes", label: "Notes", needs: null },
  { value: "settings", label: "Settings", needs: null }
] as const satisfies ReadonlyArray<{
  readonly value: string
  readonly label: string
  readonly needs: Permission | null
}>

export type ServerTab = (typeof serverTabs)[number]["value"]

export const tabsFor = (permissions: ReadonlyArray<Permission>) =>
  serverTabs.filter(({ needs }) => needs === null || permissions.includes(needs))
