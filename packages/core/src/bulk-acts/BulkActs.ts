/**
 * One act on many servers: looked at beforehand, carried out in the background, and put back where that makes sense.
 *
 * Who is changed is noted at the start. From then on the leader takes every act further by a bounded part at a time.
 * Each server is changed by the service that changes one, as the admin who started it, in one transaction with its
 * outcome: an act that is interrupted goes on where it was, and does nothing twice.
 */
import {
  type BulkAct,
  BulkActConflict,
  BulkActId,
  type BulkAction,
  BulkActNotFound,
  type BulkPreview,
  type BulkRequest,
  type Selection
} from "@broker/domain/BulkAct"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import type { AdmissionConflict, ServerId, ServerNotFound } from "@broker/domain/Server"
import type { InvalidSearch } from "@broker/domain/ServerSearch"
import * as ServerSearch from "@broker/domain/ServerSearch"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit, type AuditEntry } from "../audit/Audit.ts"
import { Challenges } from "../challenges/Challenges.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { certainlyNotDone, isUnavailable } from "../database/SqlFailure.ts"
import { Servers } from "../servers/Servers.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { BulkActsPolicy } from "./BulkActsPolicy.ts"
import * as BulkActsSql from "./BulkActsSql.ts"
import { type Change, isUndoable, type Kept, permissionOf, plan, planUndo } from "./BulkPlan.ts"

/** How many acts a list shows, and how many names a preview. */
const shown = { acts: 50, names: 10 }

/** Acts that are deleted in one run: each may have as many rows as servers. */
const prunedAtOnce = 5

const pairs = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels).map(([key, value]) => `${key}=${value}`)

/** An action as the audit log tells it. */
const detailsOf = (action: BulkAction): NonNullable<AuditEntry["details"]> => {
  switch (action._tag) {
    case "Tag":
      return { act: "tag", add: action.add, remove: action.remove }
    case "Label":
      return { act: "label", set: pairs(action.set), remove: action.remove }
    case "Move":
      return { act: "move", group: action.groupId }
    case "SetDuty":
      return { act: "set-duty", duty: action.duty }
    case "LimitConnections":
      return { act: "limit-connections", limit: action.limit }
    case "Verify":
      return { act: "verify" }
    case "Approve":
      return { act: "approve" }
    case "Suspend":
      return { act: "suspend", reason: action.reason }
    case "Retire":
      return { act: "retire", reason: action.reason }
  }
}

const selectionOf = (selection: Selection): NonNullable<AuditEntry["details"]> =>
  selection._tag === "Ticked" ? { ticked: selection.ids.length } : { search: selection.query.text }

const view = ({ organizationId: _, permission: __, ...act }: BulkActsSql.Stored): BulkAct => ({
  ...act,
  undoable:
    isUndoable(act.action) && act.state !== "running" && act.changed > 0 && act.undoes === null && act.undoneBy === null
})

