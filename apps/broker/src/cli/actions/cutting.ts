/** What an act cut, for whoever ordered it. */
import { Cuts } from "@broker/core/connections/Cuts"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { DateTime, Effect } from "effect"

/** Others may cut connections of the same subject meanwhile: so many of the newest acts are looked at. */
const meanwhile = 20

/** Does what cuts all connections of a subject, and tells how many that ended. Earlier acts do not count. */
export const cutBy = Effect.fnUntraced(function* <A extends { readonly id: string }, E, R>(
  act: Effect.Effect<A, E, R>
) {
  const began = yield* DateTime.now
  const subject = yield* act
  const cuts = yield* Cuts.use((cuts) => cuts.list(defaultOrganizationId, { subjectId: subject.id, limit: meanwhile }))
  const own = cuts.find(
    ({ orderedAt, subjectId }) => subjectId === subject.id && DateTime.isGreaterThanOrEqualTo(orderedAt, began)
  )
  return { subject, connections: own?.connections ?? 0 }
})

export const cutWords = (connections: number) => {
  if (connections === 0) return "No connection was live."
  return connections === 1 ? "1 live connection was cut." : `${connections} live connections were cut.`
}
