/**
 * A real broker in a test: on a database of its own, at a port of its own, over real HTTP, with everything that it does
 * by itself. As a layer for tests written in Effect, and as one `await using` line for all others.
 */

import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Broker from "@broker/app/Broker"
import { type AgentError, type Options as AgentOptions, run } from "@broker/client/NodeAgent"
import { Admins } from "@broker/core/admins/Admins"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { BulkActsPolicy } from "@broker/core/bulk-acts/BulkActsPolicy"
import type * as Core from "@broker/core/Core"
import { ConnectionsPolicy } from "@broker/core/connections/ConnectionsPolicy"
import * as Database from "@broker/core/Database"
import { MailSettings } from "@broker/core/mail/Mail"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { RateLimitsPolicy, unlimited } from "@broker/core/rate-limits/RateLimitsPolicy"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { Users } from "@broker/core/users/Users"
import { WebhooksPolicy } from "@broker/core/webhooks/WebhooksPolicy"
import { AdminName, NewPassword } from "@broker/domain/Admin"
import type { Secret } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { PersonalKeyId, PersonalKeyRequest } from "@broker/domain/PersonalKey"
import type { RegistrationKeyRequest } from "@broker/domain/RegistrationKey"
import { type UserId, UserName } from "@broker/domain/User"
import { Clock, Context, Deferred, Effect, Exit, Layer, Redacted, References, Schema, Scope } from "effect"
import * as TestDatabase from "./TestDatabase.ts"
import * as TestEncryption from "./TestEncryption.ts"

export interface TestBrokerOptions {
  /** Tunables of the fleet, such as a heartbeat interval of a second. The others keep their defaults. */
  readonly policy?: Partial<typeof ServersPolicy.Service>
  /** Tunables of connections, such as how long an intent lives. The others keep their defaults. */
  readonly connections?: Partial<typeof ConnectionsPolicy.Service>
  /** Tunables of bulk actions, such as how many servers one run reaches. The others keep their defaults. */
  readonly bulkActs?: Partial<typeof BulkActsPolicy.Service>
  /** Tunables of webhooks, such as the networks that they may reach. The others keep their defaults. */
  readonly webhooks?: Partial<typeof WebhooksPolicy.Service>
  /** Where e-mail goes. Nowhere unless given. */
  readonly mail?: typeof MailSettings.Service
  /** Requests a minute, of a test about limits. Otherwise nobody is limited: tests hammer from one address. */
  readonly limits?: Partial<typeof RateLimitsPolicy.Service.quotas>
  /** A database that exists already, for several brokers on one. A fresh one unless given. */
  readonly database?: Redacted.Redacted
}

/** What an agent in a test is started with: its name, and whatever else of the agent's options matters. */
export type TestAgentOptions = Pick<AgentOptions, "name"> & Partial<Omit<AgentOptions, "name" | "url">>

export class TestBroker extends Context.Service<
  TestBroker,
  {
    /** Where it listens, which is also its audience. */
    readonly url: string
    readonly database: Redacted.Redacted
    /** Mints a registration key: one use, one hour, no approval, unless told otherwise. */
    registrationKey(
      request?: Partial<RegistrationKeyRequest>
    ): Effect.Effect<{ readonly id: string; readonly key: Secret }>
    /**
     * Starts a real agent with a key pair of its own, which runs until the scope closes. Done once the broker took its
     * first heartbeat.
     */
    agent(options: TestAgentOptions): Effect.Effect<void, AgentError, Scope.Scope>
    /** Creates an owner to sign in as. */
    admin(name: string, password: string): Effect.Effect<void>
    /** Creates a user who connects. */
    user(name: string): Effect.Effect<UserId>
    /** Mints a personal key of a user: no expiry, the usual limit, unless told otherwise. */
    personalKey(
      userId: UserId,
      request?: Partial<Omit<PersonalKeyRequest, "userId">>
    ): Effect.Effect<{ readonly id: PersonalKeyId; readonly key: Secret }>
  }
>()("@broker/testing/TestBroker") {
  /** The broker, and the core's services behind it for whatever has to be looked at from inside. */
  static readonly layer = (options: TestBrokerOptions = {}) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const database = options.database ?? (yield* TestDatabase.createDatabase)
        const port = yield* freePort
        const url = `http://localhost:${port}`
        const broker = Broker.layer({ version: "test", audience: url, host: "127.0.0.1", port })
        return Layer.effect(TestBroker, make(url, database)).pipe(
          Layer.provideMerge(broker),
          Layer.provide(Database.layer({ url: database, maxConnections: 8 })),
          Layer.provide(TestEncryption.layer),
          Layer.provide(Layer.succeed(ServersPolicy, { ...ServersPolicy.defaultValue(), ...options.policy })),
          Layer.provide(
            Layer.succeed(ConnectionsPolicy, { ...ConnectionsPolicy.defaultValue(), ...options.connections })
          ),
          Layer.provide(Layer.succeed(BulkActsPolicy, { ...BulkActsPolicy.defaultValue(), ...options.bulkActs })),
          Layer.provide(Layer.succeed(MailSettings, options.mail ?? null)),
          Layer.provide(Layer.succeed(WebhooksPolicy, { ...WebhooksPolicy.defaultValue(), ...options.webhooks })),
          Layer.provide(
            Layer.succeed(RateLimitsPolicy, {
              ...RateLimitsPolicy.defaultValue(),
              quotas: { ...unlimited, ...options.limits }
            })
          ),
          Layer.orDie
        )
      })
    ).pipe(Layer.provide([realTime, quiet]))
}

