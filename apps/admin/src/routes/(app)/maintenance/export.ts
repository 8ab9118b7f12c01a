/** Availability as CSV: a row a group, the fleet's first. */
import type { GroupAvailability } from "@broker/domain/Availability"
import { saveRows } from "#lib/csv.ts"

export const exportAvailability = (
  groups: ReadonlyArray<GroupAvailability>,
  range: { readonly from: string; readonly to: string }
) =>
  saveRows(
    {
      name: "availability",
      header: [
        "from",
        "to",
        "group",
        "servers",
        "available",
        "up_seconds",
        "down_seconds",
        "unknown_seconds",
        "excluded_seconds"
      ],
      cells: (group: GroupAvailability) => [
        range.from,
        range.to,
        group.path ?? "(fleet)",
        group.servers,
        group.share,
        Math.round(group.up),
        Math.round(group.down),
        Math.round(group.unknown),
        Math.round(group.excluded)
      ]
    },
    groups
  )
