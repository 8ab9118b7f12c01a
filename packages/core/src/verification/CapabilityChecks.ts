/**
 * Whether servers can do what they say, where the broker has a way to find out. A capability without a check here
 * stays as declared.
 */
import { lookup } from "node:dns/promises"
import { connect, isIP } from "node:net"
import { Endpoint, ServerId } from "@broker/domain/Server"
import type { CapabilityStanding } from "@broker/domain/Verification"
import { PgTypes } from "@effect/sql-pg"
import { Context, DateTime, Effect, Layer, Option, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { isPublic } from "./PublicAddress.ts"
import { VerificationPolicy } from "./VerificationPolicy.ts"

const { OID } = PgTypes

/** A server as checks see it. */
const Subject = Schema.Struct({
  id: ServerId,
  capabilities: Schema.Array(Schema.String),
  endpoints: Schema.Array(Endpoint),
  /** Where its last heartbeat came from. */
  address: Schema.NullOr(Schema.String),
  /** Moves on when what a check finds is out of date. */
  turn: Schema.Int
})
export type Subject = typeof Subject.Type

export interface Finding {
  readonly standing: CapabilityStanding["standing"]
  readonly reason: string
}

/** A server that was looked at, with what was found of each capability that has a check. */
export interface Checked {
  readonly id: ServerId
  readonly turn: number
  readonly findings: ReadonlyMap<string, Finding>
}

/** Finds the addresses of a host name. */
export const Resolver = Context.Reference<(host: string) => Effect.Effect<ReadonlyArray<string>>>(
  "@broker/core/verification/Resolver",
  {
    defaultValue: () => (host) =>
      Effect.tryPromise(() => lookup(host, { all: true, verbatim: true })).pipe(
        Effect.map((found) => found.map(({ address }) => address)),
        Effect.orElseSucceed(() => [])
      )
  }
)

/** Protocols that run over TCP: a connection can be opened without speaking them. */
const overTcp: ReadonlySet<string> = new Set(["tcp", "tls", "http", "https", "ws", "wss", "ssh", "grpc", "openvpn-tcp"])

/** Whether a TCP connection comes about; nothing is sent. */
const accepts = (address: string, port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ host: address, port })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

