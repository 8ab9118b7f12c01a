/** What a list of servers asks for, as conditions on `fleet`. Whatever people wrote stands in parameters. */
import type { ServersQuery } from "@broker/domain/Fleet"
import { pathKey } from "@broker/domain/Group"
import { Uuid } from "@broker/domain/Primitives"
import { nameKey } from "@broker/domain/Server"
import { type Compare, type Condition, isAddress, type ServerSearch, secondsOf } from "@broker/domain/ServerSearch"
import { DateTime, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"

/** Which servers: the filters of a list, and its text as it was read. */
export interface Wanted {
  readonly organizationId: string
  readonly query: Pick<ServersQuery, "statuses" | "tags" | "verified" | "groupId">
  readonly search: ServerSearch
  /** What ages are counted from. */
  readonly now: DateTime.Utc
}

/** Finds any part of a text, taken literally. */
const containing = (text: string) => `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`

const isUuid = Schema.is(Uuid)

/** A version that is all in its key. */
const numbers = "[0-9]{1,9}([.][0-9]{1,9}){0,3}"
const numbered = new RegExp(`^${numbers}$`)

/** The statuses are computed of three axes; as conditions on the axes, the planner knows how many servers have them. */
const statusConditions: Readonly<Record<ServersQuery["statuses"][number], string>> = {
  retired: "admission = 'retired'",
  suspended: "admission = 'suspended'",
  pending: "admission = 'pending'",
  maintenance: "admission = 'approved' and duty = 'maintenance'",
  offline: "admission = 'approved' and duty <> 'maintenance' and liveness = 'offline'",
  unknown: "admission = 'approved' and duty <> 'maintenance' and liveness = 'unknown'",
  never_seen: "admission = 'approved' and duty <> 'maintenance' and liveness = 'never_seen'",
  degraded: "admission = 'approved' and duty <> 'maintenance' and liveness = 'degraded'",
  draining: "admission = 'approved' and duty = 'draining' and liveness = 'online'",
  online: "admission = 'approved' and duty = 'serving' and liveness = 'online'"
}

export const make = (sql: SqlClient.SqlClient) => {
  const sign = (compare: Compare) => sql.literal(compare)

  const statuses = (some: ServersQuery["statuses"]) =>
    sql.or([...new Set(some)].map((status) => sql`(${sql.literal(statusConditions[status])})`))

  /** In words of the database, as there is an index of those that are not. */
  const proven = (verified: boolean) => sql.literal(verified ? "verified" : "not verified")

  /** Of whole numbers, as whole numbers: the planner knows how many there are beyond one. */
  const counted = (compare: Compare, value: number) => {
    if (compare === "=" && !Number.isInteger(value)) return sql`false`
    const whole = compare === ">" || compare === "<=" ? Math.floor(value) : Math.ceil(value)
    return sql`live_connections ${sign(compare)} ${BigInt(whole)}::bigint`
  }

  /** At an address, or in a network. */
  const at = (network: string) => sql`public_address <<= ${network}::inet`

  /** Several of a kind in one term: any of them. */
  const anyFacet = (kind: string, values: ReadonlyArray<string>) =>
    values.length === 1
      ? sql`facets @> array[${kind + values[0]}]::text[]`
      : sql`facets && ${values.map((value) => kind + value)}::text[]`

  /** Read once, before any server is. */
  const inGroups = (groups: Fragment) => sql`group_id = any (array(${groups}))`

  /** Younger than an age is later than the time that long ago. */
  const ago = (column: "last_seen_at" | "registered_at", compare: "<" | ">", seconds: number, now: DateTime.Utc) =>
    sql`${sql.literal(column)} ${sign(compare === "<" ? ">" : "<")} ${DateTime.toDateUtc(DateTime.subtract(now, { seconds }))}`

  /**
   * Numbers are compared as numbers: 1.10 is 1.10.0, and v1.10, and what is built of it. Whatever else a version says
   * is no number, and so it is the same text, or another version.
   */
  const sameVersion = (version: string) => {
    const bare = version.replace(/^v(?=\d)/, "")
    const key = sql`coalesce(version_key, '{}') = coalesce(version_key(${bare}), '{}')`
    if (numbered.test(bare)) return sql`${key} and version ~ ${`^v?${numbers}(\\+.*)?$`}`
    return /^\d/.test(bare) ? sql`${key} and version in (${bare}, ${`v${bare}`})` : sql`${key} and version = ${version}`
  }

  const word = (text: string) => {
    const key = nameKey(text)
    const named = sql`name_key like ${containing(key)}`
    const lower = text.toLowerCase()
    if (isUuid(lower)) return sql.or([named, sql`id = ${lower}::uuid`])
    if (isAddress(text)) return sql.or([named, at(text)])
    return named
  }

  const conditionOf = (condition: Condition, organizationId: string, now: DateTime.Utc): Fragment => {
    switch (condition._tag) {
      case "Word":
        return word(condition.text)
      case "Name":
        return sql`name_key like ${containing(nameKey(condition.text))}`
      case "Id":
        return sql`id = ${condition.id}::uuid`
      case "Tag":
        return anyFacet("tag:", condition.tags)
      case "Label":
        return condition.value === null
          ? sql`jsonb_exists(labels, ${condition.key})`
          : anyFacet("label:", [`${condition.key}:${condition.value}`])
      case "Capability":
        return anyFacet("capability:", condition.names)
      case "Group":
        return condition.path === null
          ? sql`group_id is not null`
          : inGroups(sql`
              select id
                from groups
               where organization_id = ${organizationId}
                 and (path_key = ${pathKey(condition.path)} or path_key ^@ ${`${pathKey(condition.path)}/`})`)
      case "Version":
        return condition.compare === "="
          ? sameVersion(condition.version)
          : sql`version_key ${sign(condition.compare)} version_key(${condition.version})`
      case "Status":
        return statuses(condition.statuses)
      case "Admission":
        return sql.in("admission", condition.admissions)
      case "Duty":
        return sql.in("duty", condition.duties)
      case "Verified":
        return proven(condition.verified)
      case "Seen":
        return ago("last_seen_at", condition.compare, secondsOf(condition.age), now)
      case "NeverSeen":
        // Both say the same. Of nothing alone, whoever plans the statement would have to look at each server first.
        return sql`last_seen_at is null and liveness = 'never_seen'`
      case "Registered":
        return ago("registered_at", condition.compare, secondsOf(condition.age), now)
      case "Load":
        return sql`load ${sign(condition.compare)} ${condition.value}::float8`
      case "Connections":
        return counted(condition.compare, condition.value)
      case "Metric":
        // Read once, before any server is: nobody can tell beforehand how many there are, and there may be none.
        return sql`id in (
          select server_id
            from server_presence
            join server_loads using (server_id)
           where organization_id = ${organizationId}
             and (metrics ->> ${condition.name})::float8 ${sign(condition.compare)} ${condition.value}::float8
          offset 0)`
      case "Address":
        return at(condition.network)
    }
  }

  /** All of them have to hold. What is not known of a server does not hold, and so its opposite does. */
  return ({ now, organizationId, query, search }: Wanted): ReadonlyArray<Fragment> => [
    sql`organization_id = ${organizationId}`,
    ...(query.statuses.length === 0 ? [] : [statuses(query.statuses)]),
    ...(query.tags.length === 0 ? [] : [sql`facets @> ${query.tags.map((tag) => `tag:${tag}`)}::text[]`]),
    ...(query.verified === null ? [] : [proven(query.verified)]),
    ...(query.groupId === null || query.groupId === undefined
      ? []
      : [
          inGroups(sql`
            select g.id
              from groups g
              join groups top on top.organization_id = g.organization_id
                and (g.path_key = top.path_key or g.path_key ^@ (top.path_key || '/'))
             where top.organization_id = ${organizationId}
               and top.id = ${query.groupId}`)
        ]),
    ...search.map(({ condition, negated }) =>
      negated
        ? sql`(${conditionOf(condition, organizationId, now)}) is not true`
        : sql`(${conditionOf(condition, organizationId, now)})`
    )
  ]
}
