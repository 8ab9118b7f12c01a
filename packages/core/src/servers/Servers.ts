/** The fleet's members: what they say of themselves, and what admins do with them. */
import { maxTransitions, type ServerChange, type ServerHistory, type ServersQuery } from "@broker/domain/Fleet"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor, Uuid } from "@broker/domain/Primitives"
import { InvalidPublicKey, InvalidSignature, type TimestampOutOfRange } from "@broker/domain/Registration"
import {
  type Admission,
  AdmissionConflict,
  AssignmentTooLarge,
  type Duty,
  type FleetServer,
  type KeyRotation,
  maxAssigned,
  nameKey,
  PublicKeyInUse,
  type ServerAssignment,
  type ServerChanges,
  type ServerConnectionLimit,
  ServerId,
  ServerNotFound,
  type ServerPatch
} from "@broker/domain/Server"
import type { InvalidSearch } from "@broker/domain/ServerSearch"
import * as ServerSearch from "@broker/domain/ServerSearch"
import * as SignedString from "@broker/domain/SignedString"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import * as ChallengesSql from "../challenges/ChallengesSql.ts"
import { Cuts } from "../connections/Cuts.ts"
import { isSound, verifies } from "../crypto/Ed25519.ts"
import { Signals } from "../database/Signals.ts"
import { brokenConstraint } from "../database/SqlFailure.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { Installation } from "../Installation.ts"
import { ServersPolicy } from "./ServersPolicy.ts"
import * as ServersSql from "./ServersSql.ts"
import { ServerTokens } from "./ServerTokens.ts"
import { requireTimely } from "./Timeliness.ts"

/** Tags with some given and some taken away; those that stay keep their places. */
const retagged = (before: ReadonlyArray<string>, { add, remove }: NonNullable<ServerAssignment["tags"]>) => {
  const kept = before.filter((tag) => add.includes(tag) || !remove.includes(tag))
  return [...kept, ...add.filter((tag) => !kept.includes(tag))]
}

/** The same of labels. */
const relabelled = (
  before: Readonly<Record<string, string>>,
  { remove, set }: NonNullable<ServerAssignment["labels"]>
) => Object.fromEntries([...Object.entries(before).filter(([key]) => !remove.includes(key)), ...Object.entries(set)])

