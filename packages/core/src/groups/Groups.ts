/**
 * Folders of servers, and what holds in them. What follows from the tree (paths, and the policy that comes from above)
 * is the database's to work out, in the transaction of the change (`settle_groups`).
 */
import {
  Group,
  type GroupInTree,
  GroupInUse,
  GroupMisplaced,
  GroupNameTaken,
  GroupNotFound,
  type GroupPatch,
  type GroupPreview,
  type GroupRequest,
  pathKey
} from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { GroupId, nameKey } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Exit, Fiber, Layer, Option, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { brokenConstraint } from "../database/SqlFailure.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { VerificationPolicy } from "../verification/VerificationPolicy.ts"
import * as GroupsSql from "./GroupsSql.ts"

/** Says that what holds in groups changed: an id, though what is below it may have changed as well. */
export const groupTopic = "group"

/** Groups whose interval a node remembers; the least recently used are forgotten first. */
const capacity = 10_000

const constraintOf = (error: SqlError) =>
  error.reason._tag === "UniqueViolation" ? error.reason.constraint : brokenConstraint(error)

/** What a constraint has against a change. */
const refuse = (error: SqlError): Effect.Effect<never, GroupNameTaken | GroupMisplaced | GroupNotFound> => {
  switch (constraintOf(error)) {
    case "groups_name_uq":
      return Effect.fail(new GroupNameTaken())
    case "groups_no_ring":
    case "groups_depth":
      return Effect.fail(new GroupMisplaced())
    case "groups_parent_fk":
      return Effect.fail(new GroupNotFound())
    default:
      return Effect.die(error)
  }
}

/** The fields that differ, for the audit log. */
const changed = (group: Group, request: GroupRequest) =>
  (
    [
      "parentId",
      "name",
      "heartbeatIntervalSeconds",
      "verificationPeriodSeconds",
      "connectionLimit"
    ] as const satisfies ReadonlyArray<keyof GroupRequest>
  ).filter((field) => group[field] !== request[field])

