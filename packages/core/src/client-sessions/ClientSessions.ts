/**
 * How clients sign in, and stay who they are: a personal key and a device become a token that is signed, good for
 * minutes, and can be ended before on every node.
 *
 * Who it is stands in the token, and its signature is checked, so nobody is looked up for a forged one. Whether the
 * session was ended is looked up once per node, and kept until a signal says that it was.
 */
import {
  ClientSession,
  ClientSessionId,
  type ClientSignedIn,
  type ClientSignIn,
  type Me,
  type SessionEndReason,
  type SessionToken,
  type SignedInClient,
  type TooManyAttempts
} from "@broker/domain/ClientSession"
import { type Credential, prefixes, type SecretDigest, UnknownCredential } from "@broker/domain/Credential"
import {
  Device,
  DeviceBlocked,
  DeviceId,
  DeviceKeyMismatch,
  DeviceLimit,
  type DeviceStatement
} from "@broker/domain/Device"
import { OrganizationId } from "@broker/domain/Organization"
import { PersonalKeyId, PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { InvalidPublicKey } from "@broker/domain/Registration"
import { UserId } from "@broker/domain/User"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Option, Redacted, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Connections } from "../connections/Connections.ts"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import { isSound } from "../crypto/Ed25519.ts"
import { digestOf, isDigestOf, Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { SignInDefence } from "../sign-in-defence/SignInDefence.ts"
import { SigningKeys } from "../signing-keys/SigningKeys.ts"
import * as ClientSessionsSql from "./ClientSessionsSql.ts"

/** Sessions that a node remembers; others are looked up again. */
const capacity = 200_000

/** Sessions that one run of the pruning deletes at most. */
const pruneLimit = 10_000

const topic = "client-session"

/** What a session token says, beside its issuer and audience. */
const Claims = Schema.Struct({
  sub: UserId,
  sid: ClientSessionId,
  device: DeviceId,
  key: PersonalKeyId,
  org: OrganizationId,
  exp: Schema.Int
})

const decodeClaims = Schema.decodeUnknownOption(Claims)

/** Whose sessions end, and the reason that follows from it. */
export type SessionOwner =
  | { readonly personalKeyId: PersonalKeyId }
  | { readonly deviceId: DeviceId }
  | { readonly userId: UserId }

const nobody = { personalKeyId: null, deviceId: null, userId: null }

const reasonOf = (owner: SessionOwner): SessionEndReason =>
  "personalKeyId" in owner ? "key_revoked" : "deviceId" in owner ? "device_blocked" : "user_suspended"

export class ClientSessions extends Context.Service<
  ClientSessions,
  {
    /** Registers the device when it is new. Failures slow down the key's id and the address, on all nodes. */
    signIn(
      credential: Credential<"personalKey">,
      request: ClientSignIn
    ): Effect.Effect<
      ClientSignedIn,
      PersonalKeyRefused | DeviceBlocked | DeviceLimit | DeviceKeyMismatch | InvalidPublicKey | TooManyAttempts,
      Actor
    >
    /** Whose token it is: the signature is checked here, and whether the session was ended is remembered per node. */
    authenticate(token: SessionToken): Effect.Effect<SignedInClient, UnknownCredential>
    signOut(client: SignedInClient): Effect.Effect<void>
    me(client: SignedInClient): Effect.Effect<Me, UnknownCredential>
    /** Ends every open session of a key, a device or a user, on all nodes. Joins the caller's transaction. */
    end(owner: SessionOwner): Effect.Effect<void>
    /** Deletes sessions and failures past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/client-sessions/ClientSessions") {
  static readonly layerNoDeps = Layer.effect(
    ClientSessions,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ClientSessionsSql.make
      const defence = yield* SignInDefence
      const signingKeys = yield* SigningKeys
      const connections = yield* Connections
      const signals = yield* Signals
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* ConnectionsPolicy

      /** Tokens whose signature was checked here, by their digests: what is signed stays signed. */
      const checked = new Map<SecretDigest, typeof Claims.Type>()

      // An end is final, and a session is there before its token is: either answer holds until a signal comes.
      const open = yield* Cache.makeWith(
        (id: ClientSessionId) => Effect.map(statements.isOpen(id), ({ open }) => open),
        {
          capacity,
          // A failure is not remembered: the database may come back.
          timeToLive: (exit) => (Exit.isSuccess(exit) ? policy.sessionLifetime : Duration.zero)
        }
      )

      yield* signals.subscribe(topic).pipe(
        Stream.runForEach((signal) =>
          signal._tag === "Signal"
            ? Effect.forEach(signal.payload.split(" "), (id) => Cache.invalidate(open, ClientSessionId.make(id)), {
                discard: true
              })
            : Cache.invalidateAll(open)
        ),
        Effect.forkScoped
      )

      /** One signal for all of them: when they do not fit in it, every node forgets every session. */
      const forget = Effect.fnUntraced(function* (ended: ReadonlyArray<{ readonly id: ClientSessionId }>) {
        if (ended.length === 0) return
        yield* signals.notify(topic, ended.map(({ id }) => id).join(" "))
        yield* sql.afterCommit(Effect.forEach(ended, ({ id }) => Cache.invalidate(open, id), { discard: true }))
      })

      /** The key behind a credential that is good, or why not: to outsiders all reasons are one (B7). */
      const present = Effect.fn("ClientSessions.present")(function* (credential: Credential<"personalKey">) {
        const { address } = yield* Actor
        const id = PersonalKeyId.make(credential.id)
        const key = yield* statements.findKey(id)
        if (Option.isNone(key)) {
          yield* defence.admit("address", address)
          yield* defence.failed({ realm: "address", address, account: Option.none() })
          yield* audit.record({
            organizationId: null,
            action: "clients:sign-in",
            subjectKind: "personal-key",
            subjectId: id,
            outcome: "refused",
            details: { reason: "unknown" }
          })
          return yield* new PersonalKeyRefused()
        }
        const { digest, expiresAt, name, organizationId, revokedAt, userState } = key.value
        const now = yield* DateTime.now
        const isGuess = !isDigestOf(digest, credential.secret)
        const reason = isGuess
          ? "wrong_secret"
          : revokedAt !== null
            ? "revoked"
            : expiresAt !== null && DateTime.isLessThanOrEqualTo(expiresAt, now)
              ? "expired"
              : userState === "suspended"
                ? "user_suspended"
                : undefined
        if (reason === undefined) return key.value
        if (isGuess) {
          // Only wrong ones wait with their address: next door to somebody who guesses, the right key opens.
          yield* defence.admit("address", address)
          const account = Option.some({ kind: "personal-key", id, organizationId } as const)
          yield* defence.failed({ realm: "address", address, account })
        } else yield* defence.refused(id)
        yield* audit.record({
          organizationId,
          action: "clients:sign-in",
          subjectKind: "personal-key",
          subjectId: id,
          outcome: "refused",
          details: { name, reason }
        })
        return yield* new PersonalKeyRefused()
      })

      /** The device as it is from now on, under a lock on its user (C2). */
      const admitDevice = Effect.fn("ClientSessions.admitDevice")(function* (
        owner: { readonly organizationId: OrganizationId; readonly userId: UserId },
        statement: typeof DeviceStatement.Type,
        now: DateTime.Utc
      ) {
        const actor = yield* Actor
        const { address } = actor
        const said = {
          name: statement.name,
          platform: statement.platform.toLowerCase(),
          publicKey: statement.publicKey ?? null
        }
        const known = yield* statements.lockDevice({ userId: owner.userId, fingerprint: statement.fingerprint })
        const record = (id: DeviceId, action: `devices:${string}`) =>
          audit
            .record({
              organizationId: owner.organizationId,
              action,
              subjectKind: "device",
              subjectId: id,
              details: { name: said.name, platform: said.platform }
              // Whoever presented a key that is good is a stranger no more.
            })
            .pipe(Effect.provideService(Actor, { ...actor, kind: "client", id, name: said.name }))
        if (Option.isSome(known)) {
          const { blockedAt, id, name, platform, publicKey } = known.value
          if (blockedAt !== null) return yield* new DeviceBlocked()
          if (publicKey !== null && said.publicKey !== null && publicKey !== said.publicKey) {
            return yield* new DeviceKeyMismatch()
          }
          if (name !== said.name || platform !== said.platform || (publicKey === null && said.publicKey !== null)) {
            yield* record(id, "devices:describe")
          }
          return yield* statements.seeDevice({ ...said, id, address, now })
        }
        const { devices } = yield* statements.countDevices(owner.userId)
        if (devices >= policy.devicesPerUser) return yield* new DeviceLimit()
        const id = DeviceId.make(yield* secrets.id)
        yield* record(id, "devices:register")
        return yield* statements.insertDevice(
          Device.insert.make({
            ...owner,
            ...said,
            id,
            fingerprint: statement.fingerprint,
            connectionLimit: policy.connectionsPerDevice,
            createdAt: now,
            lastSeenAt: now,
            lastAddress: address
          })
        )
      })

      /** Locks in the order of everybody: the user, the key, the device. */
      const begin = Effect.fn("ClientSessions.begin")(function* (
        key: { readonly id: PersonalKeyId; readonly organizationId: OrganizationId; readonly userId: UserId },
        statement: typeof DeviceStatement.Type
      ) {
        const { address } = yield* Actor
        const { id: personalKeyId, organizationId, userId } = key
        const now = yield* DateTime.now
        const user = yield* statements.seeUser({ id: userId, now })
        const used = yield* statements.useKey({ id: personalKeyId, now, address })
        // Suspended or revoked since it was looked up.
        if (Option.isNone(user) || Option.isNone(used)) return yield* new PersonalKeyRefused()
        const device = yield* admitDevice({ organizationId, userId }, statement, now)
        yield* defence.succeeded({ kind: "personal-key", id: personalKeyId, organizationId })
        const lasting = DateTime.addDuration(now, policy.sessionLifetime)
        const until = used.value.expiresAt === null ? lasting : DateTime.min(lasting, used.value.expiresAt)
        // In whole seconds, as tokens tell time.
        const expiresAt = DateTime.makeUnsafe(Math.floor(DateTime.toEpochMillis(until) / 1_000) * 1_000)
        const id = ClientSessionId.make(yield* secrets.id)
        yield* statements.insert(
          ClientSession.insert.make({
            id,
            organizationId,
            userId,
            deviceId: device.id,
            personalKeyId,
            address,
            createdAt: now,
            expiresAt
          })
        )
        return { id, now, expiresAt, user: user.value, device }
      }, sql.withTransaction)

      const signIn = Effect.fn("ClientSessions.signIn")(
        function* (credential: Credential<"personalKey">, { device: statement }: ClientSignIn) {
          const key = yield* present(credential)
          if (statement.publicKey !== undefined && !isSound(statement.publicKey)) return yield* new InvalidPublicKey()
          const { device, expiresAt, id, now, user } = yield* begin(key, statement).pipe(
            Effect.tapErrorTag("DeviceKeyMismatch", () =>
              audit.alarm({
                organizationId: key.organizationId,
                kind: "device_key_mismatch",
                severity: "medium",
                serverId: null,
                details: { userId: key.userId, personalKey: key.id, fingerprint: statement.fingerprint }
              })
            )
          )
          const token = yield* signingKeys.sign("session+jwt", {
            sub: user.id,
            sid: id,
            device: device.id,
            key: key.id,
            org: key.organizationId,
            iat: Math.floor(DateTime.toEpochMillis(now) / 1_000),
            exp: DateTime.toEpochMillis(expiresAt) / 1_000
          })
          return {
            token: Redacted.make(prefixes.clientSession + token, { label: "session token" }),
            expiresAt,
            user,
            device
          }
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** What a token says, if it is one of ours and not over. */
      const check = Effect.fnUntraced(function* (token: SessionToken) {
        const now = DateTime.toEpochMillis(yield* DateTime.now)
        const isOver = ({ exp }: typeof Claims.Type) => exp * 1_000 <= now
        const digest = digestOf(token)
        const known = checked.get(digest)
        if (known !== undefined) return Option.liftPredicate(known, (claims) => !isOver(claims))
        const text = Redacted.value(token)
        if (!text.startsWith(prefixes.clientSession)) return Option.none()
        const said = yield* signingKeys.verify("session+jwt", text.slice(prefixes.clientSession.length))
        const claims = Option.flatMap(said, decodeClaims)
        if (Option.isSome(claims)) {
          // The first are the oldest, and the first to be over.
          for (const [first, earlier] of checked) {
            if (checked.size < capacity && !isOver(earlier)) break
            checked.delete(first)
          }
          checked.set(digest, claims.value)
        }
        return claims
      })

      const authenticate = Effect.fn("ClientSessions.authenticate")(
        function* (token: SessionToken) {
          const claims = yield* check(token)
          if (Option.isNone(claims)) return yield* new UnknownCredential()
          const { device, key, org, sid, sub } = claims.value
          if (!(yield* Cache.get(open, sid))) return yield* new UnknownCredential()
          return { sessionId: sid, organizationId: org, userId: sub, deviceId: device, personalKeyId: key }
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const signOut = Effect.fn("ClientSessions.signOut")(
        function* ({ sessionId }: SignedInClient) {
          yield* forget(yield* statements.endOne({ id: sessionId, now: yield* DateTime.now }))
        },
        sql.withTransaction,
        Effect.orDie
      )

      const me = Effect.fn("ClientSessions.me")(
        function* (client: SignedInClient) {
          const user = yield* statements.whose(client)
          const known = yield* statements.where(client)
          const key = yield* statements.byWhat(client)
          if (Option.isNone(user) || Option.isNone(known) || Option.isNone(key)) return yield* new UnknownCredential()
          const { connectionLimit, ...device } = known.value
          return {
            user: user.value,
            device,
            limits: {
              connectionsPerKey: key.value.connectionLimit,
              connectionsPerDevice: connectionLimit,
              devicesPerUser: policy.devicesPerUser
            },
            connections: yield* connections.live(client)
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const end = Effect.fn("ClientSessions.end")(
        function* (owner: SessionOwner) {
          const now = yield* DateTime.now
          yield* forget(yield* statements.endAll({ ...nobody, ...owner, reason: reasonOf(owner), now }))
        },
        sql.withTransaction,
        Effect.orDie
      )

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.history)
        const gone = yield* statements.prune({ before, limit: pruneLimit })
        return gone.length + (yield* defence.prune)
      }).pipe(Effect.orDie, Effect.withSpan("ClientSessions.prune"))

      return ClientSessions.of({ signIn, authenticate, signOut, me, end, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([SignInDefence.layer, Secrets.layer, Audit.layer]))
}
