/** What importing a file means for groups and servers as they are now. Decides, and touches nothing. */
import { maxGroupDepth, pathKey } from "@broker/domain/Group"
import type { InventoryChange, InventoryEffect } from "@broker/domain/Inventory"
import { type GroupId, nameKey, type ServerId } from "@broker/domain/Server"
import { plain } from "@broker/domain/Wording"
import { DateTime, Effect, Exit, Option, Schema, SchemaIssue } from "effect"
import * as Cells from "./InventoryCells.ts"
import { fixed, GroupEdit, namesIn, observed, policies, ServerEdit } from "./InventoryColumns.ts"
import type { Remark, Row } from "./InventoryReading.ts"
import type { StoredGroup, StoredServer } from "./InventorySql.ts"

/** A group that is there, or one that this import makes, by the key of its path. */
export type GroupRef = { readonly id: GroupId } | { readonly made: string }

interface Policy {
  readonly heartbeatIntervalSeconds: number | null
  readonly verificationPeriodSeconds: number | null
  readonly connectionLimit: number | null
}

export interface GroupStep extends Policy {
  readonly effect: InventoryEffect
  /** Null for one to be made. */
  readonly before: StoredGroup | null
  readonly path: string
  readonly pathKey: string
  readonly parent: GroupRef | null
  readonly name: string
}

export interface ServerStep {
  readonly effect: InventoryEffect
  readonly before: StoredServer
  readonly group: GroupRef | null
  /** The path of it. */
  readonly groupPath: string | null
  readonly tags: ReadonlyArray<string>
  readonly labels: Readonly<Record<string, string>>
  readonly connectionLimit: number | null
}

export interface Planned {
  /** Those above come before those below. */
  readonly made: ReadonlyArray<GroupStep>
  readonly moved: ReadonlyArray<GroupStep>
  readonly servers: ReadonlyArray<ServerStep>
  readonly unchanged: number
  readonly problems: ReadonlyArray<Remark>
  readonly ignored: ReadonlyArray<Remark>
}

interface Line<Edit> {
  readonly line: number
  readonly edit: Edit
  readonly row: Row
}

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()
const decoders = {
  group: Schema.decodeUnknownExit(GroupEdit, { errors: "all" }),
  server: Schema.decodeUnknownExit(ServerEdit, { errors: "all" })
}

/** Neither a slash at an end of a path nor a space beside one is anybody's mistake. */
const tidyPath = (path: unknown) =>
  typeof path === "string"
    ? path
        .trim()
        .replace(/^\/|\/$/gu, "")
        .split("/")
        .map((name) => name.trim())
        .join("/")
    : path

const tidy = ({ kind, values }: Row) => {
  const field = kind === "group" ? "path" : "group"
  if (!(field in values)) return values
  const path = tidyPath(values[field])
  return { ...values, [field]: kind === "server" && path === "" ? null : path }
}

/** The words of a field that is not as it must be. */
const said = (field: string, message: string) =>
  field === "labels" && /an object/.test(message)
    ? 'must be pairs such as rack=a1; site="north; hall 2", each key once'
    : message

const refused = (row: Row, error: Schema.SchemaError): ReadonlyArray<Remark> => {
  const remarks = new Map<string, Remark>()
  for (const { message, path = [] } of issuesOf(error.issue).issues) {
    const field = String(path[0])
    remarks.set(field, { line: row.line, field, message: said(field, plain(message)) })
  }
  return [...remarks.values()]
}

/** So many rows are looked at before others get their turn. */
const atOnce = 200

const eachRow = <A>(rows: ReadonlyArray<A>, look: (row: A) => void) =>
  Effect.gen(function* () {
    for (const [at, row] of rows.entries()) {
      look(row)
      if (at % atOnce === atOnce - 1) yield* Effect.yieldNow
    }
  })

export interface Edits {
  readonly groups: ReadonlyArray<Line<GroupEdit>>
  readonly servers: ReadonlyArray<Line<ServerEdit>>
  readonly problems: ReadonlyArray<Remark>
}

/** Rows by their kind, each value of its type. */
export const decode = Effect.fn("Inventory.decode")(function* (rows: ReadonlyArray<Row>) {
  const groups: Array<Line<GroupEdit>> = []
  const servers: Array<Line<ServerEdit>> = []
  const problems: Array<Remark> = []
  const take = <A>(into: Array<Line<A>>, row: Row, exit: Exit.Exit<A, Schema.SchemaError>) => {
    if (Exit.isSuccess(exit)) into.push({ line: row.line, edit: exit.value, row })
    else
      problems.push(
        ...Option.match(Exit.findErrorOption(exit), { onNone: () => [], onSome: (error) => refused(row, error) })
      )
  }
  yield* eachRow(rows, (row) => {
    if (row.kind === "group") take(groups, row, decoders.group(tidy(row)))
    else take(servers, row, decoders.server(tidy(row)))
  })
  return { groups, servers, problems } satisfies Edits
})

