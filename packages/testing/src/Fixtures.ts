/** What rule tests are about: servers with real key pairs, the keys they join by, and whoever does it. */

import { generateKeyPairSync, randomUUID, sign } from "node:crypto"
import { AdminSessions, type Browser } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { Actor } from "@broker/core/audit/Actor"
import { RefusalsPolicy } from "@broker/core/audit/Refusals"
import * as Core from "@broker/core/Core"
import { Challenges } from "@broker/core/challenges/Challenges"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { FleetGuardPolicy } from "@broker/core/fleet-guard/FleetGuardPolicy"
import { Heartbeats } from "@broker/core/heartbeats/Heartbeats"
import { Installation } from "@broker/core/Installation"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Registrations } from "@broker/core/servers/Registrations"
import { Servers } from "@broker/core/servers/Servers"
import { Users } from "@broker/core/users/Users"
import { AdminName, type NewPassword } from "@broker/domain/Admin"
import type { PendingChallenge } from "@broker/domain/Challenge"
import { type Credential, type CredentialKind, parse, type Secret } from "@broker/domain/Credential"
import type { DeviceStatement } from "@broker/domain/Device"
import type { ServersQuery } from "@broker/domain/Fleet"
import type { Heartbeat } from "@broker/domain/Heartbeat"
import { defaultOrganizationId, OrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import type { PersonalKeyRequest } from "@broker/domain/PersonalKey"
import type { Registration } from "@broker/domain/Registration"
import type { RegistrationKeyRequest } from "@broker/domain/RegistrationKey"
import { PublicKey, type ServerId, Signature } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { UserName, type UserRequest } from "@broker/domain/User"
import { Clock, DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as TestDatabase from "./TestDatabase.ts"
import * as TestEncryption from "./TestEncryption.ts"

/** An admin at the keyboard. */
export const actor = Actor.of({
  kind: "admin",
  id: null,
  name: "ada",
  address: "203.0.113.7",
  requestId: "request-1"
})

/** When tests begin, for clocks that would begin in 1970. */
export const start = DateTime.makeUnsafe("2026-11-22T10:00:00Z")

const startOfTime = Layer.effectDiscard(
  Effect.flatMap(Clock.Clock, (clock) =>
    "setTime" in clock ? TestClock.setTime(DateTime.toEpochMillis(start)) : Effect.void
  )
)

/** Months go by in tests, one look at the clock after the other: a broker looks every ten seconds whose minute is over. */
const refusalsToldRarely = Layer.effect(
  RefusalsPolicy,
  Effect.map(RefusalsPolicy, (policy) => ({ ...policy, tellEvery: Duration.minutes(15) }))
)

const coreOn = (database: typeof TestDatabase.layer) =>
  Layer.mergeAll(Core.layer, Layer.succeed(Actor, actor)).pipe(
    Layer.provide(refusalsToldRarely),
    Layer.provideMerge(database),
    Layer.provideMerge(TestEncryption.layer),
    Layer.provideMerge(startOfTime)
  )

/**
 * Tests that share a fleet leave silent servers behind for each other, which would be held as a whole (H6): the guard
 * sleeps, except where it is what is tested.
 */
export const guardAsleep = Layer.effect(
  FleetGuardPolicy,
  Effect.map(FleetGuardPolicy, (policy) => ({ ...policy, least: Number.MAX_SAFE_INTEGER }))
)

/** All of the core on a database of its own, with an admin at work, and the test's clock set. */
export const layer = coreOn(TestDatabase.layer).pipe(Layer.provide(guardAsleep))

/** The same, where nothing that matters changes without an audit entry (A6), and the guard is awake (H6). */
export const guarded = coreOn(TestDatabase.audited)

/** The same, where nothing that matters changes without an audit entry (A6), as in production. */
export const audited = coreOn(TestDatabase.audited)

/** Tells a name or an id that no other test uses. */
export const unique = (word: string) => `${word}-${randomUUID().slice(-12)}`

/** A second tenant. */
export const organization = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = OrganizationId.make(randomUUID())
  // No service makes organizations yet, so the database records it.
  yield* sql.withTransaction(
    Effect.andThen(
      sql`select set_config('broker.audit', '', true)`,
      sql`insert into organizations (id, name) values (${id}, ${unique("organization")})`
    )
  )
  return id
})

export interface KeyPair {
  readonly publicKey: PublicKey
  readonly sign: (text: string) => Signature
}

/** A fresh Ed25519 key pair. */
export const keyPair = (): KeyPair => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  return {
    publicKey: PublicKey.make(publicKey.export({ format: "jwk" }).x ?? ""),
    sign: (text) => Signature.make(sign(null, Buffer.from(text), privateKey).toString("base64url"))
  }
}

