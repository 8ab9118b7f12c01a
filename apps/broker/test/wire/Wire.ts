/**
 * A broker to be asked from outside, over HTTP alone: on a database of its own unless given one, with its log at hand.
 * What it is asked by is written against the pages of the contract, not with the broker's own client.
 */

import { createServer } from "node:net"

import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import type * as Core from "@broker/core/Core"
import { ConnectionsPolicy } from "@broker/core/connections/ConnectionsPolicy"
import * as Database from "@broker/core/Database"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { RateLimitsPolicy, unlimited } from "@broker/core/rate-limits/RateLimitsPolicy"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { SingleSignOnPolicy } from "@broker/core/single-sign-on/SingleSignOn"
import { Users } from "@broker/core/users/Users"
import { Resolver } from "@broker/core/verification/CapabilityChecks"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { WebhooksPolicy } from "@broker/core/webhooks/WebhooksPolicy"
import { AdminName, NewPassword } from "@broker/domain/Admin"
import type { EventType } from "@broker/domain/Event"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import type { PersonalKeyRequest } from "@broker/domain/PersonalKey"
import type { RegistrationKeyRequest } from "@broker/domain/RegistrationKey"
import { UserName } from "@broker/domain/User"
import { guardAsleep } from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import * as TestServer from "@broker/testing/TestServer"
import { Effect, Exit, Layer, Logger, Redacted, References, Schema, Scope, Tracer } from "effect"
import { IpNetwork } from "effect/net"
import { SqlClient } from "effect/sql"
import * as Broker from "../../src/Broker.ts"
import type * as Tls from "../../src/Tls.ts"

export type Json = Readonly<Record<string, unknown>>

export interface Options {
  readonly policy?: Partial<typeof ServersPolicy.Service>
  readonly connections?: Partial<typeof ConnectionsPolicy.Service>
  /** Limits of requests; nobody is limited unless given. */
  readonly limits?: Partial<typeof RateLimitsPolicy.Service>
  /** Whom admins may sign in through; nobody unless given. */
  readonly provider?: typeof SingleSignOnPolicy.Service
  /** Whose `X-Forwarded-For` is believed; nobody's unless given. */
  readonly trustedProxies?: ReadonlyArray<string>
  readonly database?: Redacted.Redacted
  /** What the broker takes for its public origin; its own address unless told otherwise. */
  readonly audience?: string
  readonly port?: number
  /** For a broker that speaks HTTPS; `ask` does not. */
  readonly tls?: Tls.Files
  /** Where webhooks may lead, and how often they are tried. */
  readonly webhooks?: Partial<typeof WebhooksPolicy.Service>
  /** What names mean; as name servers have it unless given. */
  readonly resolve?: typeof Resolver.Service
  /** Sees every span begin, as a collector would. */
  readonly onSpan?: (span: Tracer.Span) => void
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Json
}

/** As fetch has it, except that a body may be text, bytes, or a value that becomes JSON. */
export interface Ask {
  readonly bearer?: string | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const bodyOf = (body: unknown) =>
  typeof body === "string" || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body)

/** Whoever has a cookie is a browser, and says where its page is from when it changes something. */
const originOf = (url: string, method: string, headers: Ask["headers"] = {}) =>
  method === "GET" || headers["cookie"] === undefined || "sec-fetch-site" in headers ? {} : { origin: url }

export const ask = async (url: string, method: string, path: string, { bearer, body, headers }: Ask = {}) => {
  const response = await fetch(`${url}${path}`, {
    method,
    redirect: "manual",
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...originOf(url, method, headers),
      ...headers
    },
    ...(body === undefined ? {} : { body: bodyOf(body) })
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    get json(): Json {
      return JSON.parse(text)
    }
  } satisfies Answer
}

