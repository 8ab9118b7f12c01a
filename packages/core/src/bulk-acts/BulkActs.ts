/**
 * One act on many servers: looked at beforehand, carried out in the background, and put back where that makes sense.
 *
 * Who is changed is noted at the start. From then on the leader takes every act further by a bounded part at a time.
 * Each server is changed by the service that changes one, as the admin who started it, in a fenced transaction of its
 * own with its outcome: an act that is interrupted goes on where it was and does nothing twice, one server holds up no
 * other, and whoever stops or undoes an act sees all that it did.
 */
import {
  type BulkAct,
  BulkActConflict,
  BulkActId,
  type BulkAction,
  BulkActNotFound,
  type BulkPreview,
  type BulkRequest,
  BulkSelectionChanged,
  type Selection
} from "@broker/domain/BulkAct"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import type { AdmissionConflict, AssignmentTooLarge, ServerId, ServerNotFound } from "@broker/domain/Server"
import type { InvalidSearch } from "@broker/domain/ServerSearch"
import * as ServerSearch from "@broker/domain/ServerSearch"
import { Cause, Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit, type AuditEntry } from "../audit/Audit.ts"
import { Challenges } from "../challenges/Challenges.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as SqlFailure from "../database/SqlFailure.ts"
import { Leadership, type NotLeader } from "../nodes/Leadership.ts"
import { Servers } from "../servers/Servers.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { BulkActsPolicy } from "./BulkActsPolicy.ts"
import * as BulkActsSql from "./BulkActsSql.ts"
import { type Change, isDangerous, isUndoable, type Kept, permissionOf, plan, planUndo } from "./BulkPlan.ts"

/** How many acts a list shows, and how many names a preview. */
const shown = { acts: 50, names: 10 }

/** How many acts are deleted in one run, and how many of their servers before them. */
const pruned = { acts: 5, servers: 20_000 }

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