export class Groups extends Context.Service<
  Groups,
  {
    /** All of them, in the order of their paths. */
    tree(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<GroupInTree>>
    get(organizationId: OrganizationId, id: GroupId): Effect.Effect<Group, GroupNotFound>
    /** By id, or by path. */
    find(organizationId: OrganizationId, idOrPath: string): Effect.Effect<Group, GroupNotFound>
    create(
      organizationId: OrganizationId,
      request: GroupRequest
    ): Effect.Effect<Group, GroupNotFound | GroupNameTaken | GroupMisplaced, Actor>
    /** What a change would touch. */
    preview(
      organizationId: OrganizationId,
      id: GroupId,
      request: GroupRequest
    ): Effect.Effect<GroupPreview, GroupNotFound>
    update(
      organizationId: OrganizationId,
      id: GroupId,
      request: GroupRequest
    ): Effect.Effect<Group, GroupNotFound | GroupNameTaken | GroupMisplaced, Actor>
    /** What is left out stays as it is by then. */
    amend(
      organizationId: OrganizationId,
      id: GroupId,
      patch: GroupPatch
    ): Effect.Effect<Group, GroupNotFound | GroupNameTaken | GroupMisplaced, Actor>
    /** Only an empty one (A7). */
    delete(organizationId: OrganizationId, id: GroupId): Effect.Effect<void, GroupNotFound | GroupInUse, Actor>
    /** What its servers are told as their interval, in seconds, from memory; null where the broker's setting holds (H1). */
    heartbeatIntervalSeconds(id: GroupId | null): Effect.Effect<number | null>
  }
>()("@broker/core/groups/Groups") {
  static readonly layerNoDeps = Layer.effect(
    Groups,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* GroupsSql.make
      const signals = yield* Signals
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* ServersPolicy
      const verification = yield* VerificationPolicy
      const scope = yield* Effect.scope

      const interval = Effect.fnUntraced(function* (id: GroupId) {
        const group = yield* statements.heartbeatInterval(id)
        return Option.match(group, {
          onNone: () => null,
          onSome: ({ effectiveHeartbeatIntervalSeconds }) => effectiveHeartbeatIntervalSeconds
        })
      })

      const intervals = yield* Cache.makeWith(interval, {
        capacity,
        // Failures are not remembered: the database may come back.
        timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
      })

      yield* signals.subscribe(groupTopic).pipe(
        Stream.runForEach(() => Cache.invalidateAll(intervals)),
        Effect.forkScoped
      )

      /** Tells all nodes once the transaction is through; discovery looks for servers by their group. */
      const announce = (id: GroupId) =>
        Effect.all(
          [
            Effect.orDie(signals.notify(groupTopic, id)),
            Effect.orDie(signals.notify(discoveryTopic, id)),
            sql.afterCommit(Cache.invalidateAll(intervals))
          ],
          { discard: true }
        )

      /** H7: no heartbeat waits for the database longer than heartbeats do, nor fails for want of it. */
      const look = Effect.fnUntraced(
        function* (id: GroupId) {
          const looking = yield* Effect.forkIn(Cache.get(intervals, id), scope)
          const found = yield* Effect.timeoutOption(Fiber.join(looking), policy.heartbeatPatience)
          return Option.getOrNull(found)
        },
        Effect.catchCause(() => Effect.succeed(null))
      )

      const heartbeatIntervalSeconds = Effect.fnUntraced(function* (id: GroupId | null) {
        if (id === null) return null
        const known = yield* Cache.getSuccess(intervals, id)
        return Option.isSome(known) ? known.value : yield* look(id)
      })

      const tree = Effect.fn("Groups.tree")(
        (organizationId: OrganizationId) => statements.tree(organizationId),
        Effect.orDie
      )

      const get = Effect.fn("Groups.get")(
        (organizationId: OrganizationId, id: GroupId) => statements.get({ organizationId, id }),
        Effect.catchTag("NoSuchElementError", () => new GroupNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const find = Effect.fn("Groups.find")(
        function* (organizationId: OrganizationId, idOrPath: string) {
          const byPath = yield* statements.findByPath({ organizationId, pathKey: pathKey(idOrPath) })
          if (Option.isSome(byPath)) return byPath.value
          if (!Schema.is(Uuid)(idOrPath)) return yield* new GroupNotFound()
          return yield* get(organizationId, GroupId.make(idOrPath))
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const create = Effect.fn("Groups.create")(
        function* (organizationId: OrganizationId, request: GroupRequest) {
          yield* statements.hold(organizationId)
          const id = GroupId.make(yield* secrets.id)
          yield* statements.insert(
            Group.insert.make({
              ...request,
              id,
              organizationId,
              nameKey: nameKey(request.name),
              createdAt: yield* DateTime.now
            })
          )
          const group = yield* get(organizationId, id)
          yield* announce(id)
          yield* audit.record({
            organizationId,
            action: "groups:create",
            subjectKind: "group",
            subjectId: id,
            details: { path: group.path }
          })
          return group
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", refuse),
        Effect.catchTag("SchemaError", Effect.die)
      )

      const preview = Effect.fn("Groups.preview")(
        function* (organizationId: OrganizationId, id: GroupId, request: GroupRequest) {
          yield* get(organizationId, id)
          if (request.parentId !== null) yield* get(organizationId, request.parentId)
          return yield* statements.preview({
            organizationId,
            id,
            request,
            intervalSeconds: Duration.toSeconds(policy.heartbeatInterval),
            periodSeconds: Duration.toSeconds(verification.period)
          })
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const update = Effect.fn("Groups.update")(
        function* (organizationId: OrganizationId, id: GroupId, request: GroupRequest) {
          yield* statements.hold(organizationId)
          const before = yield* get(organizationId, id)
          const fields = changed(before, request)
          if (fields.length === 0) return before
          yield* statements.holdBelow({ organizationId, id })
          yield* statements.update({ organizationId, id, changes: { ...request, nameKey: nameKey(request.name) } })
          const group = yield* get(organizationId, id)
          yield* announce(id)
          yield* audit.record({
            organizationId,
            action: "groups:update",
            subjectKind: "group",
            subjectId: id,
            details: { path: before.path, fields, ...(group.path === before.path ? {} : { newPath: group.path }) }
          })
          return group
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", refuse),
        Effect.catchTag(["NoSuchElementError", "SchemaError"], Effect.die)
      )

      const amend = Effect.fn("Groups.amend")(
        function* (organizationId: OrganizationId, id: GroupId, patch: GroupPatch) {
          yield* statements.hold(organizationId)
          const { connectionLimit, heartbeatIntervalSeconds, name, parentId, verificationPeriodSeconds } = yield* get(
            organizationId,
            id
          )
          const before = { connectionLimit, heartbeatIntervalSeconds, name, parentId, verificationPeriodSeconds }
          return yield* update(organizationId, id, { ...before, ...patch })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("Groups.delete")(
        function* (organizationId: OrganizationId, id: GroupId) {
          const one = { organizationId, id }
          yield* statements.hold(organizationId)
          yield* statements.lock(one)
          const { path } = yield* get(organizationId, id)
          const blockers = yield* statements.blockers({ ...one, now: yield* DateTime.now })
          if (Object.values(blockers).some((many) => many > 0)) return yield* new GroupInUse(blockers)
          yield* statements.release(one)
          yield* statements.remove(one)
          yield* announce(id)
          yield* audit.record({
            organizationId,
            action: "groups:delete",
            subjectKind: "group",
            subjectId: id,
            details: { path }
          })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new GroupNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Groups.of({ tree, get, find, create, preview, update, amend, delete: remove, heartbeatIntervalSeconds })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
