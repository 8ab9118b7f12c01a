/** The people who connect: made, changed, suspended, deleted; and what happened around them. */
import type { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor } from "@broker/domain/Primitives"
import { nameKey } from "@broker/domain/Server"
import {
  EmailTaken,
  type ListedUser,
  User,
  type UserActivity,
  UserId,
  UserNotFound,
  type UserPatch,
  type UserRequest,
  type UserState,
  type UsersQuery
} from "@broker/domain/User"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import { ClientSessions } from "../client-sessions/ClientSessions.ts"
import { Cuts } from "../connections/Cuts.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as UsersSql from "./UsersSql.ts"

/** How much of a user's past their page shows. */
const activityLimit = 200

/** What users are sorted and found by: folded like servers' names, and short enough for a cursor to carry. */
const sortName = (name: string) => nameKey(name).slice(0, 200).toWellFormed()

/** What an admin may change, in the order in which it is recorded. */
const fields = ["name", "email", "note"] as const

const emailTaken = ({ constraint }: { readonly constraint: string }) =>
  constraint === "users_email_uq"
    ? Effect.fail(new EmailTaken())
    : Effect.die(new Error(`Unexpected violation of ${constraint}`))

export class Users extends Context.Service<
  Users,
  {
    create(organizationId: OrganizationId, request: UserRequest): Effect.Effect<ListedUser, EmailTaken, Actor>
    get(organizationId: OrganizationId, id: UserId): Effect.Effect<ListedUser, UserNotFound>
    list(
      organizationId: OrganizationId,
      query: UsersQuery
    ): Effect.Effect<{ readonly items: ReadonlyArray<ListedUser>; readonly nextCursor: string | null }, InvalidCursor>
    update(
      organizationId: OrganizationId,
      id: UserId,
      patch: UserPatch
    ): Effect.Effect<ListedUser, UserNotFound | EmailTaken, Actor>
    /** C6: ends the user's sessions and cuts their connections. Doing it again changes nothing. */
    suspend(organizationId: OrganizationId, id: UserId, reason: string): Effect.Effect<ListedUser, UserNotFound, Actor>
    /** Lets a suspended user connect again. */
    resume(organizationId: OrganizationId, id: UserId): Effect.Effect<ListedUser, UserNotFound, Actor>
    /** Cuts, then deletes the user with keys, devices and sessions; connections stay, with the names they had (C7). */
    delete(organizationId: OrganizationId, id: UserId): Effect.Effect<void, UserNotFound, Actor>
    /** When the user signed in, and what the audit log has of them, their keys and devices; the newest first. */
    activity(
      organizationId: OrganizationId,
      id: UserId,
      options: { readonly audited: boolean }
    ): Effect.Effect<ReadonlyArray<UserActivity>, UserNotFound>
  }
