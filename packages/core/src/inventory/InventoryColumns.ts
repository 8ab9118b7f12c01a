/** What stands in which field of a row, and what an import makes of it. */
import { GroupName, HeartbeatIntervalSeconds, maxGroupDepth, VerificationPeriodSeconds } from "@broker/domain/Group"
import { type InventoryFormat, InventoryGroup, type InventoryKind, InventoryServer } from "@broker/domain/Inventory"
import { GroupId, Labels, ServerConnectionLimit, ServerId, ServerName, Tags } from "@broker/domain/Server"
import { Schema } from "effect"

/** The columns of the CSV, those to be edited first. Groups and servers share them: `kind` says which a row is. */
export const columns = [
  "kind",
  "group",
  "name",
  "tags",
  "labels",
  "connectionLimit",
  "heartbeatIntervalSeconds",
  "verificationPeriodSeconds",
  "id",
  "status",
  "duty",
  "version",
  "endpoints",
  "declaredTags",
  "declaredLabels",
  "publicAddress",
  "publicKey",
  "registeredAt",
  "lastSeenAt"
] as const
export type Column = (typeof columns)[number]

const known: ReadonlySet<string> = new Set(columns)
export const isColumn = (text: string): text is Column => known.has(text)

type GroupField = keyof typeof InventoryGroup.fields
type ServerField = keyof typeof InventoryServer.fields

const fields: Readonly<Record<InventoryKind, ReadonlySet<string>>> = {
  group: new Set(Object.keys(InventoryGroup.fields)),
  server: new Set(Object.keys(InventoryServer.fields))
}

export const isField = (kind: InventoryKind, name: string) => fields[kind].has(name)

/** A group's own path stands in the column in which servers have the path of theirs. */
export const fieldOf = (kind: InventoryKind, column: Column) =>
  kind === "group" && column === "group" ? "path" : column

/** A field as whoever wrote the file calls it. */
export const nameIn = (format: InventoryFormat, field: string) =>
  format === "csv" && field === "path" ? "group" : field

/** What only the server or the broker says: it may have changed since the export, and is left as it is. */
export const observed = [
  "status",
  "duty",
  "version",
  "endpoints",
  "declaredTags",
  "declaredLabels",
  "publicAddress"
] as const satisfies ReadonlyArray<ServerField>

/** What says which server it is. `lastSeenAt` is in neither: it is another one all the time. */
export const fixed = ["publicKey", "registeredAt"] as const satisfies ReadonlyArray<ServerField>

/** What groups say of their servers. */
export const policies = [
  "heartbeatIntervalSeconds",
  "verificationPeriodSeconds",
  "connectionLimit"
] as const satisfies ReadonlyArray<GroupField>

export const namesIn = (path: string) => path.split("/")

const isName = Schema.is(GroupName)

/** Names from the top down, as `eu/frankfurt`; without a slash at either end, which is nobody's mistake. */
const GroupPath = Schema.String.check(
  Schema.makeFilter<string>((path) => {
    const names = namesIn(path)
    if (names.length > maxGroupDepth) return `must not be more than ${maxGroupDepth} groups deep`
    return names.every(isName) || "must be names of 1 to 64 characters with a slash between them, such as eu/frankfurt"
  })
)

const maybe = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What an import reads of a group. What is left out stays; null leaves it to the group above. */
export const GroupEdit = Schema.Struct({
  id: maybe(GroupId),
  path: GroupPath,
  heartbeatIntervalSeconds: maybe(HeartbeatIntervalSeconds),
  verificationPeriodSeconds: maybe(VerificationPeriodSeconds),
  connectionLimit: maybe(ServerConnectionLimit)
})
export type GroupEdit = typeof GroupEdit.Type

/** What an import reads of a server: who it is, by id or by name, and what admins say of it. */
export const ServerEdit = Schema.Struct({
  id: maybe(ServerId),
  name: maybe(ServerName),
  group: maybe(GroupPath),
  tags: Schema.optionalKey(Tags),
  labels: Schema.optionalKey(Labels),
  connectionLimit: maybe(ServerConnectionLimit)
})
export type ServerEdit = typeof ServerEdit.Type
