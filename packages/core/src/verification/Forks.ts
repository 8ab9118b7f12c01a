/** Finds servers whose identity two machines use at once, and shuts them out (V5). */
import type { Heartbeat } from "@broker/domain/Heartbeat"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Cuts } from "../connections/Cuts.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import { ServerTokens } from "../servers/ServerTokens.ts"
import * as ForkRule from "./ForkRule.ts"
import * as ScheduleSql from "./ScheduleSql.ts"

const Instant = Schema.DateTimeUtcFromDate

const Evidence = Schema.Struct({
  since: Instant,
  seq: Schema.Finite,
  continued: Schema.Int,
  continuedAt: Schema.NullOr(Instant)
})

/** The boot that took the former one's place. */
const Current = Schema.Struct({
  bootId: Schema.String,
  address: Schema.NullOr(Schema.String),
  lastSeenAt: Instant,
  intervalSeconds: Schema.Finite
})

export class Forks extends Context.Service<
  Forks,
  {
    /** Takes note of a beat of a boot whose place another has taken. Tells whether the server was shut out for it. */
    observe(
      server: { readonly id: ServerId; readonly organizationId: OrganizationId; readonly address?: string | null },
      beat: Pick<Heartbeat, "bootId" | "seq" | "sentAt">
    ): Effect.Effect<boolean>
  }
>()("@broker/core/verification/Forks") {
  static readonly layerNoDeps = Layer.effect(
    Forks,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const servers = yield* ServersSql.make
      const schedule = yield* ScheduleSql.make
      const tokens = yield* ServerTokens
      const cuts = yield* Cuts
      const audit = yield* Audit

      const Boot = Schema.Struct({ serverId: ServerId, bootId: Schema.String })

      const current = SqlSchema.findOneOption({
        Request: Boot,
        Result: Current,
        execute: ({ bootId, serverId }) => sql`
          select p.boot_id, host(p.address) as address, p.last_seen_at, p.interval_seconds
            from server_presence p
            join servers s on s.id = p.server_id and s.admission in ('pending', 'approved')
           where p.server_id = ${serverId}
             and p.boot_id <> ${bootId}
             and ${bootId}::uuid = any (p.former_boot_ids)`
      })

      const known = SqlSchema.findOneOption({
        Request: Boot,
        Result: Evidence,
        execute: ({ bootId, serverId }) => sql`
          select since, seq::float8 as seq, continued, continued_at
            from former_boots
           where server_id = ${serverId} and boot_id = ${bootId}`
      })

      const keep = SqlSchema.void({
        Request: Schema.Struct({ ...Boot.fields, ...Evidence.fields, now: Instant }),
        execute: ({ bootId, continued, continuedAt, now, seq, serverId, since }) => sql`
          insert into former_boots (server_id, boot_id, since, seq, continued, continued_at, last_at)
          values (${serverId}, ${bootId}, ${since}, ${BigInt(seq)}, ${continued}, ${continuedAt}, ${now})
              on conflict (server_id, boot_id) do update
             set seq = excluded.seq,
                 continued = excluded.continued,
                 continued_at = excluded.continued_at,
                 last_at = excluded.last_at`
      })

      const shutOut = Effect.fnUntraced(function* (
        server: Parameters<Forks["Service"]["observe"]>[0],
        bootId: string,
        other: typeof Current.Type,
        now: DateTime.Utc
      ) {
        const { id, organizationId } = server
        yield* servers.setAdmission({
          organizationId,
          id,
          from: ["pending", "approved"],
          to: "suspended",
          reason: "forked",
          now
        })
        yield* schedule.doubt({ id, now, reason: "forked" })
        // Whoever lets it in again has it watched from the start.
        yield* sql`delete from former_boots where server_id = ${id}`
        yield* tokens.forget(id)
        const { name } = yield* servers.get({ organizationId, id })
        const cut = yield* cuts.order(organizationId, { kind: "server", id, name }, "server_suspended")
        const details = {
          reason: "forked",
          boots: [other.bootId, bootId],
          addresses: [other.address ?? "unknown", server.address ?? "unknown"]
        }
        yield* audit.record({
          organizationId,
          action: "servers:suspend",
          subjectKind: "server",
          subjectId: id,
          details: { ...details, cut }
        })
        yield* audit.alarm({ organizationId, kind: "server_forked", severity: "critical", serverId: id, details })
      })

      const observe = Effect.fn("Forks.observe")(
        function* (
          server: Parameters<Forks["Service"]["observe"]>[0],
          { bootId, sentAt, seq }: Pick<Heartbeat, "bootId" | "seq" | "sentAt">
        ) {
          const now = yield* DateTime.now
          yield* servers.lock(server.id)
          const boot = { serverId: server.id, bootId }
          const other = Option.getOrUndefined(yield* current(boot))
          // It is the one of now by now, or was shut out in between: by another node, for the same.
          if (other === undefined) return false
          const before = Option.getOrNull(yield* known(boot))
          const { evidence, forked } = ForkRule.judge(
            before === null
              ? null
              : {
                  since: DateTime.toEpochMillis(before.since),
                  seq: before.seq,
                  continued: before.continued,
                  continuedAt: before.continuedAt === null ? null : DateTime.toEpochMillis(before.continuedAt)
                },
            { seq, receivedAt: DateTime.toEpochMillis(now), sentAt: Date.parse(sentAt) },
            { lastSeenAt: DateTime.toEpochMillis(other.lastSeenAt), intervalMillis: other.intervalSeconds * 1_000 }
          )
          if (forked) {
            yield* shutOut(server, bootId, other, now).pipe(
              Effect.provideService(
                Actor,
                Actor.of({
                  kind: "broker",
                  id: null,
                  name: "broker",
                  address: server.address ?? null,
                  requestId: null
                })
              )
            )
            return true
          }
          yield* keep({
            ...boot,
            seq: evidence.seq,
            continued: evidence.continued,
            since: DateTime.makeUnsafe(evidence.since),
            continuedAt: evidence.continuedAt === null ? null : DateTime.makeUnsafe(evidence.continuedAt),
            now
          })
          return false
        },
        sql.withTransaction,
        Effect.orDie
      )

      return Forks.of({ observe })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
