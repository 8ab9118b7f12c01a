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
import { Context, DateTime, Duration, Effect, Layer } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Cuts } from "../connections/Cuts.ts"
import { verifies } from "../crypto/Ed25519.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { Installation } from "../Installation.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { ServerTokens } from "../servers/ServerTokens.ts"
import * as ChallengesSql from "./ChallengesSql.ts"

export class Challenges extends Context.Service<
  Challenges,
  {
    /** Asks a server; an open question gives way. Joins the caller's transaction. */
    issue(id: ServerId, purpose: ChallengePurpose): Effect.Effect<Challenge>
    /** An admin wants to know, now. The server hears of it with its next heartbeat. */
    request(
      organizationId: OrganizationId,
      id: ServerId
    ): Effect.Effect<Challenge, ServerNotFound | AdmissionConflict, Actor>
    /** V1, V2: the right signature verifies the server, a wrong one suspends it. */
    answer(
      server: { readonly id: ServerId; readonly organizationId: OrganizationId },
      id: ChallengeId,
      signature: Signature
    ): Effect.Effect<Verification, ChallengeFailed | ChallengeGone, Actor>
    /** Ends what was not answered in time, and asks again whoever is due. Tells how many of each. */
    readonly renew: Effect.Effect<{ readonly expired: number; readonly issued: number }>
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
      const policy = yield* ServersPolicy
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
          const challenge = yield* issue(id, "requested")
          yield* audit.record({ organizationId, action: "servers:verify", subjectKind: "server", subjectId: id })
          return challenge
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** The verdict is committed with what follows from it, so a wrong answer can't be undone by a lost reply. */
      const judge = Effect.fn("Challenges.judge")(function* (
        server: { readonly id: ServerId; readonly organizationId: OrganizationId },
        id: ChallengeId,
        signature: Signature
      ) {
        const now = yield* DateTime.now
        yield* servers.lock(server.id)
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
          // Whoever is shut out already stays so; the question is used up all the same.
          yield* Effect.ignore(
            servers
              .setAdmission({
                ...server,
                from: ["pending", "approved"],
                to: "suspended",
                reason: "challenge_failed",
                now
              })
              .pipe(Effect.catchTag(["SchemaError", "SqlError"], Effect.die))
          )
          yield* statements.doubt(server.id)
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

      const renew = Effect.gen(function* () {
        const now = yield* DateTime.now
        const expired = yield* statements.expire(now)
        const due = yield* statements.due({
          now,
          backoffSeconds: Duration.toSeconds(policy.challengeBackoff),
          maxSeconds: Duration.toSeconds(policy.challengeBackoffMax),
          limit: policy.sweepLimit
        })
        yield* Effect.forEach(due, ({ id }) => issue(id, "scheduled"), { discard: true })
        return { expired: expired.length, issued: due.length }
      }).pipe(Effect.orDie, Effect.withSpan("Challenges.renew"))

      return Challenges.of({ issue, request, answer, renew })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