const isSameTags = (some: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
  some.length === others.length && some.every((tag) => others.includes(tag))

const isSameLabels = (some: Readonly<Record<string, string>>, others: Readonly<Record<string, string>>) => {
  const entries = Object.entries(some)
  return entries.length === Object.keys(others).length && entries.every(([key, value]) => others[key] === value)
}

/** What an assignment makes of a server, as far as it is not so already. */
const assigned = (server: FleetServer, { groupId, labels, tags }: ServerAssignment): ServersSql.Assigned => {
  const tagsAfter = tags === undefined ? server.assignedTags : retagged(server.assignedTags, tags)
  const labelsAfter = labels === undefined ? server.assignedLabels : relabelled(server.assignedLabels, labels)
  return {
    ...(groupId === undefined || groupId === server.groupId ? {} : { groupId }),
    ...(isSameTags(tagsAfter, server.assignedTags) ? {} : { tags: tagsAfter }),
    ...(isSameLabels(labelsAfter, server.assignedLabels) ? {} : { labels: labelsAfter })
  }
}

/** Whoever has more sees that there are so many at least. */
const mostCounted = 100_000

export class Servers extends Context.Service<
  Servers,
  {
    get(organizationId: OrganizationId, id: ServerId): Effect.Effect<FleetServer, ServerNotFound>
    /** By id, or by name; a retired server yields its name to a living one. */
    find(organizationId: OrganizationId, idOrName: string): Effect.Effect<FleetServer, ServerNotFound>
    list(
      organizationId: OrganizationId,
      query: ServersQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<FleetServer>; readonly nextCursor: string | null },
      InvalidCursor | InvalidSearch
    >
    /** How many servers a query finds on all its pages, up to 100,000. */
    count(organizationId: OrganizationId, query: ServersQuery): Effect.Effect<number, InvalidSearch>
    /** What its page shows beside the server itself. */
    history(organizationId: OrganizationId, id: ServerId): Effect.Effect<ServerHistory, ServerNotFound>
    /** What a server says of itself anew. */
    update(
      organizationId: OrganizationId,
      id: ServerId,
      patch: ServerPatch
    ): Effect.Effect<FleetServer, ServerNotFound, Actor>
    /** V4: a server changes its key pair; the new key counts from its first use. */
    rotateKey(
      organizationId: OrganizationId,
      id: ServerId,
      rotation: KeyRotation
    ): Effect.Effect<
      FleetServer,
      ServerNotFound | InvalidSignature | InvalidPublicKey | TimestampOutOfRange | PublicKeyInUse,
      Actor
    >
    /** Lets a pending or suspended server in. */
    approve(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<FleetServer, ServerNotFound | AdmissionConflict, Actor>
    /** Shuts a server out until it is approved again. */
    suspend(
      organizationId: OrganizationId,
      id: ServerId,
      reason: string
    ): Effect.Effect<FleetServer, ServerNotFound | AdmissionConflict, Actor>
    /** Shuts a server out for good. Doing it again changes nothing. */
    retire(
      organizationId: OrganizationId,
      id: ServerId,
      reason: string
    ): Effect.Effect<FleetServer, ServerNotFound, Actor>
    setDuty(
      organizationId: OrganizationId,
      id: ServerId,
      duty: Duty
    ): Effect.Effect<FleetServer, ServerNotFound | AdmissionConflict, Actor>
    /** How many connections it may have at once (C2), or as its group says (null); those that it has beyond go on. */
    limitConnections(
      organizationId: OrganizationId,
      id: ServerId,
      limit: ServerConnectionLimit | null
    ): Effect.Effect<FleetServer, ServerNotFound, Actor>
    /** What admins say of it: its group, and tags and labels beside those it declares. */
    assign(
      organizationId: OrganizationId,
      id: ServerId,
      assignment: ServerAssignment
    ): Effect.Effect<FleetServer, ServerNotFound | GroupNotFound | AssignmentTooLarge, Actor>
    /** All that admins say of it, at once: all of the changes or none. */
    amend(
      organizationId: OrganizationId,
      id: ServerId,
      changes: ServerChanges
    ): Effect.Effect<FleetServer, ServerNotFound | GroupNotFound | AssignmentTooLarge, Actor>
    /** What was changed about it, from the audit log, the newest first, 200 at most. */
    changes(organizationId: OrganizationId, id: ServerId): Effect.Effect<ReadonlyArray<ServerChange>, ServerNotFound>
  }
>()("@broker/core/servers/Servers") {
  static readonly layerNoDeps = Layer.effect(
    Servers,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ServersSql.make
      const challenges = yield* ChallengesSql.make
      const tokens = yield* ServerTokens
      const signals = yield* Signals
      const cuts = yield* Cuts
      const audit = yield* Audit
      const policy = yield* ServersPolicy
      const { audience } = yield* Installation

      const get = Effect.fn("Servers.get")(
        (organizationId: OrganizationId, id: ServerId) => statements.get({ organizationId, id }),
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const find = Effect.fn("Servers.find")(
        (organizationId: OrganizationId, idOrName: string) =>
          Schema.is(Uuid)(idOrName)
            ? statements.get({ organizationId, id: ServerId.make(idOrName) })
            : statements.findByName({ organizationId, nameKey: nameKey(idOrName) }),
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("Servers.list")(
        function* (organizationId: OrganizationId, query: ServersQuery) {
          const search = yield* ServerSearch.read(query.text)
          const after = yield* Cursor.decode(query.cursor)
          const { key } = ServersSql.sortOf(query.sort)
          if (after !== null && !ServersSql.isSortKey(key, after[0])) return yield* new InvalidCursor()
          const rows = yield* statements.list({ organizationId, query, search, now: yield* DateTime.now, after })
          const { items, nextCursor } = Cursor.page(rows, query.limit, ({ id, sortKey }) => [sortKey, id])
          if (items.length === 0) return { items: [], nextCursor }
          const servers = yield* statements.findMany({ organizationId, ids: items.map(({ id }) => id) })
          const byId = new Map(servers.map((server) => [server.id, server]))
          return {
            items: items.flatMap(({ id }) => {
              const server = byId.get(id)
              return server === undefined ? [] : [server]
            }),
            nextCursor
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const count = Effect.fn("Servers.count")(
        function* (organizationId: OrganizationId, query: ServersQuery) {
          const search = yield* ServerSearch.read(query.text)
          const now = yield* DateTime.now
          return (yield* statements.count({ organizationId, query, search, now, limit: mostCounted })).servers
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const history = Effect.fn("Servers.history")(
        function* (organizationId: OrganizationId, id: ServerId) {
          yield* get(organizationId, id)
          const since = DateTime.subtract(yield* DateTime.now, { hours: 24 })
          return yield* Effect.all(
            {
              transitions: statements.transitions({ organizationId, serverId: id, limit: maxTransitions }),
              challenges: challenges.history({ organizationId, serverId: id, limit: 100 }),
              samples: statements.samples({ id, since }),
              joinedWith: Effect.map(statements.joinedBy({ organizationId, id }), Option.getOrNull)
            },
            { concurrency: "unbounded" }
          )
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const update = Effect.fn("Servers.update")(
        function* (organizationId: OrganizationId, id: ServerId, patch: ServerPatch) {
          if (Object.keys(patch).length > 0) {
            yield* statements.describe({ organizationId, id, changes: patch, now: yield* DateTime.now })
            yield* signals.notify(discoveryTopic, id)
            yield* audit.record({
              organizationId,
              action: "servers:update",
              subjectKind: "server",
              subjectId: id,
              details: { fields: Object.keys(patch) }
            })
          }
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const rotateKey = Effect.fn("Servers.rotateKey")(
        function* (organizationId: OrganizationId, id: ServerId, rotation: KeyRotation) {
          const { proof, publicKey, signature, timestamp } = rotation
          const server = yield* statements.get({ organizationId, id })
          if (!isSound(publicKey)) return yield* new InvalidPublicKey()
          yield* requireTimely(timestamp, policy.maxTimestampSkew)
          const text = SignedString.rotation({ audience, serverId: id, publicKey, timestamp })
          if (!verifies(server.publicKey, text, signature) || !verifies(publicKey, text, proof)) {
            return yield* new InvalidSignature()
          }
          yield* statements.lock(id)
          // The answer to the same rotation was lost.
          const [known] = yield* sql`
            select 1 from server_keys where public_key = ${Buffer.from(publicKey, "base64url")} and server_id = ${id} and state <> 'former'`
          if (known !== undefined) return server
          yield* sql`update server_keys set state = 'former' where server_id = ${id} and state = 'next'`
          yield* sql`insert into server_keys ${sql.insert({
            publicKey: Buffer.from(publicKey, "base64url"),
            serverId: id,
            state: "next",
            createdAt: DateTime.toDateUtc(yield* DateTime.now)
          })}`
          // It has done what it may have been told to, and is asked soon, so that the new key is used and the old one ends.
          yield* sql`update server_verifications set rotation_requested_at = null where server_id = ${id}`
          yield* sql`insert into verification_hints (server_id) values (${id})`
          yield* audit.record({
            organizationId,
            action: "servers:rotate-key",
            subjectKind: "server",
            subjectId: id,
            details: { publicKey }
          })
          return server
        },
        sql.withTransaction,
        Effect.catchReason("SqlError", "UniqueViolation", () => new PublicKeyInUse()),
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Moves a server on the admission axis, or tells why it can't be moved. */
      const admit = Effect.fn("Servers.admit")(
        function* (move: {
          readonly organizationId: OrganizationId
          readonly id: ServerId
          readonly from: ReadonlyArray<Admission>
          readonly to: Admission
          readonly reason: string | null
          readonly action: `servers:${string}`
        }) {
          const { id, organizationId } = move
          const server = yield* statements.get({ organizationId, id })
          if (server.admission === move.to) return server
          yield* statements
            .setAdmission({ ...move, now: yield* DateTime.now })
            .pipe(
              Effect.catchTag(
                "NoSuchElementError",
                () => new AdmissionConflict({ detail: `The server is ${server.admission}.` })
              )
            )
          yield* tokens.forget(id)
          const cut =
            move.to === "suspended" || move.to === "retired"
              ? yield* cuts.order(organizationId, { kind: "server", id, name: server.name }, `server_${move.to}`)
              : 0
          yield* audit.record({
            organizationId,
            action: move.action,
            subjectKind: "server",
            subjectId: id,
            details: { name: server.name, before: server.admission, after: move.to, reason: move.reason, cut }
          })
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const approve = (organizationId: OrganizationId, id: ServerId) =>
        admit({
          organizationId,
          id,
          from: ["pending", "suspended"],
          to: "approved",
          reason: null,
          action: "servers:approve"
        })

      const suspend = (organizationId: OrganizationId, id: ServerId, reason: string) =>
        admit({
          organizationId,
          id,
          from: ["pending", "approved"],
          to: "suspended",
          reason: reason === "" ? null : reason,
          action: "servers:suspend"
        })

      const retire = (organizationId: OrganizationId, id: ServerId, reason: string) =>
        admit({
          organizationId,
          id,
          from: ["pending", "approved", "suspended"],
          to: "retired",
          reason: reason === "" ? null : reason,
          action: "servers:retire"
          // Somebody else retired it in between.
        }).pipe(Effect.catchTag("AdmissionConflict", () => get(organizationId, id)))

      const setDuty = Effect.fn("Servers.setDuty")(
        function* (organizationId: OrganizationId, id: ServerId, duty: Duty) {
          const server = yield* statements.get({ organizationId, id })
          if (server.duty === duty) return server
          yield* statements
            .setDuty({ organizationId, id, duty, now: yield* DateTime.now })
            .pipe(
              Effect.catchTag("NoSuchElementError", () => new AdmissionConflict({ detail: "The server is retired." }))
            )
          yield* signals.notify(discoveryTopic, id)
          yield* audit.record({
            organizationId,
            action: "servers:drain",
            subjectKind: "server",
            subjectId: id,
            details: { name: server.name, before: server.duty, after: duty }
          })
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const limitConnections = Effect.fn("Servers.limitConnections")(
        function* (organizationId: OrganizationId, id: ServerId, limit: ServerConnectionLimit | null) {
          const server = yield* statements.get({ organizationId, id })
          if (server.ownConnectionLimit === limit) return server
          yield* statements.lockGroups({ organizationId, id, groupId: null })
          yield* statements.limitConnections({ organizationId, id, limit })
          yield* signals.notify(discoveryTopic, id)
          yield* audit.record({
            organizationId,
            action: "servers:limit",
            subjectKind: "server",
            subjectId: id,
            details: { name: server.name, before: server.ownConnectionLimit, after: limit }
          })
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const assign = Effect.fn("Servers.assign")(
        function* (organizationId: OrganizationId, id: ServerId, assignment: ServerAssignment) {
          yield* statements.lockGroups({ organizationId, id, groupId: assignment.groupId ?? null })
          // What others assign at the same time comes before, or finds this.
          yield* statements.lock(id)
          const server = yield* statements.get({ organizationId, id })
          const changes = assigned(server, assignment)
          const fields = Object.keys(changes)
          if (fields.length === 0) return server
          const { labels = {}, tags = [] } = changes
          if (tags.length > maxAssigned || Object.keys(labels).length > maxAssigned) {
            return yield* new AssignmentTooLarge()
          }
          yield* statements.assign({ organizationId, id, assigned: changes })
          yield* tokens.forget(id)
          const after = yield* statements.get({ organizationId, id })
          yield* audit.record({
            organizationId,
            action: "servers:assign",
            subjectKind: "server",
            subjectId: id,
            details: {
              name: server.name,
              fields,
              ...(fields.includes("groupId") ? { before: server.group, after: after.group } : {})
            }
          })
          return after
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", (error) =>
          brokenConstraint(error) === "servers_group_fk" ? Effect.fail(new GroupNotFound()) : Effect.die(error)
        ),
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag("SchemaError", Effect.die)
      )

      const amend = Effect.fn("Servers.amend")(
        function* (organizationId: OrganizationId, id: ServerId, changes: ServerChanges) {
          const { assignedLabels, assignedTags, ownConnectionLimit, ...assignment } = changes
          yield* statements.lockGroups({ organizationId, id, groupId: assignment.groupId ?? null })
          yield* statements.lock(id)
          const server = yield* statements.get({ organizationId, id })
          yield* assign(organizationId, id, {
            ...assignment,
            ...(assignedTags === undefined ? {} : { tags: { add: assignedTags, remove: server.assignedTags } }),
            ...(assignedLabels === undefined
              ? {}
              : { labels: { set: assignedLabels, remove: Object.keys(server.assignedLabels) } })
          })
          if (ownConnectionLimit !== undefined) yield* limitConnections(organizationId, id, ownConnectionLimit)
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const changes = Effect.fn("Servers.changes")(
        function* (organizationId: OrganizationId, id: ServerId) {
          yield* get(organizationId, id)
          return yield* statements.changes({ organizationId, id, limit: 200 })
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Servers.of({
        amend,
        assign,
        changes,
        get,
        find,
        list,
        count,
        history,
        update,
        rotateKey,
        approve,
        suspend,
        retire,
        setDuty,
        limitConnections
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