/** Sockets do not follow a test's clock. */
const realTime = Layer.succeed(Clock.Clock, Context.get(Context.empty(), Clock.Clock))

/** A test says what it expects; the broker's own account of it is for when something is wrong. */
const quiet = Layer.succeed(References.MinimumLogLevel, "Error")

/** The port has to be known before the broker listens, as it is part of the audience. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-agent-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const make = Effect.fnUntraced(function* (url: string, database: Redacted.Redacted) {
  const keys = yield* RegistrationKeys
  const admins = yield* Admins
  const users = yield* Users
  const personalKeys = yield* PersonalKeys
  const asBroker = Effect.provideService(Actor, byBroker)

  const registrationKey = (request: Partial<RegistrationKeyRequest> = {}) =>
    keys
      .create(defaultOrganizationId, {
        name: "test",
        useLimit: 1,
        expiresInSeconds: 3_600,
        tags: [],
        approval: false,
        replacesServerId: null,
        ...request
      })
      .pipe(asBroker, Effect.orDie)

  const agent = Effect.fnUntraced(
    function* (options: TestAgentOptions) {
      const started = yield* Deferred.make<void, AgentError>()
      const key = options.key ?? (yield* registrationKey()).key
      const stateDir = options.stateDir ?? (yield* directory)
      yield* run({
        ...options,
        url,
        key,
        stateDir,
        onEvent: (event) =>
          Effect.andThen(
            event._tag === "Heartbeat" ? Deferred.succeed(started, undefined) : Effect.void,
            options.onEvent?.(event) ?? Effect.void
          )
      }).pipe(
        Effect.tapError((error) => Deferred.fail(started, error)),
        Effect.ignore,
        Effect.forkScoped
      )
      yield* Deferred.await(started)
    },
    Effect.provide(Layer.merge(realTime, quiet))
  )

  const admin = (name: string, password: string) =>
    admins
      .create({
        organizationId: defaultOrganizationId,
        name: AdminName.make(name),
        password: Schema.decodeSync(NewPassword)(password),
        role: "owner"
      })
      .pipe(asBroker, Effect.asVoid, Effect.orDie)

  const user = (name: string) =>
    users.create(defaultOrganizationId, { name: UserName.make(name), email: null, note: "" }).pipe(
      asBroker,
      Effect.map(({ id }) => id),
      Effect.orDie
    )

  const personalKey = (userId: UserId, request: Partial<Omit<PersonalKeyRequest, "userId">> = {}) =>
    personalKeys
      .create(defaultOrganizationId, {
        name: "test",
        expiresInSeconds: null,
        connectionLimit: null,
        ...request,
        userId
      })
      .pipe(asBroker, Effect.orDie)

  return TestBroker.of({ url, database, registrationKey, agent, admin, user, personalKey })
})

/** A broker for tests that are not written in Effect. */
export interface RunningBroker extends AsyncDisposable {
  readonly url: string
  /** Mints a registration key, and gives its secret. */
  readonly registrationKey: (request?: Partial<RegistrationKeyRequest>) => Promise<string>
  /** Starts a real agent, which runs until it is stopped or the broker is. Resolves with its first heartbeat. */
  readonly agent: (options: TestAgentOptions) => Promise<{ readonly stop: () => Promise<void> }>
  readonly admin: (name: string, password: string) => Promise<void>
  /** Creates a user who connects, and gives their id. */
  readonly user: (name: string) => Promise<UserId>
  /** Mints a personal key of a user, and gives its id and its secret. */
  readonly personalKey: (
    userId: UserId,
    request?: Partial<Omit<PersonalKeyRequest, "userId">>
  ) => Promise<{ readonly id: PersonalKeyId; readonly key: string }>
  /** Runs an effect on the core's services. */
  readonly run: <A, E>(effect: Effect.Effect<A, E, Core.Services>) => Promise<A>
}

/** Starts a broker: `await using broker = await startBroker()`. */
export const startBroker = async (options: TestBrokerOptions = {}): Promise<RunningBroker> => {
  const scope = Scope.makeUnsafe()
  const services = await Effect.runPromise(Layer.buildWithScope(TestBroker.layer(options), scope))
  const broker = Context.get(services, TestBroker)
  const runPromise = Effect.runPromiseWith(services)
  return {
    url: broker.url,
    registrationKey: (request) =>
      runPromise(Effect.map(broker.registrationKey(request), ({ key }) => Redacted.value(key))),
    agent: async (options) => {
      const life = Scope.forkUnsafe(scope)
      await runPromise(Scope.provide(broker.agent(options), life))
      return { stop: () => runPromise(Scope.close(life, Exit.void)) }
    },
    admin: (name, password) => runPromise(broker.admin(name, password)),
    user: (name) => runPromise(broker.user(name)),
    personalKey: (userId, request) =>
      runPromise(Effect.map(broker.personalKey(userId, request), ({ id, key }) => ({ id, key: Redacted.value(key) }))),
    run: (effect) => runPromise(effect),
    [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
