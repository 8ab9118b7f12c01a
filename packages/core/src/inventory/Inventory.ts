/**
 * Groups, and what admins say of servers, as a file that goes both ways.
 *
 * An import is looked at first. Whoever carries it out names the digest of what they saw: it covers the file and each
 * change with what was there before, so that nothing is done that nobody looked at. It is one transaction. Rows are
 * locked in the order of all locks and the plan is made once more under them, before the first row is written.
 */
import { hash } from "node:crypto"
import {
  InventoryChanged,
  type InventoryEffect,
  type InventoryFormat,
  type InventoryImported,
  type InventoryPlan,
  InventoryTooLarge,
  maxPlanShown
} from "@broker/domain/Inventory"
import type { OrganizationId } from "@broker/domain/Organization"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import { GroupId, nameKey } from "@broker/domain/Server"
import { Array as Arr, Context, DateTime, Effect, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { Actor } from "../audit/Actor.ts"
import { Audit, type AuditEntry } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import * as SqlFailure from "../database/SqlFailure.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { groupTopic } from "../groups/Groups.ts"
import * as GroupsSql from "../groups/GroupsSql.ts"
import { ServerTokens } from "../servers/ServerTokens.ts"
import { nameIn } from "./InventoryColumns.ts"
import * as Planning from "./InventoryPlanning.ts"
import { InventoryPolicy } from "./InventoryPolicy.ts"
import * as Reading from "./InventoryReading.ts"
import * as InventorySql from "./InventorySql.ts"
import { writer } from "./InventoryWriting.ts"

/** Whose inventory, and what whoever asks may do: an import does nothing that they may not do one by one. */
export interface Importer {
  readonly organizationId: OrganizationId
  readonly permissions: ReadonlySet<Permission>
}

const byLine = <A extends { readonly line: number }>(items: ReadonlyArray<A>) =>
  items.toSorted((a, b) => a.line - b.line)

const effectsOf = (format: InventoryFormat, steps: ReadonlyArray<{ readonly effect: InventoryEffect }>) =>
  byLine(steps.map(({ effect }) => effect)).map((effect) => ({
    ...effect,
    changes: effect.changes.map((change) => ({ ...change, field: nameIn(format, change.field) }))
  }))

const remarksOf = (format: InventoryFormat, remarks: ReadonlyArray<Reading.Remark>) =>
  byLine(remarks.map((remark) => ({ ...remark, field: remark.field === null ? null : nameIn(format, remark.field) })))

/** What the changes of a plan ask for, one by one. */
const needsOf = ({ made, moved, servers }: Planning.Planned): ReadonlyArray<Permission> => {
  const changed = new Set(servers.flatMap(({ effect }) => effect.changes.map(({ field }) => field)))
  const isAssigned = ["group", "tags", "labels"].some((field) => changed.has(field))
  return [
    ...(made.length > 0 ? (["groups:create"] as const) : []),
    ...(moved.length > 0 ? (["groups:update"] as const) : []),
    ...(isAssigned ? (["servers:update"] as const) : []),
    ...(changed.has("connectionLimit") ? (["servers:limit"] as const) : [])
  ]
}

/** What the database has against an import: it knows more than the plan only of what happened meanwhile. */
const refuse = (error: SqlError): Effect.Effect<never, InventoryTooLarge | InventoryChanged> => {
  if (SqlFailure.sqlState(error) === "57014") {
    return new InventoryTooLarge({ detail: "The database did not get so much done in time. Nothing was changed." })
  }
  const isBroken = error.reason._tag === "UniqueViolation" || SqlFailure.brokenConstraint(error) !== undefined
  return isBroken ? new InventoryChanged() : Effect.die(error)
}

const columnsOf = { group: "groupId", tags: "tags", labels: "labels" } as const

export class Inventory extends Context.Service<
  Inventory,
  {
    /** Text, in parts: groups by their paths, then servers by their names, retired ones left out. Recorded. */
    export(organizationId: OrganizationId, format: InventoryFormat): Stream.Stream<string, never, Actor>
    /** What importing a file would do, and what stands in its way. Does nothing. */
    plan(
      importer: Importer,
      format: InventoryFormat,
      text: string
    ): Effect.Effect<InventoryPlan, InventoryTooLarge | PermissionMissing>
    /** Does what the plan with this digest told, all or nothing; refuses where that would be something else by now. */
    apply(
      importer: Importer,
      format: InventoryFormat,
      text: string,
      digest: string
    ): Effect.Effect<InventoryImported, InventoryTooLarge | PermissionMissing | InventoryChanged, Actor>
  }
>()("@broker/core/inventory/Inventory") {
  static readonly layerNoDeps = Layer.effect(
    Inventory,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* InventorySql.make
      const groups = yield* GroupsSql.make
      const tokens = yield* ServerTokens
      const signals = yield* Signals
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* InventoryPolicy

      const exported = (organizationId: OrganizationId, format: InventoryFormat) =>
        Stream.unwrap(
          Effect.gen(function* () {
            yield* audit.record({
              organizationId,
              action: "inventory:export",
              subjectKind: "inventory",
              subjectId: null,
              details: { format }
            })
            const { between, end, groups, head, servers } = writer(format, yield* DateTime.now)
            const tree = yield* statements.groups(organizationId)
            // As it was when the export began: a group that is renamed meanwhile is called the same in the whole file.
            const paths = new Map(tree.map(({ id, path }) => [id, path]))
            const asOfThen = (server: InventorySql.StoredServer) => {
              const path = server.groupId === null ? undefined : paths.get(server.groupId)
              return path === undefined ? server : { ...server, group: path }
            }
            const limit = policy.exported
            const pages = Stream.paginate(
              { nameKey: "", id: "00000000-0000-0000-0000-000000000000" },
              (after: { readonly nameKey: string; readonly id: string }) =>
                Effect.map(statements.page({ organizationId, after, limit }), (rows) => {
                  const last = rows.at(-1)
                  const next = rows.length < limit || last === undefined ? Option.none() : Option.some(last)
                  return [[servers(rows.map(asOfThen))], next] as const
                })
            )
            return Stream.make(head, groups(tree), between).pipe(
              Stream.concat(pages),
              Stream.concat(Stream.make(end)),
              Stream.filter((part) => part !== ""),
              Stream.orDie
            )
          }).pipe(Effect.orDie, Effect.withSpan("Inventory.export"))
        )

      /** The servers that rows name, so many at a time. */
      const findServers = Effect.fnUntraced(function* (organizationId: OrganizationId, edits: Planning.Edits) {
        const { ids, nameKeys } = Planning.named(edits)
        const byIds = yield* Effect.forEach(Arr.chunksOf(ids, policy.found), (ids) =>
          statements.byIds({ organizationId, ids })
        )
        const byNames = yield* Effect.forEach(Arr.chunksOf(nameKeys, policy.found), (nameKeys) =>
          statements.byNames({ organizationId, nameKeys })
        )
        return [...byIds, ...byNames].flat()
      })

      const decode = Effect.fnUntraced(function* (format: InventoryFormat, text: string) {
        const file = yield* Reading.read(format, text)
        const edits = yield* Planning.decode(file.rows)
        return {
          format,
          rows: file.rows.length,
          edits: { ...edits, problems: [...file.problems, ...edits.problems] },
          text: hash("sha256", text)
        }
      })
      type File = Effect.Success<ReturnType<typeof decode>>

      /** What a file means now, and what says that it means just that. */
      const look = Effect.fnUntraced(function* ({ organizationId, permissions }: Importer, file: File) {
        const planned = yield* Planning.plan(file.edits, {
          groups: yield* statements.groups(organizationId),
          servers: yield* findServers(organizationId, file.edits)
        })
        const missing = needsOf(planned).find((permission) => !permissions.has(permission))
        if (missing !== undefined) return yield* new PermissionMissing({ permission: missing })
        const { made, moved, problems, servers } = planned
        const effects = [made, moved, servers].map((steps) => steps.map(({ effect }) => effect))
        const digest = problems.length > 0 ? null : hash("sha256", JSON.stringify([organizationId, file.text, effects]))
        return { ...planned, digest }
      })

      const plan = Effect.fn("Inventory.plan")(
        function* (importer: Importer, format: InventoryFormat, text: string) {
          const file = yield* decode(format, text)
          const { digest, ignored, made, moved, problems, servers, unchanged } = yield* look(importer, file)
          const updates = [...moved, ...servers]
          return {
            digest,
            totals: {
              rows: file.rows,
              creates: made.length,
              updates: updates.length,
              unchanged,
              problems: problems.length,
              ignored: ignored.length
            },
            creates: effectsOf(format, made).slice(0, maxPlanShown),
            updates: effectsOf(format, updates).slice(0, maxPlanShown),
            problems: remarksOf(format, problems).slice(0, maxPlanShown),
            ignored: remarksOf(format, ignored).slice(0, maxPlanShown)
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Organization, groups, servers: in the order of all locks, and those only that the plan touches. */
      const hold = Effect.fnUntraced(function* (organizationId: OrganizationId, planned: Planning.Planned) {
        const { made, moved, servers } = planned
        if (made.length + moved.length > 0) yield* groups.hold(organizationId)
        const changing = moved.flatMap(({ before }) => (before === null ? [] : [before.id]))
        if (changing.length > 0) yield* statements.holdGroups({ organizationId, ids: changing })
        const shared = new Set<GroupId>()
        for (const { before, group } of servers) {
          if (before.groupId !== null) shared.add(before.groupId)
          if (group !== null && "id" in group) shared.add(group.id)
        }
        if (shared.size > 0) yield* statements.shareGroups({ organizationId, ids: [...shared] })
        const ids = servers.map(({ before }) => before.id).toSorted()
        // In one order across parts as well.
        for (const part of Arr.chunksOf(ids, policy.found)) yield* statements.holdServers({ organizationId, ids: part })
      })

      const rowOf = (step: Planning.GroupStep, id: GroupId, parentId: GroupId | null): InventorySql.GroupRow => ({
        id,
        parentId,
        name: step.name,
        nameKey: nameKey(step.name),
        heartbeatIntervalSeconds: step.heartbeatIntervalSeconds,
        verificationPeriodSeconds: step.verificationPeriodSeconds,
        connectionLimit: step.connectionLimit
      })

      /** Writes groups, and tells the ids of those that are new. */
      const writeGroups = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        { made, moved }: Planning.Planned
      ) {
        const ids = new Map<string, GroupId>()
        for (const { pathKey } of made) ids.set(pathKey, GroupId.make(yield* secrets.id))
        const idOf = (ref: Planning.GroupRef | null) =>
          ref === null ? null : "id" in ref ? ref.id : (ids.get(ref.made) ?? null)
        const entries: Array<AuditEntry> = []
        const now = yield* DateTime.now
        const rows = made.flatMap((step) => {
          const id = ids.get(step.pathKey)
          if (id === undefined) return []
          const subject = { subjectKind: "group", subjectId: id } as const
          entries.push({ organizationId, action: "groups:create", ...subject, details: { path: step.path } })
          return [rowOf(step, id, idOf(step.parent))]
        })
        for (const groups of Arr.chunksOf(rows, policy.changed)) {
          yield* statements.insertGroups({ organizationId, groups, now })
        }
        const changed = moved.flatMap((step) => {
          const { before, effect, path } = step
          if (before === null) return []
          entries.push({
            organizationId,
            action: "groups:update",
            subjectKind: "group",
            subjectId: before.id,
            details: {
              path: before.path,
              fields: effect.changes.map(({ field }) => field),
              ...(path === before.path ? {} : { newPath: path })
            }
          })
          return [rowOf(step, before.id, idOf(step.parent))]
        })
        // In one statement: on the way there, the tree might be one that must not be.
        if (changed.length > 0) yield* statements.updateGroups({ organizationId, groups: changed })
        for (const id of [...ids.values(), ...changed.map(({ id }) => id)].slice(0, 1)) {
          yield* signals.notify(groupTopic, id)
        }
        return { idOf, entries }
      })

      /**
       * What is left for the commit is done now, some of it at a time: a commit is not ended by a limit of time, but
       * whoever waits for it is, and no statement may take longer than its limit. Sealing comes as late as it can:
       * from then on, others who change something wait.
       */
      const settle = Effect.gen(function* () {
        yield* statements.settleChanges
        yield* statements.seal(policy.sealed).pipe(Effect.repeat({ while: ({ sealed }) => sealed > 0 }))
        yield* statements.settleEntries
      })

      /** As the services that change one server record it. */
      const entriesOf = (organizationId: OrganizationId, step: Planning.ServerStep): ReadonlyArray<AuditEntry> => {
        const { before, connectionLimit, effect, groupPath } = step
        const fields = Object.entries(columnsOf).flatMap(([field, column]) =>
          effect.changes.some((change) => change.field === field) ? [column] : []
        )
        const subject = { organizationId, subjectKind: "server", subjectId: before.id } as const
        const moved = fields.includes("groupId") ? { before: before.group, after: groupPath } : {}
        const limits = { before: before.connectionLimit, after: connectionLimit }
        return [
          ...(fields.length === 0
            ? []
            : [{ ...subject, action: "servers:assign", details: { name: before.name, fields, ...moved } } as const]),
          ...(before.connectionLimit === connectionLimit
            ? []
            : [{ ...subject, action: "servers:limit", details: { name: before.name, ...limits } } as const])
        ]
      }

      /** Does what was expected, under locks. */
      const carryOut = Effect.fnUntraced(
        function* (importer: Importer, file: File, expected: Planning.Planned, digest: string) {
          const { organizationId } = importer
          yield* hold(organizationId, expected)
          const planned = yield* look(importer, file)
          if (planned.digest !== digest) return yield* new InventoryChanged()
          const { made, moved, servers, unchanged } = planned
          const done = { created: made.length, updated: moved.length + servers.length, unchanged }
          // First, so that it is sealed first, and with it all the others.
          yield* audit.record({
            organizationId,
            action: "inventory:import",
            subjectKind: "inventory",
            subjectId: null,
            details: { format: file.format, rows: file.rows, ...done }
          })
          const { entries, idOf } = yield* writeGroups(organizationId, planned)
          const rows = servers
            .map(({ before, connectionLimit, group, labels, tags }) => ({
              id: before.id,
              groupId: idOf(group),
              tags,
              labels,
              connectionLimit
            }))
            .toSorted((a, b) => (a.id < b.id ? -1 : 1))
          for (const part of Arr.chunksOf(rows, policy.changed)) {
            yield* statements.updateServers({ organizationId, servers: part })
          }
          const told = [...entries, ...servers.flatMap((step) => entriesOf(organizationId, step))]
          for (const part of Arr.chunksOf(told, policy.changed)) yield* audit.recordAll(part)
          if (rows.length > 0) yield* tokens.forgetAll
          if (done.created + done.updated > 0) yield* signals.resync(discoveryTopic)
          yield* settle
          return done
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", refuse)
      )

      const apply = Effect.fn("Inventory.apply")(
        function* (importer: Importer, format: InventoryFormat, text: string, digest: string) {
          // Before the transaction: to read a large file takes longer than a transaction may idle.
          const file = yield* decode(format, text)
          const expected = yield* look(importer, file)
          if (expected.digest === null || expected.digest !== digest) return yield* new InventoryChanged()
          return yield* carryOut(importer, file, expected, digest)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      return Inventory.of({ export: exported, plan, apply })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
