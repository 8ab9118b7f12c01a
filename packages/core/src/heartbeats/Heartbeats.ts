/** Signs of life: taken into a bounded buffer, written in groups, answered with where the server stands. */
import { isIP } from "node:net"
import { type Heartbeat, type HeartbeatReply, Overloaded, rotateKeyNotice } from "@broker/domain/Heartbeat"
import type { OrganizationId } from "@broker/domain/Organization"
import { type Admission, type GroupId, type ServerId, ServerRetired, ServerSuspended } from "@broker/domain/Server"
import { Context, DateTime, Duration, Effect, Layer, Metric, Option, Random } from "effect"
import { Challenges } from "../challenges/Challenges.ts"
import { LiveSets } from "../connections/LiveSets.ts"
import { BeatSql } from "../Database.ts"
import * as GroupCommit from "../database/GroupCommit.ts"
import { Groups } from "../groups/Groups.ts"
import { MetricsPolicy } from "../metrics/MetricsPolicy.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { Forks } from "../verification/Forks.ts"
import * as HeartbeatsSql from "./HeartbeatsSql.ts"

/** One statement writes this many at most. */
const maxBatch = 1_000

const received = Metric.counter("broker_heartbeats_total", { description: "Heartbeats taken in", incremental: true })
const refused = Metric.counter("broker_heartbeats_refused_total", {
  description: "Heartbeats turned away because the buffer was full",
  incremental: true
})
const buffered = Metric.gauge("broker_heartbeats_buffered", { description: "Heartbeats that wait for the database" })

/** As the database takes it. What is none is left out, and does not spoil the batch. */
const plainAddress = (address: string | null | undefined) =>
  address != null && isIP(address) !== 0 && !address.includes("%") ? address : null

/** The server that a heartbeat is from. */
interface Sender {
  readonly id: ServerId
  readonly organizationId: OrganizationId
  readonly admission: Admission
  readonly groupId?: GroupId | null
  /** Where the heartbeat came from, where that is known. */
  readonly address?: string | null
}

export class Heartbeats extends Context.Service<
  Heartbeats,
  {
    /** H7: answered once written, or from memory when the database takes longer than callers have patience. */
    beat(
      server: Sender,
      heartbeat: Heartbeat
    ): Effect.Effect<HeartbeatReply, Overloaded | ServerSuspended | ServerRetired>
  }
>()("@broker/core/heartbeats/Heartbeats") {
  static readonly layerNoDeps = Layer.effect(
    Heartbeats,
    Effect.gen(function* () {
      const liveSets = yield* LiveSets
      const groups = yield* Groups
      const forks = yield* Forks
      const challenges = yield* Challenges
      const policy = yield* ServersPolicy
      const { notedAfter } = yield* MetricsPolicy
      const statements = HeartbeatsSql.make(yield* BeatSql, policy)
      const interval = Duration.toSeconds(policy.heartbeatInterval)

      const write = (beats: ReadonlyArray<HeartbeatsSql.Beat>) =>
        Effect.flatMap(DateTime.now, (now) =>
          statements.beat({ beats, lateBefore: DateTime.subtractDuration(now, notedAfter) })
        ).pipe(
          Effect.catchTag("SchemaError", Effect.die),
          Effect.map((rows) => new Map(rows.map((row) => [row.serverId, row])))
        )

      const buffer = yield* GroupCommit.make<ServerId, HeartbeatsSql.Beat, HeartbeatsSql.Standing>({
        keyOf: (beat) => beat.serverId,
        // Of one boot the higher number; of two boots the lower one, as a boot that has just begun counts low.
        newer: (waiting, arriving) => {
          const first = waiting.bootId === arriving.bootId ? waiting.seq >= arriving.seq : waiting.seq < arriving.seq
          return first ? waiting : arriving
        },
        maxBatch,
        maxPending: policy.heartbeatBuffer,
        patience: policy.heartbeatPatience,
        write
      })

      /**
       * The question that is open, or one that is taken out now: by nobody whose heartbeat was answered from memory, so
       * that what nobody heard is no silence. It can wait for the next one where the database takes too long.
       */
      const questionTo = Effect.fnUntraced(function* (standing: HeartbeatsSql.Standing) {
        const { challengeId, expiresAt, isToAsk, nonce, serverId } = standing
        if (challengeId !== null && nonce !== null && expiresAt !== null) return { id: challengeId, nonce, expiresAt }
        if (!isToAsk) return null
        const taken = yield* Effect.timeoutOption(challenges.take(serverId), policy.heartbeatPatience)
        return Option.match(Option.flatten(taken), {
          onNone: () => null,
          onSome: ({ expiresAt, id, nonce }) => ({ id, nonce, expiresAt })
        })
      })

      const beat = Effect.fnUntraced(function* (server: Sender, heartbeat: Heartbeat) {
        const now = yield* DateTime.now
        const usual = (yield* groups.heartbeatIntervalSeconds(server.groupId ?? null)) ?? interval
        const intervalSeconds = Math.round(usual * (yield* Random.nextBetween(0.9, 1.1)) * 10) / 10
        const standing = yield* buffer.push({
          serverId: server.id,
          bootId: heartbeat.bootId,
          seq: heartbeat.seq,
          seenAt: DateTime.toDateUtc(now),
          address: plainAddress(server.address),
          skewSeconds: (Date.parse(heartbeat.sentAt) - DateTime.toEpochMillis(now)) / 1000,
          intervalSeconds,
          activeConnections: heartbeat.activeConnections,
          metrics: heartbeat.metrics
        })
        if (standing === GroupCommit.full) {
          yield* Metric.update(refused, 1)
          return yield* new Overloaded()
        }
        yield* Metric.update(received, 1)
        yield* Metric.update(buffered, buffer.pending())
        const written = standing === GroupCommit.accepted ? undefined : standing.get(server.id)
        const admission = written?.admission ?? server.admission
        if (admission === "suspended") return yield* new ServerSuspended()
        if (admission === "retired") return yield* new ServerRetired()
        if (written?.isFormer === true && (yield* forks.observe(server, heartbeat))) return yield* new ServerSuspended()
        const { bootId, connections = null, cutCursor = "0", seq } = heartbeat
        // What came late or again tells how it was, not how it is, and so did one that waited beside a newer one (H3).
        const isNews = written?.heard?.bootId === bootId && written.heard.seq === seq
        const cuts =
          isNews && (connections !== null || written.hasCuts)
            ? yield* liveSets.compare({ serverId: server.id, connections, cutCursor, seenAt: DateTime.toDateUtc(now) })
            : { cursor: cutCursor, connections: [] }
        const challenge = written === undefined ? null : yield* questionTo(written)
        return {
          liveness: written?.liveness ?? "online",
          admission,
          // A repeated or late one is told what its deadlines follow from already (H1).
          nextHeartbeatSeconds: written?.intervalSeconds ?? intervalSeconds,
          time: now,
          challenge,
          cuts,
          notices: written?.isToRotate === true ? [rotateKeyNotice] : []
        } satisfies HeartbeatReply
      })

      return Heartbeats.of({ beat })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(LiveSets.layer))
}
