/**
 * What servers say is open on them, held against what the broker knows (C4, C6): what a server does not list any more
 * has ended, what it lists and should not is told to it, and what it was told to cut and does not list is confirmed.
 */
import type { CutOrder } from "@broker/domain/Connection"
import type { ServerId } from "@broker/domain/Server"
import { Context, Duration, Effect, Layer } from "effect"
import { BeatSql } from "../Database.ts"
import * as GroupCommit from "../database/GroupCommit.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { ConnectionsPolicy } from "./ConnectionsPolicy.ts"
import * as LiveSetsSql from "./LiveSetsSql.ts"

/** One statement compares this many at most. */
const maxBatch = 500

/** The orders of one server that fit into one answer; the others follow with the next. */
const maxOrders = 1_000

export interface LiveSet {
  readonly serverId: ServerId
  /** Null where the server does not list its connections. */
  readonly connections: ReadonlyArray<string> | null
  /** As the server sent it. */
  readonly cutCursor: string
  readonly seenAt: Date
}

export interface CutOrders {
  /** What the server sends as `cutCursor` once it has cut these. */
  readonly cursor: string
  readonly connections: ReadonlyArray<CutOrder>
}

/** A cursor that is none of ours asks for everything again. */
const sequenceOf = (cursor: string) => (/^\d{1,18}$/.test(cursor) ? BigInt(cursor) : 0n)

export class LiveSets extends Context.Service<
  LiveSets,
  {
    /** None while the database is away: the server asks again with its next heartbeat. */
    compare(set: LiveSet): Effect.Effect<CutOrders>
  }
>()("@broker/core/connections/LiveSets") {
  static readonly layer = Layer.effect(
    LiveSets,
    Effect.gen(function* () {
      const policy = yield* ConnectionsPolicy
      const { heartbeatBuffer, heartbeatPatience } = yield* ServersPolicy
      // What is found here is found again if it is lost, so it need not be on disk before the answer.
      const statements = LiveSetsSql.make(yield* BeatSql, Duration.toSeconds(policy.liveSetGrace))

      const write = (sets: ReadonlyArray<LiveSet>) =>
        statements.compare(sets.map(({ cutCursor, ...set }) => ({ ...set, cursor: sequenceOf(cutCursor) }))).pipe(
          Effect.catchTag("SchemaError", Effect.die),
          Effect.map((rows) => Map.groupBy(rows, ({ serverId }) => serverId))
        )

      const buffer = yield* GroupCommit.make<ServerId, LiveSet, ReadonlyArray<LiveSetsSql.Order>>({
        keyOf: ({ serverId }) => serverId,
        newer: (waiting, arriving) => (waiting.seenAt > arriving.seenAt ? waiting : arriving),
        maxBatch,
        maxPending: heartbeatBuffer,
        patience: heartbeatPatience,
        write
      })

      const compare = Effect.fnUntraced(function* (set: LiveSet) {
        const answer = yield* buffer.push(set)
        const orders =
          answer === GroupCommit.full || answer === GroupCommit.accepted ? [] : (answer.get(set.serverId) ?? [])
        const sent = orders.slice(0, maxOrders)
        const cursor = sent.reduce(
          (highest, { seq }) => (seq !== null && seq > highest ? seq : highest),
          sequenceOf(set.cutCursor)
        )
        return { cursor: `${cursor}`, connections: sent.map(({ id, reason }) => ({ id, reason })) }
      })

      return LiveSets.of({ compare })
    })
  )
}
