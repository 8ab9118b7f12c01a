/** A group as its form holds it, and as it is asked for. */
import type { GroupId } from "@broker/domain/Server"
import type { GroupView } from "#lib/groups.ts"

export interface Drafted {
  readonly own: boolean
  readonly amount: string
  readonly unit: number
}

const unitOf = (seconds: number) => [86_400, 3_600, 60].find((unit) => seconds % unit === 0) ?? 1

/** Nothing of its own, with a unit that suits what is usual. */
const open = (unit: number): Drafted => ({ own: false, amount: "", unit })

const timed = (seconds: number | null | undefined, unit: number): Drafted => {
  if (seconds == null) return open(unit)
  const own = unitOf(seconds)
  return { own: true, amount: String(seconds / own), unit: own }
}

export const draftOf = (group: GroupView | null, parentId: GroupId | null) => ({
  name: group?.name ?? "",
  parent: (group === null ? parentId : group.parentId) ?? ("none" as const),
  heartbeatIntervalSeconds: timed(group?.heartbeatIntervalSeconds, 1),
  verificationPeriodSeconds: timed(group?.verificationPeriodSeconds, 3_600),
  connectionLimit:
    group?.connectionLimit == null ? open(1) : { own: true, amount: String(group.connectionLimit), unit: 1 }
})
export type Draft = ReturnType<typeof draftOf>

/** Null is what is left to the group above; what is no number is not a number, which the schema refuses. */
const valueOf = ({ amount, own, unit }: Drafted) =>
  own ? (amount.trim() === "" ? Number.NaN : Number(amount.trim().replace(",", ".")) * unit) : null

export const requestOf = (draft: Draft) => ({
  name: draft.name.trim(),
  parentId: draft.parent === "none" ? null : draft.parent,
  heartbeatIntervalSeconds: valueOf(draft.heartbeatIntervalSeconds),
  verificationPeriodSeconds: valueOf(draft.verificationPeriodSeconds),
  connectionLimit: valueOf(draft.connectionLimit)
})
