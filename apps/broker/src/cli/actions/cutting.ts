/** What an act cut, for whoever ordered it. */
import { Cuts } from "@broker/core/connections/Cuts"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Effect } from "effect"

/** How many connections the newest act on a subject ended. */
export const cutBy = (subjectId: string) =>
  Cuts.use((cuts) => cuts.list(defaultOrganizationId, { subjectId, limit: 1 })).pipe(
    Effect.map(([cut]) => cut?.connections ?? 0)
  )

export const cutWords = (connections: number) => {
  if (connections === 0) return "No connection was live."
  return connections === 1 ? "1 live connection was cut." : `${connections} live connections were cut.`
}