/** Who was chosen, as the audit log tells it: all that made a list what it was. */
const selectionOf = (selection: Selection): NonNullable<AuditEntry["details"]> => {
  if (selection._tag === "Ticked") return { ticked: selection.ids.length }
  const { groupId, statuses, tags, text, verified } = selection.query
  return {
    search: text,
    ...(statuses.length === 0 ? {} : { statuses }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(verified === null ? {} : { verified }),
    ...(groupId === null || groupId === undefined ? {} : { inGroup: groupId })
  }
}

/** In words, the most frequent first. */
const problemsOf = (problems: BulkActsSql.Stored["problems"]): BulkAct["problems"] =>
  Object.entries(problems)
    .map(([problem, servers]) => ({ problem, servers }))
    .sort((a, b) => b.servers - a.servers || (a.problem < b.problem ? -1 : 1))

const view = ({ organizationId: _, permission: __, problems, ...act }: BulkActsSql.Stored): BulkAct => ({
  ...act,
  problems: problemsOf(problems),
  undoable:
    isUndoable(act.action) && act.state !== "running" && act.changed > 0 && act.undoes === null && act.undoneBy === null
})

/** Too slow, too long a wait for a lock, or two that waited for each other: it is about this server, not the database. */
const heldUp = new Set(["57014", "55P03", "40P01", "40001"])

const whyHeldUp = "The broker could not change it in time."
const whyBroken = "Something went wrong on the broker."

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
    ): Effect.Effect<
      BulkAct,
      PermissionMissing | InvalidSearch | GroupNotFound | BulkActConflict | BulkSelectionChanged,
      Actor
    >
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
    /**
     * Takes every act at work a bounded part further, each server in a fenced transaction of its own; tells how many
     * were reached.
     */
    readonly advance: Effect.Effect<number, NotLeader, Leadership>
    /** Deletes acts past their time, a bounded part at a time; tells how many are gone. */
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
          return {
            total: judged.reduce((sum, { servers }) => sum + servers, 0),
            changes: changes?.servers ?? 0,
            same: judged.find(({ verdict }) => verdict === "same")?.servers ?? 0,
            impossible: judged
              .filter(({ verdict }) => verdict !== "changes" && verdict !== "same")
              .map(({ servers, verdict }) => ({ reason: verdict, servers })),
            connectionsEnd: isDangerous(action) ? (changes?.connections ?? 0) : 0,
            names: changes?.names ?? [],
            undoable: isUndoable(action)
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: BulkActId) {
        return view(yield* statements.get({ organizationId, id }))
      })

      const begin = Effect.fnUntraced(function* (organizationId: OrganizationId, id: BulkActId, total: number) {
        yield* statements.setTotal({ id, total, now: yield* DateTime.now })
        return yield* read(organizationId, id)
      })

      /** Notes servers, so many at a time; stops where they are more than an act may be about. */
      const noteAll = Effect.fnUntraced(function* <E>(
        part: (
          after: ServerId | null,
          limit: number
        ) => Effect.Effect<{ readonly servers: number; readonly changes: number; readonly last: ServerId | null }, E>
      ) {
        const noted = { servers: 0, changes: 0 }
        for (let after: ServerId | null = null; ; ) {
          const limit = Math.min(policy.atOnce, policy.maxServers + 1 - noted.servers)
          const { changes, last, servers }: Effect.Success<ReturnType<typeof part>> = yield* part(after, limit)
          noted.servers += servers
          noted.changes += changes
          if (servers < limit || noted.servers > policy.maxServers) return noted
          after = last
        }
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
          const { action, expected, selection } = request
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
          const noted = yield* noteAll((after, limit) => statements.note({ ...which, id, action, after, limit }))
          if (noted.servers > policy.maxServers) {
            return yield* new BulkActConflict({
              detail: `A bulk action is about ${policy.maxServers} servers at most. Choose fewer, and act twice.`
            })
          }
          if (expected === undefined ? isDangerous(action) : expected !== noted.changes) {
            return yield* new BulkSelectionChanged({
              detail:
                expected === undefined
                  ? `It would change ${noted.changes} servers now: say that you expect so many.`
                  : `It would change ${noted.changes} servers now, not ${expected}.`
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
          const noted = yield* noteAll((after, limit) =>
            Effect.map(statements.noteChanged({ id: undoing, undoes: id, after, limit }), (some) => ({
              ...some,
              changes: some.servers
            }))
          )
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
      ): Effect.Effect<void, ServerNotFound | GroupNotFound | AssignmentTooLarge | AdmissionConflict, Actor> => {
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
      const reach = Effect.fn("BulkActs.reach")(function* (act: BulkActsSql.Running, serverId: ServerId) {
        if (Option.isNone(yield* statements.lockRunning(act.id))) return false
        const taken = yield* statements.take({ id: act.id, serverId })
        if (Option.isNone(taken)) return false
        const came = yield* outcomeOf(act, serverId, taken.value.kept)
        yield* statements.end({ ...came, actId: act.id, serverId, now: yield* DateTime.now })
        return true
      })

      const fail = Effect.fnUntraced(function* (act: BulkActsSql.Running, serverId: ServerId, problem: string) {
        if (Option.isNone(yield* statements.lockRunning(act.id))) return false
        const now = yield* DateTime.now
        yield* statements.end({ actId: act.id, serverId, now, outcome: "failed", problem, before: null })
        return true
      })

      /** Another time, unless it was tried often enough. */
      const putOff = Effect.fnUntraced(function* (act: BulkActsSql.Running, serverId: ServerId) {
        const put = yield* statements.putOff({ actId: act.id, serverId })
        if (Option.isNone(put) || put.value.tries < policy.tries) return false
        return yield* fail(act, serverId, whyHeldUp)
      })

      /**
       * Whatever goes wrong is the end for this server, or puts it off: the others wait for nothing but a database that
       * is away.
       */
      const reachSurely = Effect.fnUntraced(function* (act: BulkActsSql.Running, serverId: ServerId) {
        const { fenced } = yield* Leadership
        return yield* fenced(reach(act, serverId)).pipe(
          Effect.provideService(Actor, {
            kind: "admin",
            id: act.adminId,
            name: act.adminName,
            address: act.address,
            requestId: act.id
          }),
          Effect.catchCause((cause) => {
            const failure = SqlFailure.find(cause)
            const is = (what: (error: SqlError) => boolean) => Option.exists(failure, what)
            if (is((error) => heldUp.has(SqlFailure.sqlState(error) ?? ""))) {
              return Effect.andThen(
                Effect.logWarning("A bulk action could not change a server in time", cause),
                fenced(putOff(act, serverId))
              )
            }
            const isAway = is((error) => SqlFailure.isUnavailable(error) || SqlFailure.certainlyNotDone(error))
            const isBroken = Cause.hasDies(cause) || Option.isSome(failure)
            if (isAway || !isBroken || Cause.hasInterrupts(cause)) return Effect.failCause(cause)
            return Effect.andThen(
              Effect.logError("A bulk action could not be carried out on a server", cause),
              fenced(fail(act, serverId, whyBroken))
            )
          })
        )
      })

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
      })

      /** Ends early where a server was put off: whatever holds it up may hold up others. */
      const take = Effect.fnUntraced(function* (act: BulkActsSql.Running, limit: number, until: DateTime.Utc) {
        const because = yield* objection(act)
        if (because !== null) {
          yield* Leadership.use(({ fenced }) => fenced(stopFor(act, because)))
          return 0
        }
        let reached = 0
        for (const { serverId } of yield* statements.waiting({ id: act.id, limit })) {
          if (!(yield* reachSurely(act, serverId))) break
          reached += 1
          if (DateTime.isGreaterThan(yield* DateTime.now, until)) break
        }
        return reached
      })

      const advance = Effect.gen(function* () {
        const running = yield* statements.running({ limit: policy.actsPerRun })
        const limit = Math.max(1, Math.floor(policy.serversPerRun / Math.max(1, running.length)))
        const share = Duration.divideUnsafe(policy.runFor, Math.max(1, running.length))
        let reached = 0
        for (const act of running) {
          reached += yield* take(act, limit, DateTime.addDuration(yield* DateTime.now, share))
        }
        return reached
      }).pipe(
        Effect.provideService(Actor, broker),
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die),
        Effect.withSpan("BulkActs.advance")
      )

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.keep)
        const past = yield* statements.past({ before, limit: pruned.acts })
        if (past.length === 0) return 0
        const ids = past.map(({ id }) => id)
        yield* statements.forget({ ids, limit: pruned.servers })
        return (yield* statements.remove(ids)).length
      }).pipe(Effect.orDie, Effect.withSpan("BulkActs.prune"))

      return BulkActs.of({ preview, start, undo, stop, get, list, advance, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([Audit.layer, Challenges.layer, Secrets.layer, Servers.layer])
  )
}