/** Reads a secret as the kind of credential it is known to be. */
export const credential = <Kind extends CredentialKind>(kind: Kind, secret: Secret): Credential<Kind> => ({
  ...Option.getOrThrow(parse(secret)),
  kind
})

/** A registration key as its holder has it. One use and an hour, unless asked otherwise. */
export const registrationKey = Effect.fnUntraced(function* (
  options: Partial<RegistrationKeyRequest> & { readonly organizationId?: OrganizationId } = {}
) {
  const keys = yield* RegistrationKeys
  const { organizationId = defaultOrganizationId, ...request } = options
  const { id, key } = yield* keys.create(organizationId, {
    name: "key",
    useLimit: 1,
    expiresInSeconds: 3_600,
    tags: [],
    approval: false,
    replacesServerId: null,
    ...request
  })
  return { id, organizationId, secret: key, credential: credential("registrationKey", key) }
})
export type RegistrationKey = Effect.Success<ReturnType<typeof registrationKey>>

/** What a server that is called so sends to join by a key, signed now. */
export const registration = Effect.fnUntraced(function* (
  key: { readonly id: string },
  pair: KeyPair,
  fields: Partial<Omit<Registration, "publicKey" | "signature">> & { readonly name: string }
) {
  const { audience } = yield* Installation
  const timestamp = fields.timestamp ?? DateTime.formatIso(yield* DateTime.now)
  const signed = { audience, registrationKeyId: key.id, name: fields.name, publicKey: pair.publicKey, timestamp }
  return {
    ...fields,
    timestamp,
    publicKey: pair.publicKey,
    signature: pair.sign(SignedString.registration(signed))
  } satisfies Registration
})

/** One attempt to join. */
export const join = Effect.fnUntraced(function* (
  key: RegistrationKey,
  pair: KeyPair,
  fields: Parameters<typeof registration>[2],
  idempotencyKey?: string
) {
  const registrations = yield* Registrations
  return yield* registrations.register(
    key.credential,
    yield* registration(key, pair, fields),
    Option.fromUndefinedOr(idempotencyKey)
  )
})

/** A server that has just joined: approved, not verified, never heard of. */
export const joined = Effect.fnUntraced(function* (
  name: string = unique("server"),
  options: Parameters<typeof registrationKey>[0] = {},
  fields: Partial<Registration> = {}
) {
  const pair = keyPair()
  const key = yield* registrationKey(options)
  const { challenge, server, token } = yield* join(key, pair, { ...fields, name })
  return {
    id: server.id,
    organizationId: key.organizationId,
    admission: server.admission,
    name: server.name,
    pair,
    key,
    token: credential("serverToken", token),
    challenge
  }
})
export type Joined = Effect.Success<ReturnType<typeof joined>>

/** What a server's private key makes of a challenge. */
export const signature = Effect.fnUntraced(function* (
  server: { readonly id: ServerId; readonly pair: KeyPair },
  challenge: typeof PendingChallenge.Type
) {
  const { audience } = yield* Installation
  const { expiresAt, id, nonce } = challenge
  return server.pair.sign(
    SignedString.challenge({
      audience,
      serverId: server.id,
      challengeId: id,
      nonce,
      expiresAt: DateTime.formatIso(expiresAt)
    })
  )
})

/** A server that has proven its key. */
export const verified = Effect.fnUntraced(function* (...options: Parameters<typeof joined>) {
  const challenges = yield* Challenges
  const server = yield* joined(...options)
  if (server.challenge !== null) {
    yield* challenges.answer(server, server.challenge.id, yield* signature(server, server.challenge))
  }
  return server
})

/** Somebody who connects. */
export const user = Effect.fnUntraced(function* (
  options: Partial<UserRequest> & { readonly organizationId?: OrganizationId } = {}
) {
  const users = yield* Users
  const { organizationId = defaultOrganizationId, ...request } = options
  const { email, id, name } = yield* users.create(organizationId, {
    name: UserName.make(unique("user")),
    email: null,
    note: "",
    ...request
  })
  return { id, organizationId, name, email }
})
export type User = Effect.Success<ReturnType<typeof user>>

/** A personal key as its holder has it. It does not expire, and has the usual limit, unless asked otherwise. */
export const personalKey = Effect.fnUntraced(function* (
  owner: Pick<User, "id" | "organizationId">,
  request: Partial<Omit<PersonalKeyRequest, "userId">> = {}
) {
  const keys = yield* PersonalKeys
  const { id, key } = yield* keys.create(owner.organizationId, {
    name: "laptop",
    expiresInSeconds: null,
    connectionLimit: null,
    ...request,
    userId: owner.id
  })
  return { id, organizationId: owner.organizationId, userId: owner.id, credential: credential("personalKey", key) }
})