export class BulkActs extends Context.Service<
  BulkActs,
  {
    /** What an act would touch. Asks for the permission that the act on one server asks for. */
    preview(
      admin: SignedInAdmin,
      request: BulkRequest
    ): Effect.Effect<BulkPreview, PermissionMissing | InvalidSearch | GroupNotFound>
    /** Notes who is to be changed, now; the change itself goes on in the background. */
    start(
      admin: SignedInAdmin,
      request: BulkRequest
    ): Effect.Effect<BulkAct, PermissionMissing | InvalidSearch | GroupNotFound | BulkActConflict, Actor>
    /** Puts back what an act changed, where nobody changed it since. */
    undo(
      admin: SignedInAdmin,
      id: BulkActId
    ): Effect.Effect<BulkAct, BulkActNotFound | BulkActConflict | PermissionMissing, Actor>
    /** Leaves those alone that were not reached yet. */
    stop(
      admin: SignedInAdmin,
      id: BulkActId
    ): Effect.Effect<BulkAct, BulkActNotFound | BulkActConflict | PermissionMissing, Actor>
    get(organizationId: OrganizationId, id: BulkActId): Effect.Effect<BulkAct, BulkActNotFound>
    /** The newest first. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<BulkAct>>
    /** Takes every act at work a bounded part further; tells how many servers were reached. */
    readonly advance: Effect.Effect<number>
    /** Deletes acts past their time. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/bulk-acts/BulkActs") {
  static readonly layerNoDeps = Layer.effect(
    BulkActs,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* BulkActsSql.make
      const standing = yield* StandingSql.make
      const rows = yield* ServersSql.make
      const servers = yield* Servers
      const challenges = yield* Challenges
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* BulkActsPolicy

      const need = (admin: SignedInAdmin, permission: Permission) =>
        admin.permissions.has(permission) ? Effect.void : Effect.fail(new PermissionMissing({ permission }))

      /** What is asked for, with its search read and its group there. */
      const resolve = Effect.fnUntraced(function* (admin: SignedInAdmin, { action, selection }: BulkRequest) {
        const { organizationId } = admin
        yield* need(admin, permissionOf[action._tag])
        if (action._tag === "Move" && action.groupId !== null) {
          const group = yield* statements.hasGroup({ organizationId, id: action.groupId })
          if (Option.isNone(group)) return yield* new GroupNotFound()
        }
        const search = yield* ServerSearch.read(selection._tag === "Found" ? selection.query.text : "")
        return { organizationId, selection, search, now: yield* DateTime.now }
      })

      const preview = Effect.fn("BulkActs.preview")(
        function* (admin: SignedInAdmin, request: BulkRequest) {
          const { action } = request
          const which = yield* resolve(admin, request)
          const judged = yield* statements.preview({ ...which, action, names: shown.names })
          const changes = judged.find(({ verdict }) => verdict === "changes")
          const isCut = action._tag === "Suspend" || action._tag === "Retire"
          return {
            total: judged.reduce((sum, { servers }) => sum + servers, 0),
            changes: changes?.servers ?? 0,
            same: judged.find(({ verdict }) => verdict === "same")?.servers ?? 0,
            impossible: judged
              .filter(({ verdict }) => verdict !== "changes" && verdict !== "same")
              .map(({ servers, verdict }) => ({ reason: verdict, servers })),
            connectionsEnd: isCut ? (changes?.connections ?? 0) : 0,
            names: changes?.names ?? [],
            undoable: isUndoable(action)
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: BulkActId) {
        return view(yield* statements.get({ organizationId, id }))
      })

      /** An act without servers has ended already. */
      const begin = Effect.fnUntraced(function* (organizationId: OrganizationId, id: BulkActId, total: number) {
        yield* statements.setTotal({ id, total })
        yield* statements.finish({ id, now: yield* DateTime.now })
        return yield* read(organizationId, id)
      })

      const entry = (admin: SignedInAdmin, verb: "start" | "undo" | "stop", id: BulkActId) =>
        ({
          organizationId: admin.organizationId,
          action: `bulk-acts:${verb}`,
          subjectKind: "bulk-act",
          subjectId: id
        }) as const

      const start = Effect.fn("BulkActs.start")(
        function* (admin: SignedInAdmin, request: BulkRequest) {
          const { action, selection } = request
          const which = yield* resolve(admin, request)
          const { address } = yield* Actor
          const id = BulkActId.make(yield* secrets.id)
          yield* statements.insert({
            id,
            organizationId: admin.organizationId,
            adminId: admin.id,
            adminName: admin.name,
            address,
            action,
            permission: permissionOf[action._tag],
            undoes: null,
            createdAt: which.now
          })
          const noted = yield* statements.note({ ...which, id, limit: policy.maxServers + 1 })
          if (noted.servers > policy.maxServers) {
            return yield* new BulkActConflict({
              detail: `A bulk action is about ${policy.maxServers} servers at most. Choose fewer, and act twice.`
            })
          }
          yield* audit.record({
            ...entry(admin, "start", id),
            details: { ...detailsOf(action), ...selectionOf(selection), servers: noted.servers }
          })
          return yield* begin(admin.organizationId, id, noted.servers)
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const undo = Effect.fn("BulkActs.undo")(
        function* (admin: SignedInAdmin, id: BulkActId) {
          const { organizationId } = admin
          yield* statements.lock({ organizationId, id })
          const former = yield* statements.get({ organizationId, id })
          yield* need(admin, former.permission)
          if (!view(former).undoable) return yield* new BulkActConflict()
          const { address } = yield* Actor
          const undoing = BulkActId.make(yield* secrets.id)
          yield* statements.insert({
            id: undoing,
            organizationId,
            adminId: admin.id,
            adminName: admin.name,
            address,
            action: former.action,
            permission: former.permission,
            undoes: id,
            createdAt: yield* DateTime.now
          })
          const noted = yield* statements.noteChanged({ id: undoing, undoes: id })
          yield* audit.record({
            ...entry(admin, "undo", undoing),
            details: { ...detailsOf(former.action), undoes: id, servers: noted.servers }
          })
          return yield* begin(organizationId, undoing, noted.servers)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new BulkActNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const stop = Effect.fn("BulkActs.stop")(
        function* (admin: SignedInAdmin, id: BulkActId) {
          const { organizationId } = admin
          yield* statements.lock({ organizationId, id })
          const { permission } = yield* statements.get({ organizationId, id })
          yield* need(admin, permission)
          const stopped = yield* statements.stop({ id, because: null, now: yield* DateTime.now })
          if (stopped.length === 0) return yield* new BulkActConflict({ detail: "It has ended already." })
          yield* audit.record(entry(admin, "stop", id))
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new BulkActNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const get = Effect.fn("BulkActs.get")(
        read,
        Effect.catchTag("NoSuchElementError", () => new BulkActNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("BulkActs.list")(function* (organizationId: OrganizationId) {
        return (yield* statements.list({ organizationId, limit: shown.acts })).map(view)
      }, Effect.orDie)

      const carryOut = (
        organizationId: OrganizationId,
        id: ServerId,
        change: Change
      ): Effect.Effect<void, ServerNotFound | GroupNotFound | AdmissionConflict, Actor> => {
        switch (change._tag) {
          case "Assign":
            return Effect.asVoid(servers.assign(organizationId, id, change.assignment))
          case "SetDuty":
            return Effect.asVoid(servers.setDuty(organizationId, id, change.duty))
          case "LimitConnections":
            return Effect.asVoid(servers.limitConnections(organizationId, id, change.limit))
          case "Verify":
            return Effect.asVoid(challenges.request(organizationId, id))
          case "Approve":
            return Effect.asVoid(servers.approve(organizationId, id))
          case "Suspend":
            return Effect.asVoid(servers.suspend(organizationId, id, change.reason))
          case "Retire":
            return Effect.asVoid(servers.retire(organizationId, id, change.reason))
        }
      }

      const outcomeOf = Effect.fnUntraced(function* (act: BulkActsSql.Running, id: ServerId, kept: Kept | null) {
        const { action, organizationId } = act
        // Before the server, as whoever moves one does.
        const groupId = action._tag === "Move" ? action.groupId : null
        yield* rows.lockGroups({ organizationId, id, groupId })
        yield* rows.lock(id)
        const server = yield* rows.get({ organizationId, id })
        const planned = kept === null || act.undoes === null ? plan(action, server) : planUndo(kept, server)
        if (planned._tag === "Same") return { outcome: "same", problem: null, before: null } as const
        if (planned._tag === "Impossible") return { outcome: "failed", problem: planned.reason, before: null } as const
        return yield* carryOut(organizationId, id, planned.change).pipe(
          Effect.match({
            onSuccess: () => ({ outcome: "changed", problem: null, before: planned.kept }) as const,
            onFailure: ({ detail }) => ({ outcome: "failed", problem: detail, before: null }) as const
          })
        )
      })

      /** One server of an act, once. Tells whether it was reached. */
      const reach = Effect.fn("BulkActs.reach")(
        function* (act: BulkActsSql.Running, serverId: ServerId) {
          const taken = yield* statements.take({ id: act.id, serverId })
          if (Option.isNone(taken)) return 0
          yield* statements.end({ ...(yield* outcomeOf(act, serverId, taken.value.kept)), actId: act.id, serverId })
          return 1
        },
        sql.withTransaction,
        Effect.orDie
      )

      /** What the database may do next time is tried next time; whatever else goes wrong is the end for this server. */
      const reachSurely = (act: BulkActsSql.Running, serverId: ServerId) =>
        reach(act, serverId).pipe(
          Effect.provideService(Actor, {
            kind: "admin",
            id: act.adminId,
            name: act.adminName,
            address: act.address,
            requestId: act.id
          }),
          Effect.catchDefect((defect) => {
            if (isSqlError(defect) && (isUnavailable(defect) || certainlyNotDone(defect))) return Effect.die(defect)
            return Effect.logError("A bulk action could not be carried out on a server", defect).pipe(
              Effect.andThen(
                statements.end({
                  actId: act.id,
                  serverId,
                  outcome: "failed",
                  problem: "Something went wrong on the broker.",
                  before: null
                })
              ),
              Effect.orDie,
              Effect.as(1)
            )
          })
        )

      /** Why whoever started an act may not go on with it; null while they may. */
      const objection = Effect.fnUntraced(function* ({
        adminId,
        adminName,
        organizationId,
        permission
      }: BulkActsSql.Running) {
        const found = yield* standing.find({ organizationId, id: adminId })
        if (Option.isNone(found)) return `${adminName} is no admin any more.`
        if (found.value.isDisabled) return `${adminName} was disabled.`
        return StandingSql.allowed(found.value).has(permission)
          ? null
          : `${adminName} has the permission ${permission} no longer.`
      })

      const stopFor = Effect.fnUntraced(function* ({ id, organizationId }: BulkActsSql.Running, because: string) {
        const stopped = yield* statements.stop({ id, because, now: yield* DateTime.now })
        if (stopped.length === 0) return
        yield* audit.record({
          organizationId,
          action: "bulk-acts:stop",
          subjectKind: "bulk-act",
          subjectId: id,
          details: { reason: because }
        })
      }, sql.withTransaction)

      const take = Effect.fnUntraced(function* (act: BulkActsSql.Running, limit: number, until: DateTime.Utc) {
        const because = yield* objection(act)
        if (because !== null) {
          yield* stopFor(act, because)
          return 0
        }
        const waiting = yield* statements.waiting({ id: act.id, limit })
        let reached = 0
        for (const { serverId } of waiting) {
          reached += yield* reachSurely(act, serverId)
          if (DateTime.isGreaterThan(yield* DateTime.now, until)) break
        }
        if (waiting.length < limit) yield* statements.finish({ id: act.id, now: yield* DateTime.now })
        return reached
      })

      const advance = Effect.gen(function* () {
        const running = yield* statements.running({ limit: policy.actsPerRun })
        if (running.length === 0) return 0
        const limit = Math.max(1, Math.floor(policy.serversPerRun / running.length))
        const share = Duration.divideUnsafe(policy.runFor, running.length)
        let reached = 0
        for (const act of running) {
          reached += yield* take(act, limit, DateTime.addDuration(yield* DateTime.now, share))
        }
        return reached
      }).pipe(Effect.provideService(Actor, broker), Effect.orDie, Effect.withSpan("BulkActs.advance"))

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.keep)
        return (yield* statements.prune({ before, limit: prunedAtOnce })).length
      }).pipe(Effect.orDie, Effect.withSpan("BulkActs.prune"))

      return BulkActs.of({ preview, start, undo, stop, get, list, advance, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([Audit.layer, Challenges.layer, Secrets.layer, Servers.layer])
  )
}