const where = ({ host, port }: typeof Endpoint.Type) => (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`)

export class CapabilityChecks extends Context.Service<
  CapabilityChecks,
  {
    /**
     * Verified servers whose capabilities are to be checked: after a proof or a change, or when the last check is old.
     * The broker connects nowhere for somebody who only has a registration key, or was shut out.
     */
    readonly due: Effect.Effect<ReadonlyArray<Subject>>
    /** Looks for itself, so many at once. Writes nothing, and may take its time. */
    probe(subjects: ReadonlyArray<Subject>): Effect.Effect<ReadonlyArray<Checked>>
    /** Writes down what was found of servers that did not change meanwhile; tells how many capabilities that were. */
    record(checked: ReadonlyArray<Checked>): Effect.Effect<number>
    /** How each capability that a server declares stands. */
    standings(id: ServerId, declared: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CapabilityStanding>>
  }
>()("@broker/core/verification/CapabilityChecks") {
  static readonly layer = Layer.effect(
    CapabilityChecks,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* VerificationPolicy
      const resolve = yield* Resolver

      const addressesOf = (host: string) =>
        isIP(host) === 0
          ? resolve(host).pipe(
              Effect.timeoutOption(policy.checkTimeout),
              Effect.map(Option.getOrElse((): ReadonlyArray<string> => []))
            )
          : Effect.succeed([host])

      /** Its heartbeats come by IPv6, or an endpoint of its own has such an address. */
      const ipv6 = Effect.fnUntraced(function* ({ address, endpoints }: Subject) {
        if (address !== null && isIP(address) === 6) {
          return { standing: "confirmed", reason: "Its heartbeats come by IPv6." } satisfies Finding
        }
        for (const endpoint of endpoints) {
          if ((yield* addressesOf(endpoint.host)).some((found) => isIP(found) === 6)) {
            return { standing: "confirmed", reason: `${endpoint.host} has an IPv6 address.` } satisfies Finding
          }
        }
        return {
          standing: "refuted",
          reason: "Its heartbeats come by IPv4, and no endpoint has an IPv6 address."
        } satisfies Finding
      })

      /**
       * One of its first two endpoints over TCP takes a connection from the broker. A name is looked up once, and what was found is what is judged
       * and connected to, so that it can't turn into another address in between.
       */
      const inbound = Effect.fnUntraced(function* ({ endpoints }: Subject) {
        const candidates = endpoints.filter(({ protocol }) => overTcp.has(protocol)).slice(0, 2)
        if (candidates.length === 0) {
          return { standing: "declared", reason: "It names no endpoint that takes TCP connections." } satisfies Finding
        }
        let spared: string | undefined
        let refused: string | undefined
        for (const endpoint of candidates) {
          const found = yield* addressesOf(endpoint.host)
          const allowed = policy.privateChecks ? found : found.filter(isPublic)
          if (found.length === 0) refused ??= `${endpoint.host} has no address.`
          else if (allowed.length === 0) spared ??= `${endpoint.host} is not a public address, so it was not tried.`
          for (const address of allowed.slice(0, 2)) {
            const opened = yield* accepts(address, endpoint.port).pipe(Effect.timeoutOption(policy.checkTimeout))
            if (Option.getOrElse(opened, () => false)) {
              return { standing: "confirmed", reason: `${where(endpoint)} took a connection.` } satisfies Finding
            }
            refused = `${where(endpoint)} ${Option.isNone(opened) ? "did not answer" : "refused the connection"}.`
          }
        }
        return refused === undefined
          ? ({ standing: "declared", reason: spared ?? "It was not tried." } satisfies Finding)
          : ({ standing: "refuted", reason: refused } satisfies Finding)
      })

      /** Every capability that the broker can check. */
      const registry: ReadonlyMap<string, (subject: Subject) => Effect.Effect<Finding>> = new Map<
        string,
        (subject: Subject) => Effect.Effect<Finding>
      >([
        ["ipv6", ipv6],
        ["inbound", inbound]
      ])

      const unchecked = SqlSchema.findAll({
        Request: Schema.Struct({ before: Schema.DateTimeUtcFromDate, limit: Schema.Int }),
        Result: Subject,
        execute: ({ before, limit }) => sql`
            select s.id, array(select jsonb_object_keys(s.capabilities)) as capabilities, s.endpoints,
                   host(p.address) as address, v.check_turn as turn
              from server_verifications v
              join servers s on s.id = v.server_id
              join server_presence p on p.server_id = v.server_id
             where (v.checked_at is null or v.checked_at < ${before})
               and s.verified
               and s.admission in ('pending', 'approved')
          order by v.checked_at nulls first, v.server_id
             limit ${limit}`
      })

      const due = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.checkLifetime)
        return yield* unchecked({ before, limit: policy.checkLimit })
      }).pipe(Effect.orDie)

      const probe = Effect.fn("CapabilityChecks.probe")((subjects: ReadonlyArray<Subject>) =>
        Effect.forEach(
          subjects,
          (subject) =>
            Effect.forEach(
              subject.capabilities.flatMap((capability) => {
                const check = registry.get(capability)
                return check === undefined ? [] : [{ capability, check }]
              }),
              ({ capability, check }) => Effect.map(check(subject), (finding) => [capability, finding] as const)
            ).pipe(
              Effect.map((findings): Checked => ({ id: subject.id, turn: subject.turn, findings: new Map(findings) }))
            ),
          { concurrency: policy.checkConcurrency }
        )
      )

      const array = (texts: ReadonlyArray<string>, oid: number) => Result.getOrThrow(PgTypes.array([...texts], oid))

      const record = Effect.fn("CapabilityChecks.record")(
        function* (checked: ReadonlyArray<Checked>) {
          if (checked.length === 0) return 0
          const now = DateTime.toDateUtc(yield* DateTime.now)
          const found = checked.flatMap(({ findings, id }) =>
            [...findings].map(([capability, finding]) => ({ id, capability, ...finding }))
          )
          // Heartbeats never wait for these rows, and servers that were moved since, or are just now, are looked at again.
          const kept = yield* sql<{ readonly id: string }>`
              select v.server_id as id
                from server_verifications v
                join unnest(
                       ${array(
                         checked.map(({ id }) => id),
                         OID.uuid
                       )},
                       ${Result.getOrThrow(
                         PgTypes.array(
                           checked.map(({ turn }) => turn),
                           OID.int4
                         )
                       )}
                     ) as c (server_id, turn) on c.server_id = v.server_id and c.turn = v.check_turn
            order by v.server_id
                 for no key update of v skip locked`
          const mine = new Set(kept.map(({ id }) => id))
          const written = found.filter(({ id }) => mine.has(id))
          yield* sql`
            insert into server_capabilities (server_id, capability, standing, reason, checked_at)
            select f.server_id, f.capability, f.standing, f.reason, ${now}
              from unnest(
                     ${array(
                       written.map(({ id }) => id),
                       OID.uuid
                     )},
                     ${array(
                       written.map(({ capability }) => capability),
                       OID.text
                     )},
                     ${array(
                       written.map(({ standing }) => standing),
                       OID.text
                     )},
                     ${array(
                       written.map(({ reason }) => reason),
                       OID.text
                     )}
                   ) as f (server_id, capability, standing, reason)
              join servers s on s.id = f.server_id and s.capabilities ? f.capability
          order by f.server_id, f.capability
                on conflict (server_id, capability) do update
               set standing = excluded.standing, reason = excluded.reason, checked_at = excluded.checked_at`
          yield* sql`
            update server_verifications set checked_at = ${now} where server_id = any(${array([...mine], OID.uuid)})`
          return written.length
        },
        sql.withTransaction,
        Effect.orDie
      )

      const found = SqlSchema.findAll({
        Request: ServerId,
        Result: Schema.Struct({
          capability: Schema.String,
          standing: Schema.Literals(["declared", "confirmed", "refuted"]),
          reason: Schema.NullOr(Schema.String),
          checkedAt: Schema.DateTimeUtcFromDate
        }),
        execute: (id) => sql`
          select capability, standing, reason, checked_at from server_capabilities where server_id = ${id}`
      })

      const standings = Effect.fn("CapabilityChecks.standings")(function* (
        id: ServerId,
        declared: ReadonlyArray<string>
      ) {
        const known = new Map((yield* found(id)).map((row) => [row.capability, row]))
        return declared.toSorted().map(
          (capability): CapabilityStanding => ({
            capability,
            standing: "declared",
            reason: null,
            checkedAt: null,
            ...known.get(capability),
            checkable: registry.has(capability)
          })
        )
      }, Effect.orDie)

      return CapabilityChecks.of({ due, probe, record, standings })
    })
  )
}