>()("@broker/core/users/Users") {
  static readonly layerNoDeps = Layer.effect(
    Users,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* UsersSql.make
      const sessions = yield* ClientSessions
      const cuts = yield* Cuts
      const secrets = yield* Secrets
      const audit = yield* Audit

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: UserId) {
        return yield* statements.get({ organizationId, id, now: yield* DateTime.now })
      })

      const get = Effect.fn("Users.get")(
        read,
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const create = Effect.fn("Users.create")(
        function* (organizationId: OrganizationId, request: UserRequest) {
          const now = yield* DateTime.now
          const id = UserId.make(yield* secrets.id)
          yield* statements
            .insert(
              User.insert.make({
                ...request,
                id,
                organizationId,
                nameKey: sortName(request.name),
                state: "active",
                stateSince: now,
                createdAt: now
              })
            )
            .pipe(Effect.catchReason("SqlError", "UniqueViolation", emailTaken))
          yield* audit.record({
            organizationId,
            action: "users:create",
            subjectKind: "user",
            subjectId: id,
            details: { name: request.name, email: request.email }
          })
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("Users.list")(
        function* (organizationId: OrganizationId, query: UsersQuery) {
          const after = yield* Cursor.decode(query.cursor)
          const { key } = UsersSql.sortOf(query.sort)
          if (after !== null && !UsersSql.isSortKey(key, after[0])) return yield* new InvalidCursor()
          const now = yield* DateTime.now
          const rows = yield* statements.list({ organizationId, query, nameKey: sortName(query.text), after, now })
          return Cursor.page(rows, query.limit, (user) => [
            {
              name: () => sortName(user.name),
              lastSeen: () => (user.lastSeenAt === null ? "-infinity" : DateTime.formatIso(user.lastSeenAt)),
              created: () => user.id
            }[key](),
            user.id
          ])
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const update = Effect.fn("Users.update")(
        function* (organizationId: OrganizationId, id: UserId, patch: UserPatch) {
          const before = yield* statements.lock({ organizationId, id })
          const changed = fields.filter((field) => patch[field] !== undefined && patch[field] !== before[field])
          if (changed.length > 0) {
            const key = patch.name === undefined ? {} : { nameKey: sortName(patch.name) }
            yield* statements
              .update({ organizationId, id, changes: { ...patch, ...key } })
              .pipe(Effect.catchReason("SqlError", "UniqueViolation", emailTaken))
            yield* audit.record({
              organizationId,
              action: "users:update",
              subjectKind: "user",
              subjectId: id,
              details: {
                name: patch.name ?? before.name,
                fields: changed,
                before: changed.map((field) => before[field] ?? ""),
                after: changed.map((field) => patch[field] ?? "")
              }
            })
          }
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** C6: nothing new begins for the user any more when their sessions and connections end. */
      const cut = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        id: UserId,
        name: string,
        reason: string
      ) {
        yield* sessions.end({ userId: id })
        yield* cuts.order(organizationId, { kind: "user", id, name }, reason)
      })

      /** Moves a user to another state, and does with it what follows from that. */
      const move = Effect.fn("Users.move")(
        function* (change: {
          readonly organizationId: OrganizationId
          readonly id: UserId
          readonly to: UserState
          readonly reason: string | null
          readonly action: `users:${string}`
        }) {
          const { action, id, organizationId, reason, to } = change
          const moved = yield* statements.setState({ organizationId, id, state: to, reason, now: yield* DateTime.now })
          if (Option.isSome(moved)) {
            const { name } = moved.value
            if (to === "suspended") yield* cut(organizationId, id, name, "user_suspended")
            yield* audit.record({
              organizationId,
              action,
              subjectKind: "user",
              subjectId: id,
              details: { name, before: to === "suspended" ? "active" : "suspended", after: to, reason }
            })
          }
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const suspend = (organizationId: OrganizationId, id: UserId, reason: string) =>
        move({
          organizationId,
          id,
          to: "suspended",
          reason: reason === "" ? null : reason,
          action: "users:suspend"
        })

      const resume = (organizationId: OrganizationId, id: UserId) =>
        move({ organizationId, id, to: "active", reason: null, action: "users:resume" })

      const remove = Effect.fn("Users.delete")(
        function* (organizationId: OrganizationId, id: UserId) {
          // Under the lock nobody of theirs signs in or connects, until the user is gone.
          const { email, name } = yield* statements.lock({ organizationId, id })
          yield* cut(organizationId, id, name, "user_deleted")
          yield* statements.remove({ organizationId, id })
          yield* audit.record({
            organizationId,
            action: "users:delete",
            subjectKind: "user",
            subjectId: id,
            details: { name, email }
          })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const activity = Effect.fn("Users.activity")(
        function* (organizationId: OrganizationId, id: UserId, { audited }: { readonly audited: boolean }) {
          yield* get(organizationId, id)
          return yield* statements.activity({ organizationId, id, audited, limit: activityLimit })
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Users.of({ create, get, list, update, suspend, resume, delete: remove, activity })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