const differing = (fields: ReadonlyArray<readonly [field: string, before: string, after: string]>) =>
  fields.flatMap(
    ([field, before, after]): ReadonlyArray<InventoryChange> => (before === after ? [] : [{ field, before, after }])
  )

/** What stands for a character that nobody could read, as the file was saved in another encoding. */
const unread = "\uFFFD"

/** Nothing of that is written to where it was not. */
const unreadable = (line: number, changes: ReadonlyArray<InventoryChange>): ReadonlyArray<Remark> =>
  changes
    .filter(({ after, before }) => after.includes(unread) && !before.includes(unread))
    .map(({ field }) => ({
      line,
      field,
      message: "holds a character that could not be read. Save the file as UTF-8 (in Excel: CSV UTF-8), and try again."
    }))

const policyOf = (edit: GroupEdit, before: StoredGroup | null): Policy => ({
  heartbeatIntervalSeconds:
    edit.heartbeatIntervalSeconds === undefined
      ? (before?.heartbeatIntervalSeconds ?? null)
      : edit.heartbeatIntervalSeconds,
  verificationPeriodSeconds:
    edit.verificationPeriodSeconds === undefined
      ? (before?.verificationPeriodSeconds ?? null)
      : edit.verificationPeriodSeconds,
  connectionLimit: edit.connectionLimit === undefined ? (before?.connectionLimit ?? null) : edit.connectionLimit
})

/** Where a group is to stand, by the key of its path. */
interface Place {
  readonly path: string
  readonly ref: GroupRef
  readonly line: number | null
}

/** The tree as it is to be, and how it comes to be so. */
const planGroups = (edits: ReadonlyArray<Line<GroupEdit>>, stored: ReadonlyArray<StoredGroup>) => {
  const problems: Array<Remark> = []
  const byId = new Map(stored.map((group) => [group.id as string, group]))
  const byKey = new Map(stored.map((group) => [group.pathKey, group]))
  const named = new Set(
    edits.flatMap(({ edit }) => (edit.id === undefined || edit.id === null ? [] : [edit.id as string]))
  )
  const lines = new Map<string, number>()

  /** The group that a row is about; a path that a group with a row of its own gives up is a new one. */
  const matched = edits.flatMap(({ edit, line }) => {
    if (edit.id !== undefined && edit.id !== null) {
      const before = byId.get(edit.id)
      if (before === undefined) {
        const message = "There is no group with this id. Leave the id out to have a group made."
        problems.push({ line, field: "id", message })
        return []
      }
      const other = lines.get(before.id)
      if (other !== undefined) {
        problems.push({ line, field: "id", message: `is in line ${other} already` })
        return []
      }
      lines.set(before.id, line)
      return [{ edit, line, before, path: edit.path }]
    }
    const known = byKey.get(pathKey(edit.path))
    // By its path alone, in whatever case: nobody asked for another name.
    const before = known === undefined || named.has(known.id) ? null : known
    return [{ edit, line, before, path: before?.path ?? edit.path }]
  })

  const places = new Map<string, Place>()
  const place = (key: string, at: Place) => {
    const other = places.get(key)
    if (other === undefined) return places.set(key, at)
    const [line, message] =
      at.line === null || other.line === null
        ? [at.line ?? other.line ?? 1, "is in the place of another group"]
        : [at.line, `is in line ${other.line} already`]
    return problems.push({ line, field: "path", message })
  }
  const stated = new Map<string, string>()
  for (const { before, line, path } of matched) {
    const key = pathKey(path)
    if (before !== null) stated.set(before.id, path)
    place(key, { path, line, ref: before === null ? { made: key } : { id: before.id } })
  }
  // Those above come first, so that what a group above becomes is known.
  const becomes = new Map(stated)
  const moving = new Map<string, number>()
  for (const { before, line, path } of matched) if (before !== null && path !== before.path) moving.set(before.id, line)
  for (const group of stored) {
    if (stated.has(group.id)) continue
    const above = group.parentId === null ? undefined : becomes.get(group.parentId)
    const path = above === undefined ? group.name : `${above}/${group.name}`
    const line = group.parentId === null ? undefined : moving.get(group.parentId)
    becomes.set(group.id, path)
    if (line !== undefined) moving.set(group.id, line)
    if (namesIn(path).length > maxGroupDepth) {
      problems.push({
        line: line ?? 1,
        field: "path",
        message: `puts ${group.path} more than ${maxGroupDepth} groups deep`
      })
    }
    place(pathKey(path), { path, line: null, ref: { id: group.id } })
  }

  /** Why there is no group at a path. */
  const missing = (path: string) => {
    const former = byKey.get(pathKey(path))
    const now = former === undefined ? undefined : becomes.get(former.id)
    return now === undefined
      ? `There is no group ${path}. Add a row that makes it, or correct the path.`
      : `${path} becomes ${now} by this import. Say ${now} here as well.`
  }

  const steps: Array<GroupStep> = []
  let unchanged = 0
  for (const { before, edit, line, path } of matched) {
    const names = namesIn(path)
    const name = names.at(-1) ?? ""
    const above = names.slice(0, -1).join("/")
    const parent = above === "" ? null : places.get(pathKey(above))
    if (parent === undefined) {
      problems.push({ line, field: "path", message: missing(above) })
      continue
    }
    const key = pathKey(path)
    const occupant = byKey.get(key)
    if (occupant !== undefined && occupant.id !== before?.id) {
      // One that stays has been told of.
      if (pathKey(becomes.get(occupant.id) ?? "") === key) continue
      const message = `${occupant.path} leaves this place by the same import. Import that first, and this afterwards.`
      problems.push({ line, field: "path", message })
      continue
    }
    const policy = policyOf(edit, before)
    const changes = differing([
      ["path", before?.path ?? "", path],
      ...policies.map((field) => [field, Cells.valueText(before?.[field]), Cells.valueText(policy[field])] as const)
    ])
    if (changes.length === 0) {
      unchanged++
      continue
    }
    problems.push(...unreadable(line, changes))
    steps.push({
      ...policy,
      effect: { line, kind: "group", id: before?.id ?? null, name: before?.path ?? path, changes },
      before,
      path,
      pathKey: key,
      parent: parent?.ref ?? null,
      name
    })
  }
  const depth = ({ path }: GroupStep) => namesIn(path).length
  return {
    made: steps.filter(({ before }) => before === null).toSorted((a, b) => depth(a) - depth(b)),
    moved: steps.filter(({ before }) => before !== null),
    unchanged,
    problems,
    places,
    becomes,
    missing
  }
}

