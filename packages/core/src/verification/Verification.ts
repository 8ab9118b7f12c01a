/** Who is to be asked when (V3), who failed, and what servers can really do. */
import type { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor, Timestamp } from "@broker/domain/Primitives"
import { AdmissionConflict, type ServerId, ServerNotFound } from "@broker/domain/Server"
import type {
  CapabilityStanding,
  VerificationFigures,
  VerificationQuery,
  VerifiedServer
} from "@broker/domain/Verification"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { CapabilityChecks } from "./CapabilityChecks.ts"
import * as VerificationSql from "./VerificationSql.ts"

/** Figures over a day, which many pages ask for at once, need not be of this second. */
const figuresHold = Duration.seconds(10)

/** Why a server does not count as verified, in a sentence. */
const reasonOf = (row: VerificationSql.Row): string | null => {
  if (row.verified) {
    return row.silences === 0 ? null : `It left the last ${row.silences} questions unanswered.`
  }
  switch (row.doubtReason) {
    case "challenge_failed":
      return "It signed with a key that is not its own."
    case "forked":
      return "Two machines reported as this server at the same time."
    case "unanswered":
      return `It went on reporting, but left ${Math.max(row.silences, 1)} questions in a row unanswered.`
    default:
      return row.state === "passed"
        ? "It was given another key, which it has not proven yet."
        : "It has not proven its key yet."
  }
}

const toServer = (row: VerificationSql.Row): VerifiedServer => ({
  serverId: row.serverId,
  name: row.name,
  group: row.group,
  verified: row.verified,
  verifiedAt: row.verifiedAt,
  dueAt: row.dueAt,
  risk: row.risk,
  last:
    row.purpose === null || row.state === null || row.at === null
      ? null
      : { purpose: row.purpose, state: row.state, at: row.at, latencyMillis: row.latencyMillis },
  silences: row.silences,
  reason: reasonOf(row)
})

export class Verification extends Context.Service<
  Verification,
  {
    /** Of the last 24 hours, and what is past of the hour they begin in; some seconds old at most. */
    figures(organizationId: OrganizationId): Effect.Effect<VerificationFigures>
    list(
      organizationId: OrganizationId,
      query: VerificationQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<VerifiedServer>; readonly nextCursor: string | null },
      InvalidCursor
    >
    ofServer(organizationId: OrganizationId, id: ServerId): Effect.Effect<VerifiedServer, ServerNotFound>
    capabilities(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<ReadonlyArray<CapabilityStanding>, ServerNotFound>
    /** V4: the server is told with its next heartbeat to change its key pair, until it has offered a new one. */
    requestRotation(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<VerifiedServer, ServerNotFound | AdmissionConflict, Actor>
    /** Checks what servers say they can do, where there is a check for it and the last one is old; tells how many. */
    readonly checkCapabilities: Effect.Effect<number>
  }
>()("@broker/core/verification/Verification") {
  static readonly layerNoDeps = Layer.effect(
    Verification,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* VerificationSql.make
      const servers = yield* ServersSql.make
      const checks = yield* CapabilityChecks
      const audit = yield* Audit

      const computed = yield* Cache.makeWith(
        Effect.fn("Verification.figures")(function* (organizationId: OrganizationId) {
          const now = yield* DateTime.now
          const day = { organizationId, now, since: DateTime.subtract(now, { hours: 24 }) }
          const { until } = yield* statements.talliedUntil
          const { hours, ...rest } = yield* Effect.all({
            hours: statements.hours({ ...day, after: until ?? DateTime.makeUnsafe(0) }),
            latency: statements.latency(day),
            due: statements.due({ organizationId, now, soon: DateTime.add(now, { hours: 1 }) }),
            groups: statements.groups({ organizationId, now })
          })
          const sum = (of: "passed" | "failed" | "expired") => hours.reduce((total, hour) => total + hour[of], 0)
          const ended = { passed: sum("passed"), failed: sum("failed"), expired: sum("expired") }
          const all = ended.passed + ended.failed + ended.expired
          return {
            ...ended,
            passRate: all === 0 ? null : ended.passed / all,
            ...rest.latency,
            ...rest.due,
            verified: rest.groups.reduce((total, { verified }) => total + verified, 0),
            unverified: rest.groups.reduce((total, { unverified }) => total + unverified, 0),
            hours,
            groups: rest.groups
          } satisfies VerificationFigures
        }, Effect.orDie),
        { capacity: 1_000, timeToLive: (exit) => (Exit.isSuccess(exit) ? figuresHold : Duration.zero) }
      )

      const figures = (organizationId: OrganizationId) => Cache.get(computed, organizationId)

      const list = Effect.fn("Verification.list")(
        function* (organizationId: OrganizationId, query: VerificationQuery) {
          const after = yield* Cursor.decode(query.cursor)
          if (after !== null && !Schema.is(Timestamp)(after[0])) return yield* new InvalidCursor()
          const groups =
            query.groupId === null
              ? null
              : (yield* statements.groupsBelow({ organizationId, id: query.groupId })).map(({ id }) => id)
          const rows = yield* statements.list({ organizationId, query, groups, after })
          const { items, nextCursor } = Cursor.page(rows, query.limit, (row) => [row.position, row.serverId])
          return { items: items.map(toServer), nextCursor }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const ofServer = Effect.fn("Verification.ofServer")(
        (organizationId: OrganizationId, id: ServerId) => Effect.map(statements.get({ organizationId, id }), toServer),
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const requestRotation = Effect.fn("Verification.requestRotation")(
        function* (organizationId: OrganizationId, id: ServerId) {
          const { admission, name } = yield* servers.get({ organizationId, id })
          if (admission === "retired" || admission === "suspended") {
            return yield* new AdmissionConflict({ detail: `A ${admission} server is not told to change its key.` })
          }
          yield* servers.lock(id)
          yield* sql`
            update server_verifications
               set rotation_requested_at = ${DateTime.toDateUtc(yield* DateTime.now)}
             where server_id = ${id}`
          yield* audit.record({
            organizationId,
            action: "servers:request-key",
            subjectKind: "server",
            subjectId: id,
            details: { name }
          })
          return toServer(yield* statements.get({ organizationId, id }))
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const capabilities = Effect.fn("Verification.capabilities")(
        function* (organizationId: OrganizationId, id: ServerId) {
          const { capabilities } = yield* servers.get({ organizationId, id })
          return yield* checks.standings(id, Object.keys(capabilities))
        },
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const checkCapabilities = Effect.gen(function* () {
        const checked = yield* Effect.flatMap(checks.due, checks.probe)
        return yield* checks.record(checked)
      }).pipe(Effect.withSpan("Verification.checkCapabilities"))

      return Verification.of({ figures, list, ofServer, capabilities, requestRotation, checkCapabilities })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
