/** Which columns the list of servers has, how wide they are, and what each admin chose of it. */
import { Schema } from "effect"

export const Column = Schema.Literals([
  "status",
  "group",
  "version",
  "address",
  "connections",
  "load",
  "availability",
  "lastSeen",
  "verified",
  "tags"
])
export type Column = typeof Column.Type

export const Density = Schema.Literals(["comfortable", "dense"])
export type Density = typeof Density.Type

/** How wide each is, in pixels. */
export const columns: Record<Column, { readonly label: string; readonly width: number }> = {
  status: { label: "Status", width: 230 },
  group: { label: "Group", width: 130 },
  version: { label: "Version", width: 92 },
  address: { label: "Public address", width: 130 },
  connections: { label: "Connections", width: 96 },
  load: { label: "Load", width: 126 },
  availability: { label: "30 days", width: 134 },
  lastSeen: { label: "Last heartbeat", width: 112 },
  verified: { label: "Verified", width: 72 },
  tags: { label: "Tags", width: 164 }
}

export const columnOrder = Column.literals
export const nameWidth = 176
/** The tick in front, and the menu at the end. */
export const edges = { tick: 44, menu: 44 } as const

export const rowHeights: Record<Density, number> = { comfortable: 40, dense: 32 }

/** What matters most comes first where there is not room for all. */
const byWeight: ReadonlyArray<Column> = [
  "status",
  "connections",
  "lastSeen",
  "group",
  "version",
  "availability",
  "load",
  "tags",
  "verified",
  "address"
]

/** What nobody chose: as many as there is room for. */
export const usualColumns = (room: number): ReadonlyArray<Column> => {
  let left = room - edges.tick - nameWidth - edges.menu
  const fitting = new Set<Column>()
  for (const column of byWeight) {
    left -= columns[column].width
    if (left < 0) break
    fitting.add(column)
  }
  return columnOrder.filter((column) => fitting.has(column))
}

const Choice = Schema.Struct({
  columns: Schema.NullOr(Schema.Array(Column)),
  density: Density
})
export type Choice = typeof Choice.Type

const usual: Choice = { columns: null, density: "comfortable" }
const Stored = Schema.fromJsonString(Choice)
const decode = Schema.decodeUnknownSync(Stored)
const encode = Schema.encodeSync(Stored)

const keyOf = (adminId: string) => `broker.servers.columns.${adminId}`

/** A choice that cannot be read, as storage may be off, is none. */
export const readChoice = (adminId: string): Choice => {
  try {
    return decode(localStorage.getItem(keyOf(adminId)))
  } catch {
    return usual
  }
}

export const keepChoice = (adminId: string, choice: Choice) => {
  try {
    localStorage.setItem(keyOf(adminId), encode(choice))
  } catch {
    // Storage is off or full: the choice holds for as long as the page is open.
  }
}
