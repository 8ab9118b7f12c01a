/**
 * The broker's own sign of life (H5): each node beats in the database, and where no node did, that is an outage of
 * the broker, which no server is blamed for.
 */

import { hostname } from "node:os"
import { PgTypes } from "@effect/sql-pg"
import { Context, DateTime, Effect, Layer, Ref, Result, Schedule, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { SqlClient, SqlSchema } from "effect/sql"
import { EncryptionKeys, keyIds } from "../crypto/Encryption.ts"
import { Installation } from "../Installation.ts"
import { NodeFigures, NodeMeter } from "./NodeMeter.ts"

/** How often a node beats. */
const beatEvery = "1 second"

/** A longer silence of all nodes than this was an outage. */
const outageAfterSeconds = 3

/** Nodes that are gone for this long are forgotten. */
const forgetAfterSeconds = 3_600

const Beat = Schema.Struct({ now: Schema.DateTimeUtcFromDate, figures: Schema.UndefinedOr(NodeFigures) })

export class Nodes extends Context.Service<
  Nodes,
  {
    readonly id: string
    /** Since when the broker has been listening without a gap: the end of its last outage. */
    readonly listeningSince: Effect.Effect<DateTime.Utc>
    /** Audiences of nodes that are alive and do not have this node's: signatures made for one fail at the other. */
    readonly otherAudiences: Effect.Effect<ReadonlyArray<string>>
    /** One beat; scheduled by the layer. Tells whether it ended an outage. */
    readonly beat: Effect.Effect<boolean>
    /** What this node's next beats tell of how it does. */
    tell(figures: NodeFigures): Effect.Effect<void>
  }
>()("@broker/core/nodes/Nodes") {
  static readonly layerNoDeps = Layer.effect(
    Nodes,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const random = yield* SecureRandom.SecureRandom
      const { audience, version } = yield* Installation
      const id = yield* random.uuidV7()
      const encryptionKeys = Result.getOrThrow(PgTypes.array(keyIds(yield* EncryptionKeys), PgTypes.OID.text))
      const startedAt = DateTime.toDateUtc(yield* DateTime.now)
      const figures = yield* Ref.make<NodeFigures | undefined>(undefined)

      /** One statement, so that of nodes that come back at once only the first sees the gap. */
      const beatStatement = SqlSchema.findOne({
        Request: Beat,
        Result: Schema.Struct({ outage: Schema.Boolean }),
        execute: ({ figures, now }) => sql`
          with last as (
            select max(last_seen_at) as seen_at from nodes
          ), outage as (
            insert into broker_outages (began_at, ended_at)
            select seen_at, ${now} from last where seen_at < ${now}::timestamptz - make_interval(secs => ${outageAfterSeconds})
            on conflict (began_at) do nothing
            returning 1
          ), mine as (
            insert into nodes (id, name, version, audience, encryption_keys, started_at, last_seen_at,
                               cpu_share, memory_bytes, lag_ms, heartbeats_per_second, requests_per_second)
            values (${id}, ${hostname()}, ${version}, ${audience}, ${encryptionKeys}, ${startedAt}, ${now},
                    ${figures?.cpu ?? null}::float8, ${figures?.memoryBytes ?? null}::float8,
                    ${figures?.lagMillis ?? null}::float8, ${figures?.heartbeatsPerSecond ?? null}::float8,
                    ${figures?.requestsPerSecond ?? null}::float8)
            on conflict (id) do update
                set last_seen_at = greatest(nodes.last_seen_at, excluded.last_seen_at),
                    cpu_share = excluded.cpu_share,
                    memory_bytes = excluded.memory_bytes,
                    lag_ms = excluded.lag_ms,
                    heartbeats_per_second = excluded.heartbeats_per_second,
                    requests_per_second = excluded.requests_per_second
          ), forgotten as (
            delete from nodes
             where id <> ${id}
               and last_seen_at < ${now}::timestamptz - make_interval(secs => ${forgetAfterSeconds})
          )
          select exists (select from outage) as outage`
      })

      const beat = Effect.gen(function* () {
        const { outage } = yield* beatStatement({ now: yield* DateTime.now, figures: yield* Ref.get(figures) })
        if (outage) yield* Effect.logWarning("The broker was away; no server is blamed for the silence")
        return outage
      }).pipe(Effect.orDie, Effect.withSpan("Nodes.beat"))

      const lastOutage = SqlSchema.findOne({
        Request: Schema.Void,
        Result: Schema.Struct({ endedAt: Schema.NullOr(Schema.DateTimeUtcFromDate) }),
        execute: () => sql`select max(ended_at) as ended_at from broker_outages`
      })

      const listeningSince = lastOutage(undefined).pipe(
        Effect.map(({ endedAt }) => endedAt ?? DateTime.makeUnsafe(0)),
        Effect.orDie
      )

      const audiences = SqlSchema.findAll({
        Request: Schema.DateTimeUtcFromDate,
        Result: Schema.Struct({ audience: Schema.String }),
        execute: (now) => sql`
          select distinct audience
            from nodes
           where audience <> ${audience}
             and last_seen_at > ${now}::timestamptz - make_interval(secs => ${outageAfterSeconds})`
      })

      const otherAudiences = DateTime.now.pipe(
        Effect.flatMap(audiences),
        Effect.map((rows) => rows.map((row) => row.audience)),
        Effect.orDie,
        Effect.withSpan("Nodes.otherAudiences")
      )

      return Nodes.of({ id, listeningSince, otherAudiences, beat, tell: (told) => Ref.set(figures, told) })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(SecureRandom.layerWebCrypto))
}

/** Beats for as long as the layer lives. Runs on every node. */
export const beating = Layer.effectDiscard(
  Effect.gen(function* () {
    const nodes = yield* Nodes
    yield* nodes.beat
    const others = yield* nodes.otherAudiences
    if (others.length > 0) {
      yield* Effect.logWarning("Another broker on this database has another public URL: set PUBLIC_URL alike on both", {
        here: (yield* Installation).audience,
        there: others
      })
    }
    const meter = yield* NodeMeter
    yield* meter.read.pipe(
      Effect.flatMap(nodes.tell),
      Effect.andThen(nodes.beat),
      Effect.ignoreCause({ log: "Warn" }),
      Effect.repeat(Schedule.spaced(beatEvery)),
      Effect.annotateLogs({ fiber: "Nodes" }),
      Effect.forkScoped
    )
  })
)