/** Asks again until it is so; a deadline instead of a sleep. */
export const eventually = async <A>(
  what: string,
  look: () => Promise<A | undefined | false> | A | undefined | false,
  { everyMs = 25, withinMs = 10_000 }: { readonly everyMs?: number; readonly withinMs?: number } = {}
): Promise<A> => {
  const until = performance.now() + withinMs
  while (true) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

/** A look into the database from outside of the broker. */
export const query = (database: Redacted.Redacted, statement: string) =>
  Effect.runPromise(
    SqlClient.SqlClient.use((sql) => sql.unsafe(statement)).pipe(
      Effect.map((rows) => rows as ReadonlyArray<Json>),
      Effect.provide(TestServer.connect(database)),
      Effect.orDie
    )
  )

/** Holds a table against everybody until it is let go. */
export const hold = async (database: Redacted.Redacted, table: string) => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const { promise: held, resolve: isHeld } = Promise.withResolvers<void>()
  const done = Effect.runPromise(
    SqlClient.SqlClient.use((sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* sql.unsafe(`lock table ${table} in access exclusive mode`)
          isHeld()
          yield* Effect.promise(() => released)
        })
      )
    ).pipe(Effect.provide(TestServer.connect(database)))
  )
  await held
  return async () => {
    release()
    await done
  }
}

/** What the broker writes by itself, whatever it is asked. */
export const restless: ReadonlySet<string> = new Set([
  "nodes",
  "leases",
  "audit_checkpoints",
  "audit_keys",
  "broker_outages",
  "connection_usage",
  "connection_usage_due",
  "connection_usage_progress",
  "event_horizons",
  "event_outbox",
  "events",
  "fleet_moments",
  "job_runs",
  "metric_group_hours",
  "metric_group_minutes",
  "metric_hours",
  "metric_late",
  "metric_late_hours",
  "metric_minutes",
  "metric_minutes_done",
  "metric_progress",
  "report_files",
  "report_pieces",
  "report_runs",
  "server_capabilities",
  "server_verifications",
  "verification_hints",
  "verification_spans",
  "webhook_attempts",
  "webhook_deliveries",
  "webhook_lanes"
])

/** All tables; one that is in partitions, which come and go, is one. */
const tables = async (database: Redacted.Redacted) =>
  (
    await query(
      database,
      `select relname as name
         from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
     order by 1`
    )
  ).map(({ name }) => String(name))

/** Everything that stands in the database, as one short text per table. */
const snapshot = async (database: Redacted.Redacted) => {
  const names = (await tables(database)).filter((name) => !restless.has(name))
  const columns = names.map(
    (name) => `(select count(*) || ' ' || coalesce(md5(string_agg(t::text, '\n' order by t::text)), '')
                  from ${name} t) as ${name}`
  )
  const [row] = await query(database, `select ${columns.join(", ")}`)
  return row
}

/** Lines as they would be written, before anything is struck out of them. */
const logInto = (lines: Array<string>) =>
  Layer.merge(
    Logger.layer([
      Logger.map(Logger.formatJson, (line) => {
        lines.push(line)
      })
    ]),
    Layer.succeed(References.MinimumLogLevel, "Debug")
  )

const watched = (onSpan: (span: Tracer.Span) => void) =>
  Layer.succeed(
    Tracer.Tracer,
    Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        onSpan(span)
        return span
      }
    })
  )

