/**
 * Who answers for what a webhook is sent: the admin who chose its address and its types last, or whose token did. Nobody's
 * permissions outlive them (A5).
 */
import type { AdminId } from "@broker/domain/Admin"
import { catalogue, EventType } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import type { Permission } from "@broker/domain/Permission"
import { Effect, Option, Schema } from "effect"
import * as StandingSql from "../admins/StandingSql.ts"

const isType = Schema.is(EventType)

/** Of these types those that permissions do not cover; none of a type that only a later release knows. */
export const beyond = (permissions: ReadonlySet<Permission>, types: ReadonlyArray<string>): ReadonlyArray<EventType> =>
  types.filter(isType).filter((type) => !permissions.has(catalogue[type].permission))

/** Of these types those that the owner may not hear of any more. The command line is nobody's, and may always. */
export const make = Effect.gen(function* () {
  const standing = yield* StandingSql.make
  return Effect.fnUntraced(function* (
    organizationId: OrganizationId,
    ownerId: AdminId | null,
    types: ReadonlyArray<string>
  ) {
    // A test tells nothing but who it is for, and is of whoever asked for it.
    const asked = types.filter((type) => type !== "webhook.test")
    if (ownerId === null || asked.length === 0) return []
    const now = Option.match(yield* standing.find({ organizationId, id: ownerId }), {
      onNone: () => new Set<Permission>(),
      // Who has yet to enrol a second factor lost nothing for good.
      onSome: (found) => StandingSql.allowed({ ...found, mustEnrol: false })
    })
    return beyond(now, asked)
  })
})
