/** The broker's questions to servers: asked one at a time, answered once, judged at once. */
import {
  Challenge,
  ChallengeFailed,
  ChallengeGone,
  type ChallengeId,
  type ChallengePurpose,
  Nonce,
  type Verification
} from "@broker/domain/Challenge"
import type { OrganizationId } from "@broker/domain/Organization"
import { AdmissionConflict, type ServerId, ServerNotFound, type Signature } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { Context, DateTime, Duration, Effect, Layer, Option, Ref } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { Actor, broker } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Cuts } from "../connections/Cuts.ts"
import { verifies } from "../crypto/Ed25519.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { Installation } from "../Installation.ts"
import { Nodes } from "../nodes/Nodes.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { ServerTokens } from "../servers/ServerTokens.ts"
import * as ScheduleSql from "../verification/ScheduleSql.ts"
import { VerificationPolicy } from "../verification/VerificationPolicy.ts"
import * as ChallengesSql from "./ChallengesSql.ts"

export class Challenges extends Context.Service<
  Challenges,
  {
    /** Asks a server; an open question gives way. Joins the caller's transaction. */
    issue(id: ServerId, purpose: ChallengePurpose): Effect.Effect<Challenge>
    /** An admin wants to know, now. The server is asked with its next heartbeat. */
    request(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<void, ServerNotFound | AdmissionConflict, Actor>
    /**
     * Asks a server that is to be asked, whose heartbeat is being answered: its time begins only now, however long its
     * heartbeats are apart. None where another heartbeat took the question out.
     */
    take(id: ServerId): Effect.Effect<Option.Option<Challenge>>
    /** V1, V2: the right signature verifies the server, a wrong one suspends it. */
    answer(
      server: { readonly id: ServerId; readonly organizationId: OrganizationId },
      id: ChallengeId,
      signature: Signature
    ): Effect.Effect<Verification, ChallengeFailed | ChallengeGone, Actor>
    /**
     * Ends what was not answered in time, works out who is to be asked when, and has those who are due asked with their
     * next heartbeats: the most urgent first, and never more than the fleet's pace allows (V3). Tells how many of each.
     */
    readonly renew: Effect.Effect<{
      readonly expired: number
      readonly wanted: number
      /** Verified servers that went on without answering, and count as verified no longer. */
      readonly doubted: number
      /** New keys that nobody used, and that count no longer (V4). */
      readonly keysDropped: number
    }>
    /** Forgets questions that ended long ago, a bounded number at once; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/challenges/Challenges") {
  static readonly layerNoDeps = Layer.effect(
    Challenges,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ChallengesSql.make
      const servers = yield* ServersSql.make
      const secrets = yield* Secrets
      const tokens = yield* ServerTokens
      const signals = yield* Signals
      const cuts = yield* Cuts
      const audit = yield* Audit
      const nodes = yield* Nodes
      const policy = yield* ServersPolicy
      const verification = yield* VerificationPolicy
      const schedule = yield* ScheduleSql.make
      const isAligned = yield* Ref.make(false)
      const { audience } = yield* Installation

      const issue = Effect.fn("Challenges.issue")(
        function* (serverId: ServerId, purpose: ChallengePurpose) {
          const now = yield* DateTime.now
          // Two questions at once: the second waits here, and takes the place of the first.
          yield* servers.lock(serverId)
          yield* statements.supersede(serverId)
          return yield* statements.insert(
            yield* Challenge.insert.makeEffect({
              serverId,
              purpose,
              nonce: Nonce.make(Base64Url.encode(yield* secrets.bytes(32))),
              state: "open",
              issuedAt: now,
              expiresAt: DateTime.addDuration(now, policy.challengeLifetime)
            })
          )
        },
        sql.withTransaction,
        Effect.orDie
      )

      const request = Effect.fn("Challenges.request")(
        function* (organizationId: OrganizationId, id: ServerId) {
          const server = yield* servers.get({ organizationId, id })
          if (server.admission === "retired" || server.admission === "suspended") {
            return yield* new AdmissionConflict({
              detail: `A ${server.admission} server is not asked to verify itself.`
            })
          }
          yield* servers.lock(id)
          yield* schedule.want({ now: yield* DateTime.now, purpose: "requested", servers: [id] })
          yield* audit.record({ organizationId, action: "servers:verify", subjectKind: "server", subjectId: id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const take = Effect.fn("Challenges.take")(
        function* (id: ServerId) {
          yield* servers.lock(id)
          const wanted = yield* schedule.wanted(id)
          return Option.isNone(wanted) ? Option.none() : Option.some(yield* issue(id, wanted.value.wanted))
        },
        sql.withTransaction,
        Effect.orDie
      )

      /** The verdict is committed with what follows from it, so a wrong answer can't be undone by a lost reply. */
      const judge = Effect.fn("Challenges.judge")(function* (
        server: { readonly id: ServerId; readonly organizationId: OrganizationId },
        id: ChallengeId,
        signature: Signature
      ) {
        const now = yield* DateTime.now
        yield* servers.lock(server.id)
        // Nobody who was shut out in between proves anything, nor is shut out again.
        const { admission } = yield* servers.get(server)
        if (admission !== "pending" && admission !== "approved") return yield* new ChallengeGone()
        const challenge = yield* statements.consume({ id, serverId: server.id, now })
        const text = SignedString.challenge({
          audience,
          serverId: server.id,
          challengeId: id,
          nonce: challenge.nonce,
          expiresAt: DateTime.formatIso(challenge.expiresAt)
        })
        const keys = yield* statements.keys(server.id)
        const signer = keys.find((key) => verifies(key.publicKey, text, signature))
        if (signer === undefined) {
          yield* servers.setAdmission({
            ...server,
            from: ["pending", "approved"],
            to: "suspended",
            reason: "challenge_failed",
            now
          })
          yield* schedule.doubt({ id: server.id, now, reason: "challenge_failed" })
          yield* tokens.forget(server.id)
          const { name } = yield* servers.get(server)
          yield* cuts.order(server.organizationId, { kind: "server", id: server.id, name }, "server_suspended")
          yield* audit.record({
            organizationId: server.organizationId,
            action: "servers:suspend",
            subjectKind: "server",
            subjectId: server.id,
            details: { reason: "challenge_failed", challenge: id }
          })
          yield* audit.alarm({
            organizationId: server.organizationId,
            kind: "challenge_failed",
            severity: "critical",
            serverId: server.id,
            details: { challenge: id }
          })
          return null
        }
        yield* statements.pass(id)
        const { verified } = yield* servers.get(server)
        if (signer.state === "next") yield* statements.promoteNextKey(server.id)
        yield* statements.verify({ serverId: server.id, now })
        yield* schedule.settle({ now, servers: [server.id] })
        // That it is still who it was is in the history of challenges, every few hours.
        if (!verified || signer.state === "next") {
          yield* audit.record({
            organizationId: server.organizationId,
            action: signer.state === "next" ? "servers:change-key" : "servers:prove-key",
            subjectKind: "server",
            subjectId: server.id,
            details: { challenge: id, publicKey: signer.publicKey }
          })
        }
        yield* signals.notify(discoveryTopic, server.id)
        return now
      }, sql.withTransaction)

      const answer = Effect.fn("Challenges.answer")(
        function* (
          server: { readonly id: ServerId; readonly organizationId: OrganizationId },
          id: ChallengeId,
          signature: Signature
        ) {
          const verifiedAt = yield* judge(server, id, signature)
          if (verifiedAt === null) return yield* new ChallengeFailed()
          return { verified: true as const, verifiedAt }
        },
        Effect.catchTag("NoSuchElementError", () => new ChallengeGone()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Where the setting changed while no broker ran, due times follow it. */
      const realign = Effect.gen(function* () {
        if (yield* Ref.get(isAligned)) return
        const hinted = yield* schedule.hintRealigned(policy.sweepLimit)
        yield* sql.afterCommit(Ref.set(isAligned, hinted.length < policy.sweepLimit))
      })

      /** Whoever goes on reporting without proving who it is, is no longer taken for whom it was. */
      const doubtSilent = Effect.fnUntraced(
        function* (ids: ReadonlyArray<ServerId>, now: DateTime.Utc) {
          const silent = yield* schedule.unresponsive(ids)
          for (const { id, organizationId, silences } of silent) {
            yield* schedule.doubt({ id, now, reason: "unanswered" })
            yield* signals.notify(discoveryTopic, id)
            yield* audit.record({
              organizationId,
              action: "servers:doubt",
              subjectKind: "server",
              subjectId: id,
              details: { reason: "unanswered", silences }
            })
          }
          return silent.map(({ id }) => id)
        },
        Effect.provideService(Actor, broker)
      )

      /** Takes up what changed since the last run: questions that are over, and hints. */
      const settle = Effect.fnUntraced(function* (now: DateTime.Utc) {
        yield* realign
        const unsettled = yield* schedule.unsettled({ now, limit: policy.sweepLimit })
        if (unsettled.length === 0) return { expired: 0, doubted: 0 }
        const servers = (yield* schedule.lock(unsettled.map(({ id }) => id))).map(({ id }) => id)
        const expired = yield* schedule.expire({ now, listeningSince: yield* nodes.listeningSince, servers })
        const doubted = yield* doubtSilent(servers, now)
        yield* schedule.takeHints({ now, servers })
        yield* schedule.settle({ now, servers })
        return { expired: expired.length, doubted: doubted.length }
      })

      /** How many may be asked in one run: some of those that are not verified, and some of the others. */
      const budgets = Effect.gen(function* () {
        const { perSecond, servers } = yield* schedule.pace()
        const seconds = Duration.toSeconds(verification.every)
        const share = (count: number) => Math.max(verification.leastPerRun, Math.ceil(count))
        return {
          scheduled: share(perSecond * seconds * verification.catchUp),
          unverified: share((servers * seconds) / Duration.toSeconds(verification.unverifiedWithin))
        }
      })

      const ask = Effect.fnUntraced(function* (now: DateTime.Utc) {
        const budget = yield* budgets
        // Some may turn out to be away; they are not to keep the others from their turn.
        const limit = Math.max(budget.scheduled, budget.unverified) + 500
        const candidates = yield* schedule.due({ now, limit })
        if (candidates.length === 0) return 0
        const locked = yield* schedule.lock(candidates.map(({ id }) => id))
        const due = yield* schedule.stillDue({ now, servers: locked.map(({ id }) => id) })
        yield* schedule.settle({ now, servers: due.filter(({ askable }) => !askable).map(({ id }) => id) })
        const isUnverified = ({ urgency }: { readonly urgency: number }) => urgency === ScheduleSql.unverifiedUrgency
        const askable = due.filter(({ askable }) => askable)
        // What the fleet comes to is left to those whose time has come, however many others are at risk.
        const ordinary = askable.filter(({ urgency }) => urgency === 0)
        const risky = askable.filter((server) => server.urgency > 0 && !isUnverified(server))
        const kept = Math.min(ordinary.length, Math.ceil(budget.scheduled / verification.catchUp))
        const riskiest = risky.slice(0, budget.scheduled - kept)
        const wanted = [
          ...askable.filter(isUnverified).slice(0, budget.unverified),
          ...riskiest,
          ...ordinary.slice(0, budget.scheduled - riskiest.length)
        ]
        if (wanted.length > 0) yield* schedule.want({ now, purpose: "scheduled", servers: wanted.map(({ id }) => id) })
        return wanted.length
      })

      const dropUnusedKeys = Effect.gen(function* () {
        const lifetimeSeconds = Duration.toSeconds(verification.nextKeyLifetime)
        const unused = yield* statements.unusedKeys({ lifetimeSeconds, limit: 100 })
        if (unused.length === 0) return 0
        const locked = new Set((yield* schedule.lock(unused.map(({ id }) => id))).map(({ id }) => id))
        let dropped = 0
        for (const { id, organizationId, publicKey } of unused.filter(({ id }) => locked.has(id))) {
          if ((yield* statements.dropNextKey({ id, publicKey })).length === 0) continue
          dropped += 1
          yield* audit.record({
            organizationId,
            action: "servers:drop-key",
            subjectKind: "server",
            subjectId: id,
            details: { publicKey }
          })
        }
        return dropped
      }).pipe(Effect.provideService(Actor, broker))

      const renew = Effect.gen(function* () {
        const now = yield* DateTime.now
        const { doubted, expired } = yield* settle(now)
        const keysDropped = yield* dropUnusedKeys
        const wanted = yield* ask(now)
        yield* schedule.tally(now)
        return { expired, wanted, doubted, keysDropped }
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Challenges.renew"))

      const prune = Effect.gen(function* () {
        const now = yield* DateTime.now
        return yield* schedule.prune(
          DateTime.toDateUtc(DateTime.subtractDuration(now, verification.history)),
          DateTime.toDateUtc(DateTime.subtract(now, { days: 1 })),
          DateTime.toDateUtc(DateTime.subtractDuration(now, verification.tallies))
        )
      }).pipe(Effect.orDie, Effect.withSpan("Challenges.prune"))

      return Challenges.of({ issue, request, take, answer, renew, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