/** A database for several brokers, or for one that comes and goes. */
export const sharedDatabase = async () => {
  const scope = Scope.makeUnsafe()
  const database = await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope))
  return { database, [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

interface UserOfWire {
  readonly userId: string
  readonly keyId: string
  readonly key: string
}

/** What an organization is given from inside of the broker. */
interface Organized {
  readonly key: (request?: Partial<RegistrationKeyRequest>) => Promise<string>
  /** A user with a personal key. */
  readonly user: (name: string, request?: Partial<PersonalKeyRequest>) => Promise<UserOfWire>
  readonly admin: (name: string, password: string, role?: BuiltInRole) => Promise<void>
  readonly webhook: (url: string, types: ReadonlyArray<EventType>) => Promise<{ id: string; secret: string }>
}

export interface Wire extends Organized, AsyncDisposable {
  readonly url: string
  readonly audience: string
  readonly database: Redacted.Redacted
  readonly log: Array<string>
  readonly ask: (method: string, path: string, ask?: Ask) => Promise<Answer>
  /** The same for another organization than the one that comes with the broker. */
  readonly of: (organizationId: OrganizationId) => Organized
  readonly setupTicket: () => Promise<string>
  readonly sql: (statement: string) => Promise<ReadonlyArray<Json>>
  readonly tables: () => Promise<ReadonlyArray<string>>
  /** The same text as before where nothing changed but what the broker changes by itself. */
  readonly snapshot: () => Promise<Json | undefined>
}

const make = async (options: Options): Promise<Wire> => {
  const scope = Scope.makeUnsafe()
  const database = options.database ?? (await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope)))
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const audience = options.audience ?? url
  const log: Array<string> = []
  const trustedProxies = options.trustedProxies?.map((network) => IpNetwork.fromStringUnsafe(network))
  const broker = Broker.layer({
    version: "test",
    audience,
    host: "127.0.0.1",
    port,
    trustedProxies,
    tls: options.tls
  }).pipe(
    Layer.provide(Database.migrated({ url: database, maxConnections: 8 })),
    Layer.provide(TestEncryption.layer),
    Layer.provide(guardAsleep),
    Layer.provide(Layer.succeed(ServersPolicy, { ...ServersPolicy.defaultValue(), ...options.policy })),
    Layer.provide(Layer.succeed(ConnectionsPolicy, { ...ConnectionsPolicy.defaultValue(), ...options.connections })),
    Layer.provide(
      Layer.succeed(RateLimitsPolicy, { ...RateLimitsPolicy.defaultValue(), quotas: unlimited, ...options.limits })
    ),
    Layer.provide(Layer.succeed(SingleSignOnPolicy, options.provider ?? null)),
    Layer.provide(Layer.succeed(WebhooksPolicy, { ...WebhooksPolicy.defaultValue(), ...options.webhooks })),
    Layer.provide(options.resolve === undefined ? Layer.empty : Layer.succeed(Resolver, options.resolve)),
    Layer.provide(logInto(log)),
    Layer.provide(options.onSpan === undefined ? Layer.empty : watched(options.onSpan)),
    Layer.orDie
  )
  const services = await Effect.runPromise(Layer.buildWithScope(broker, scope))
  const run = <A, E>(effect: Effect.Effect<A, E, Core.Services | Actor>) =>
    Effect.runPromiseWith(services)(Effect.provideService(effect, Actor, byBroker))

  const of = (organizationId: OrganizationId): Organized => ({
    key: (request) =>
      run(
        Effect.map(
          RegistrationKeys.use((keys) =>
            keys.create(organizationId, {
              name: "wire",
              useLimit: 1,
              expiresInSeconds: 3_600,
              tags: [],
              approval: false,
              replacesServerId: null,
              ...request
            })
          ),
          ({ key }) => Redacted.value(key)
        )
      ),
    user: (name, request) =>
      run(
        Effect.gen(function* () {
          const users = yield* Users
          const keys = yield* PersonalKeys
          const user = yield* users.create(organizationId, { name: UserName.make(name), email: null, note: "" })
          const created = yield* keys.create(organizationId, {
            name: "wire",
            expiresInSeconds: null,
            connectionLimit: null,
            ...request,
            userId: user.id
          })
          return { userId: user.id, keyId: created.id, key: Redacted.value(created.key) }
        })
      ),
    admin: (name, password, role = "owner") =>
      run(
        Effect.asVoid(
          Admins.use((admins) =>
            admins.create({
              organizationId,
              name: AdminName.make(name),
              password: Schema.decodeSync(NewPassword)(password),
              role
            })
          )
        )
      ),
    webhook: (url, types) =>
      run(
        Effect.map(
          Webhooks.use((webhooks) => webhooks.create(everything(organizationId), { name: "wire", url, types })),
          ({ id, secret }) => ({ id, secret: Redacted.value(secret) })
        )
      )
  })

  return {
    ...of(defaultOrganizationId),
    of,
    url,
    audience,
    database,
    log,
    ask: (method, path, given) => ask(url, method, path, given),
    setupTicket: async () => {
      const ticket = await run(Admins.use(({ setupTicket }) => setupTicket))
      if (ticket._tag === "None") throw new Error("the setup is closed")
      return Redacted.value(ticket.value)
    },
    sql: (statement) => query(database, statement),
    tables: () => tables(database),
    snapshot: () => snapshot(database),
    [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** Starts a broker: `await using broker = await start()`. */
export const start = (options: Options = {}) => make(options)