/** What a client says of a device that no other test has. */
export const deviceStatement = (fields: Partial<typeof DeviceStatement.Type> = {}): typeof DeviceStatement.Type => ({
  fingerprint: unique("fingerprint"),
  name: "ada's laptop",
  platform: "linux",
  ...fields
})

/** A client that has just signed in, with the token it got. */
export const signedIn = Effect.fnUntraced(function* (
  options: {
    readonly user?: Pick<User, "id" | "organizationId">
    readonly key?: { readonly credential: Credential<"personalKey"> }
    readonly device?: Partial<typeof DeviceStatement.Type>
  } = {}
) {
  const sessions = yield* ClientSessions
  const key = options.key ?? (yield* personalKey(options.user ?? (yield* user())))
  const { expiresAt, token } = yield* sessions.signIn(key.credential, { device: deviceStatement(options.device) })
  return { ...(yield* sessions.authenticate(token)), token, expiresAt }
})
export type SignedIn = Effect.Success<ReturnType<typeof signedIn>>

/** The password of every admin here; nobody else has it. */
export const password: NewPassword = Redacted.make("violet tractor hums at noon")

/** Somebody who signs in to the dashboard. */
export const admin = Effect.fnUntraced(function* (
  options: { readonly name?: string; readonly role?: BuiltInRole; readonly organizationId?: OrganizationId } = {}
) {
  const admins = yield* Admins
  const { name = unique("ada"), organizationId = defaultOrganizationId, role = "owner" } = options
  const { id } = yield* admins.create({ organizationId, name: AdminName.make(name), password, role })
  return { id, name: AdminName.make(name), organizationId, role }
})
export type Admin = Effect.Success<ReturnType<typeof admin>>

/** A browser in which nobody signed in yet. */
export const browser: Browser = { userAgent: "Firefox", known: Option.none(), former: Option.none() }

/** An admin at work, by a session that was opened just now. */
export const adminSession = Effect.fnUntraced(function* (who?: Pick<Admin, "id">) {
  const sessions = yield* AdminSessions
  const { id } = who ?? (yield* admin())
  const session = yield* sessions.open(id, { method: "password", factor: false }, browser)
  return { ...session, admin: yield* sessions.authenticate(session.ticket) }
})
export type AdminSession = Effect.Success<ReturnType<typeof adminSession>>

/** A boot of a server, for heartbeats. */
export const boot = () => randomUUID()

/** A heartbeat sent now. */
export const heartbeat = Effect.fnUntraced(function* (
  bootId: string,
  seq: number,
  fields: Partial<Omit<Heartbeat, "bootId" | "seq">> = {}
) {
  return {
    bootId,
    seq,
    sentAt: DateTime.formatIso(yield* DateTime.now),
    activeConnections: 0,
    metrics: {},
    ...fields
  } satisfies Heartbeat
})

/** Sends one. */
export const beat = Effect.fnUntraced(function* (
  server: Parameters<Heartbeats["Service"]["beat"]>[0],
  bootId: string,
  seq: number,
  fields: Partial<Heartbeat> = {}
) {
  const heartbeats = yield* Heartbeats
  return yield* heartbeats.beat(server, yield* heartbeat(bootId, seq, fields))
})

/** The server as admins see it now. */
export const seen = Effect.fnUntraced(function* (server: {
  readonly id: ServerId
  readonly organizationId: OrganizationId
}) {
  const servers = yield* Servers
  return yield* servers.get(server.organizationId, server.id)
})

/** Lets time pass while some node of the broker listens all along, so that it is no outage of the broker (H5). */
export const pass = Effect.fnUntraced(function* (duration: Duration.Input) {
  const sql = yield* SqlClient.SqlClient
  yield* TestClock.adjust(duration)
  const now = DateTime.toDateUtc(yield* DateTime.now)
  yield* sql`
    insert into nodes (id, name, version, audience, encryption_keys, started_at, last_seen_at)
    values ('00000000-0000-4000-8000-000000000001', 'always-there', '0', 'http://localhost:3000',
            array[${TestEncryption.keyId}], ${now}, ${now})
    on conflict (id) do update set last_seen_at = excluded.last_seen_at`
})

/** What a list of servers asks for when nothing is asked for. */
export const everyServer: ServersQuery = {
  text: "",
  statuses: [],
  tags: [],
  verified: null,
  sort: "name",
  limit: 50,
  cursor: null
}