const isSameTags = (some: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
  some.length === others.length && some.every((tag) => others.includes(tag))

/** What a server says itself, as a file has it. */
const toldOf = (server: StoredServer) => ({
  status: server.status,
  duty: server.duty,
  version: server.version,
  endpoints: server.endpoints,
  declaredTags: server.declaredTags,
  declaredLabels: server.declaredLabels,
  publicAddress: server.publicAddress,
  publicKey: server.publicKey,
  registeredAt: DateTime.formatIso(server.registeredAt),
  lastSeenAt: server.lastSeenAt === null ? null : DateTime.formatIso(server.lastSeenAt)
})

/** The same as a cell. */
const toldText = (field: string, value: unknown, { endpoints }: StoredServer) =>
  field === "endpoints" && value === endpoints ? Cells.endpointsText(endpoints) : Cells.valueText(value)

const isTold = (field: string, stated: unknown, told: unknown, server: StoredServer) => {
  if (typeof stated === "string") return stated === toldText(field, told, server)
  return Cells.valueText(stated) === Cells.valueText(told)
}

const whatToDo: Readonly<Record<(typeof observed)[number], string>> = {
  status: "status follows from what the server does",
  duty: "`broker server drain` changes it",
  version: "the server says it",
  endpoints: "the server says them",
  declaredTags: "the server says them; put others into tags",
  declaredLabels: "the server says them; put others into labels",
  publicAddress: "the broker sees it"
}

const planServers = Effect.fnUntraced(function* (
  edits: ReadonlyArray<Line<ServerEdit>>,
  stored: ReadonlyArray<StoredServer>,
  groups: ReturnType<typeof planGroups>
) {
  const byId = new Map(stored.map((server) => [server.id as string, server]))
  const byName = new Map(stored.flatMap((server) => (server.admission === "retired" ? [] : [[server.nameKey, server]])))
  const lines = new Map<string, number>()
  const steps: Array<ServerStep> = []
  const problems: Array<Remark> = []
  const ignored: Array<Remark> = []
  let unchanged = 0

  const find = ({ edit, line }: Line<ServerEdit>) => {
    const { id = null, name = null } = edit
    const no = (field: string | null, message: string) => {
      problems.push({ line, field, message })
      return undefined
    }
    if (id === null && name === null) return no(null, "A server needs its name or its id.")
    const server = id === null ? byName.get(nameKey(name ?? "")) : byId.get(id)
    if (server === undefined) {
      const which = id === null ? "name" : "id"
      return no(
        which,
        `There is no server with this ${which}. An import makes none: create a registration key, have the server ` +
          "register, and import again."
      )
    }
    if (server.admission === "retired") return no("id", "The server is retired, for good. Take the row out.")
    if (name !== null && name !== server.name && !(id === null && nameKey(name) === server.nameKey)) {
      return no("name", `The server with this id is called ${server.name}. A name is the server's own, and stays.`)
    }
    const other = lines.get(server.id)
    if (other !== undefined) return no(id === null ? "name" : "id", `is in line ${other} already`)
    lines.set(server.id, line)
    return server
  }

  const lookAt = ({ line, row: { values } }: Line<ServerEdit>, server: StoredServer) => {
    const told: Readonly<Record<string, unknown>> = toldOf(server)
    const isOther = (field: string) => field in values && !isTold(field, values[field], told[field], server)
    for (const field of fixed.filter(isOther)) {
      problems.push({
        line,
        field,
        message: `This is not what ${server.name} has, and an import does not change it. Export again, or take it out.`
      })
    }
    for (const field of observed.filter(isOther)) {
      const now = toldText(field, told[field], server)
      ignored.push({ line, field, message: `is ${now === "" ? "nothing" : now} now, and stays: ${whatToDo[field]}` })
    }
  }

  const groupOf = ({ edit, line }: Line<ServerEdit>, server: StoredServer) => {
    if (edit.group === undefined) {
      return { ref: server.groupId === null ? null : { id: server.groupId }, path: server.group }
    }
    if (edit.group === null) return { ref: null, path: null }
    const found = groups.places.get(pathKey(edit.group))
    if (found !== undefined) return { ref: found.ref, path: found.path }
    problems.push({ line, field: "group", message: groups.missing(edit.group) })
    return undefined
  }

  yield* eachRow(edits, (given) => {
    const server = find(given)
    if (server === undefined) return
    const { edit, line } = given
    lookAt(given, server)
    const group = groupOf(given, server)
    if (group === undefined) return
    const tags = edit.tags === undefined || isSameTags(edit.tags, server.tags) ? server.tags : edit.tags
    const labels = edit.labels ?? server.labels
    const connectionLimit = edit.connectionLimit === undefined ? server.connectionLimit : edit.connectionLimit
    const stays = group.ref === null ? server.groupId === null : "id" in group.ref && group.ref.id === server.groupId
    const changes = differing([
      // A group that has another path by this import is the same group.
      ["group", stays ? "" : (server.group ?? ""), stays ? "" : (group.path ?? "")],
      ["tags", Cells.valueText(server.tags), Cells.valueText(tags)],
      ["labels", Cells.labelsText(server.labels), Cells.labelsText(labels)],
      ["connectionLimit", Cells.valueText(server.connectionLimit), Cells.valueText(connectionLimit)]
    ])
    if (changes.length === 0) {
      unchanged++
      return
    }
    problems.push(...unreadable(line, changes))
    steps.push({
      effect: { line, kind: "server", id: server.id, name: server.name, changes },
      before: server,
      group: group.ref,
      groupPath: group.path,
      tags,
      labels,
      connectionLimit
    })
  })
  return { steps, problems, ignored, unchanged }
})

/** Whom of the servers the rows name, by id or else by name. */
export const named = ({ servers }: Edits) => {
  const ids: Array<ServerId> = []
  const nameKeys: Array<string> = []
  for (const { edit } of servers) {
    if (edit.id !== undefined && edit.id !== null) ids.push(edit.id)
    else if (edit.name !== undefined && edit.name !== null) nameKeys.push(nameKey(edit.name))
  }
  return { ids, nameKeys }
}

export const plan = Effect.fn("Inventory.planned")(function* (
  edits: Edits,
  stored: { readonly groups: ReadonlyArray<StoredGroup>; readonly servers: ReadonlyArray<StoredServer> }
) {
  const groups = planGroups(edits.groups, stored.groups)
  const servers = yield* planServers(edits.servers, stored.servers, groups)
  return {
    made: groups.made,
    moved: groups.moved,
    servers: servers.steps,
    unchanged: groups.unchanged + servers.unchanged,
    problems: [...edits.problems, ...groups.problems, ...servers.problems],
    ignored: servers.ignored
  } satisfies Planned
})
