/** Acts on many servers, in words. */
import type { BulkAct, BulkAction } from "@broker/domain/BulkAct"
import { count, plural } from "./numbers.ts"

export type BulkActView = BulkAct

const duties = { serving: "Serve", draining: "Drain", maintenance: "Start maintenance on" } as const

/** What is done, before "12 servers". */
export const verbOf = (action: BulkAction): string => {
  switch (action._tag) {
    case "Tag":
      return "Tag"
    case "Label":
      return "Label"
    case "Move":
      return action.groupId === null ? "Take out of groups" : "Move"
    case "SetDuty":
      return duties[action.duty]
    case "LimitConnections":
      return "Limit"
    case "Verify":
      return "Verify"
    case "Approve":
      return "Approve"
    case "Suspend":
      return "Suspend"
    case "Retire":
      return "Retire"
  }
}

export const titleOf = (act: Pick<BulkActView, "action" | "total" | "undoes">) => {
  const title = `${verbOf(act.action)}: ${plural(act.total, "server")}`
  return act.undoes === null ? title : `Undo. ${title}`
}

/** How many it has dealt with, whatever came of it. */
export const dealtWith = ({ changed, failed, same }: Pick<BulkActView, "changed" | "same" | "failed">) =>
  changed + same + failed

/** "118 changed, 2 failed, 5 were so already". */
export const outcomeOf = ({ changed, failed, same, state }: BulkActView) =>
  [
    state === "stopped" ? "Stopped" : null,
    `${count(changed)} changed`,
    failed > 0 ? `${count(failed)} failed` : null,
    same > 0 ? `${count(same)} so already` : null
  ]
    .filter((part) => part !== null)
    .join(", ")
