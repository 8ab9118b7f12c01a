/**
 * Keeps one server in the fleet: registers it, reports its life, proves its identity, and knows from each refusal
 * whether to stop, to wait, to register again or to retry (H8).
 */
import { ChallengeAnswer, PendingChallenge, Verification } from "@broker/domain/Challenge"
import { type Secret, UnknownCredential, WrongCredentialKind } from "@broker/domain/Credential"
import { HeartbeatReply, type Metrics, rotateKeyNotice } from "@broker/domain/Heartbeat"
import { Timestamp } from "@broker/domain/Primitives"
import { declarationOf } from "@broker/domain/Problem"
import { InvalidPublicKey, InvalidSignature, Registered, TimestampOutOfRange } from "@broker/domain/Registration"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { NameTaken, PublicKeyInUse, Server, ServerName, ServerRetired } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { Clock, DateTime, Duration, Effect, FiberHandle, Option, Random, Record, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpClient } from "effect/http"
import type { AgentConnections } from "./AgentConnections.ts"
import * as AgentEvent from "./AgentEvent.ts"
import { AgentStore, Description, type FileError, type Membership } from "./AgentStore.ts"
import * as Backoff from "./Backoff.ts"
import { BrokerClient, within } from "./BrokerClient.ts"
import * as GrantCheck from "./GrantCheck.ts"
import { HostMetrics } from "./HostMetrics.ts"
import { brokerUrl, credential, InvalidOptions, invalid } from "./Options.ts"
import { exchange, judge, type Refusal } from "./Refusal.ts"

/** What a heartbeat says beside the load of the machine. */
export interface Report {
  readonly activeConnections: number
  /** Added to what the machine measures, and put in its place where names are the same. */
  readonly metrics?: Metrics | undefined
}

export interface Options extends Description {
  /** The broker's address, such as `https://broker.example`. */
  readonly url: string
  /** The registration key. Not needed once the server is registered. */
  readonly key?: Secret | undefined
  readonly name: string
  /** What the gateway is doing, asked before each heartbeat. */
  readonly report?: Effect.Effect<Report> | undefined
  /** Given by a gateway that takes connections: its heartbeats then carry them, and the broker may cut them. */
  readonly connections?: AgentConnections | undefined
  /** Told each event before the agent goes on; logs it unless given. */
  readonly onEvent?: ((event: AgentEvent.AgentEvent) => Effect.Effect<void>) | undefined
  /** How long to wait between tries while the server is suspended: 5 minutes unless told otherwise. */
  readonly pause?: Duration.Input | undefined
  /** How long one request may take: 10 s unless told otherwise. */
  readonly timeout?: Duration.Input | undefined
}

/** What the agent kept does not belong together, or not to what it was told. Nothing was sent. */
export class UnusableState extends Schema.TaggedError<UnusableState>()("UnusableState", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The broker does not want this server: it makes no sense to go on, nor to start again with nothing changed. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  /** The broker's code, such as `registration_key_refused`. */
  code: Schema.String,
  detail: Schema.String
}) {
  /** What a person can do about it. */
  get remedy() {
    return remedies.get(this.code) ?? "Look at the broker's log for why."
  }

  override get message() {
    return `${this.detail} ${this.remedy}`
  }
}

const remedies = new Map(
  [
    InvalidPublicKey,
    InvalidSignature,
    NameTaken,
    PublicKeyInUse,
    RegistrationKeyRefused,
    ServerRetired,
    TimestampOutOfRange,
    UnknownCredential,
    WrongCredentialKind
  ].flatMap((problem) => {
    const declaration = declarationOf(problem)
    return declaration === undefined ? [] : [[declaration.code as string, declaration.remedy]]
  })
)

/** Beyond it the broker's clock is used to sign by, and the operator is told. */
const toleratedSkew = Duration.minutes(2)

/** Not to be driven in circles by a broker that asks for it. */
const shortestInterval = Duration.millis(100)

/** A live set of more is left out of heartbeats, which would be too large. */
const largestLiveSet = 1_500

/** How long after a heartbeat that was sent early the next one may be. */
const haste = 1_000

/** What `/.well-known/broker` says, as far as an agent needs it. */
const BrokerStatement = Schema.Struct({ audience: Schema.String, time: Schema.DateTimeUtcFromString })

/** The expiry is kept as it was received, because the signature covers its text. */
const Challenge = Schema.Struct({ ...PendingChallenge.fields, expiresAt: Timestamp })
type Challenge = typeof Challenge.Type

const challenge = Schema.NullOr(Challenge)
const Joined = Schema.Struct({ ...Registered.fields, challenge })
const Answered = Schema.Struct({ ...HeartbeatReply.fields, challenge })

const decodeDescription = Schema.decodeUnknownEffect(Schema.Struct({ ...Description.fields, name: ServerName }))

/** Refuses what would only be refused by the broker, or fail on the way there. */
const check = Effect.fnUntraced(function* (options: Options) {
  const url = yield* brokerUrl(options.url)
  const { name, ...description } = yield* Effect.mapError(decodeDescription(options), invalid)
  return { url, name, description }
})

/** The fields that are new or differ, to be told to the broker. */
const changes = (told: Description, now: Description): Description =>
  Object.fromEntries(
    Object.entries(now).filter(
      ([field, value]) => JSON.stringify(value) !== JSON.stringify(told[field as keyof Description])
    )
  )

const log = (event: AgentEvent.AgentEvent) =>
  AgentEvent.isWarning(event)
    ? Effect.logWarning(AgentEvent.describe(event))
    : Effect.logInfo(AgentEvent.describe(event))

/** The server that the agent is, and the client that speaks as it. */
interface Member {
  readonly server: Membership
  readonly broker: BrokerClient["Service"]
}

/** Never ends by itself; fails once there is no more sense in going on. Interrupt it to stop. */
export const run = Effect.fn("Agent.run")(function* (options: Options) {
  const { description, name, url } = yield* check(options)
  const key = options.key === undefined ? undefined : yield* credential("registrationKey", options.key)
  const pause = Duration.fromInputUnsafe(options.pause ?? "5 minutes")
  const { connections } = options
  const emit = options.onEvent ?? log

  const store = yield* AgentStore
  const host = yield* HostMetrics
  const http = yield* HttpClient.HttpClient
  const random = yield* SecureRandom.SecureRandom
  const wellKnown = within(options.timeout ?? "10 seconds")(http)

  const connect = (credentials: { readonly registrationKey: Secret } | { readonly serverToken: Secret }) =>
    BrokerClient.make({ url, timeout: options.timeout, ...credentials }).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )

  const kept = Option.getOrUndefined(yield* store.membership)
  if (kept !== undefined && kept.url !== url) {
    return yield* new UnusableState({
      reason: `The state directory belongs to a server of ${kept.url}, not of ${url}. Use another one, or, if the broker moved, put its new address into server.json.`
    })
  }
  if (kept === undefined && key === undefined) {
    return yield* new InvalidOptions({ reason: "This server is not registered yet: a registration key is needed" })
  }
  let keyPair = yield* store.keyPair
  // A change of the key that was cut short: by now the broker may know the new one, and goes on to take the old one.
  const successor = Option.getOrUndefined(yield* store.pendingKeyPair)
  let isToRotate = successor !== undefined && kept !== undefined
  if (successor !== undefined && kept?.publicKey === successor.publicKey && keyPair.publicKey !== successor.publicKey) {
    yield* store.adoptNext
    keyPair = successor
    isToRotate = false
  }
  if (kept !== undefined && kept.publicKey !== keyPair.publicKey) {
    return yield* new UnusableState({
      reason: `The key pair in key.pem is not the one that server ${kept.name} registered with. Put that one back, or remove server.json to register again.`
    })
  }
  const bootId = yield* random.uuidV7()

  const served = yield* FiberHandle.make()

  /** Grants are judged by the broker's time, which every heartbeat tells. */
  let ahead = 0
  const brokerTime = Effect.map(Clock.currentTimeMillis, (now) => now + ahead)

  const enter = Effect.fnUntraced(function* (server: Membership) {
    const broker = yield* connect({ serverToken: server.token })
    if (connections !== undefined) {
      const check = yield* GrantCheck.make({ url, serverId: server.serverId, now: brokerTime }).pipe(
        Effect.provideService(HttpClient.HttpClient, http)
      )
      // One after the other: both would tell the same.
      yield* FiberHandle.clear(served)
      yield* FiberHandle.run(served, connections.serve(broker, check))
    }
    return { server, broker } satisfies Member
  })

  let member: Member | undefined = kept === undefined ? undefined : yield* enter(kept)
  let pending: Challenge | null = null
  let seq = 0
  let failures = 0
  let isSkewTold = false
  let cutCursor: string | undefined
  let hastenedAt = Number.NEGATIVE_INFINITY

  const noteClock = Effect.fnUntraced(function* (brokerTime: DateTime.Utc) {
    const skew = DateTime.distance(yield* DateTime.now, brokerTime)
    ahead = Duration.toMillis(skew)
    const isOff = Duration.isGreaterThan(Duration.abs(skew), toleratedSkew)
    if (isOff && !isSkewTold) yield* emit({ _tag: "ClockSkew", seconds: Duration.toSeconds(skew) })
    isSkewTold = isOff
    return isOff
  })

  /** Asked each time, as a stale audience makes a wrong signature, and that suspends the server (V2). */
  const discover = Effect.map(
    exchange(wellKnown.get(`${url}/.well-known/broker`), BrokerStatement),
    ({ answer }) => answer
  )

  /** The same key pair each time, so that a registration whose answer was lost is found again (B2). */
  const join = Effect.fn("Agent.join")(function* ({ id, key }: { readonly id: string; readonly key: Secret }) {
    const { audience, time } = yield* discover
    const timestamp = DateTime.formatIso((yield* noteClock(time)) ? time : yield* DateTime.now)
    const { publicKey } = keyPair
    const signature = keyPair.sign(
      SignedString.registration({ audience, registrationKeyId: id, name, publicKey, timestamp })
    )
    const broker = yield* connect({ registrationKey: key })
    const register = broker.servers.register({
      headers: {},
      payload: { name, publicKey, timestamp, signature, ...description },
      responseMode: "response-only"
    })

    // Once the broker has answered, the token is kept, whoever wants the agent to stop.
    const { admission, again, joined } = yield* Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        const { answer, status } = yield* restore(exchange(register, Joined))
        const { admission, id: serverId, name } = answer.server
        const joined: Membership = { url, serverId, name, publicKey, token: answer.token, description }
        yield* store.save(joined)
        pending = answer.challenge
        return { admission, again: status === 200, joined }
      })
    )
    yield* emit({ _tag: "Registered", serverId: joined.serverId, name: joined.name, admission, again })
    return joined
  })

  const prove = Effect.fn("Agent.prove")(function* ({ broker, server }: Member, challenge: Challenge) {
    const { audience } = yield* discover
    const { serverId } = server
    const { expiresAt, id, nonce } = challenge
    const signature = keyPair.sign(SignedString.challenge({ audience, serverId, challengeId: id, nonce, expiresAt }))
    const call = broker.servers.answerChallenge({
      params: { id },
      payload: ChallengeAnswer.make({ signature }),
      responseMode: "response-only"
    })
    const { answer } = yield* exchange(call, Verification)
    yield* emit({ _tag: "Verified", verifiedAt: answer.verifiedAt })
  })

  const announce = ({ detail, reason }: Refusal, retryIn: Duration.Duration) =>
    emit({ _tag: "Waiting", reason, detail, retryInSeconds: Duration.toSeconds(retryIn) })

  /** What fails beside a heartbeat is tried again after the next one, unless it means more than that. */
  const tolerate = (work: Effect.Effect<void, Refusal | FileError>, next: Duration.Duration) =>
    Effect.catchTag(work, "Refusal", (refusal) =>
      judge(refusal, "member") === "retry" ? announce(refusal, next) : Effect.fail(refusal)
    )

  const provePending = Effect.fnUntraced(function* (member: Member) {
    if (pending === null) return
    yield* prove(member, pending).pipe(
      Effect.catchIf(
        ({ reason }) => reason === "challenge_gone",
        () => Effect.void
      )
    )
    pending = null
  })

  /** Ends what the broker orders to end. The sooner the next heartbeat, the sooner it knows that they have (C6). */
  const obey = Effect.fnUntraced(function* (cuts: HeartbeatReply["cuts"], next: Duration.Duration) {
    if (connections === undefined) return next
    const isNew = cuts.connections.length > 0 && cuts.cursor !== cutCursor
    yield* connections.cut(cuts.connections)
    cutCursor = cuts.cursor
    if (!isNew) return next
    yield* emit({ _tag: "Cut", cursor: cuts.cursor, connections: cuts.connections.length })
    const now = yield* Clock.currentTimeMillis
    const soon = Math.max(0, hastenedAt + haste - now)
    hastenedAt = now + soon
    return Duration.min(next, Duration.millis(soon))
  })

  const beat = Effect.fn("Agent.beat")(function* ({ broker }: Member) {
    const { activeConnections, metrics } = yield* options.report ?? Effect.succeed<Report>({ activeConnections: 0 })
    const live = connections?.ids()
    const call = broker.servers.heartbeat({
      payload: {
        bootId,
        seq: ++seq,
        sentAt: DateTime.formatIso(yield* DateTime.now),
        activeConnections: live?.length ?? activeConnections,
        ...(live !== undefined && live.length <= largestLiveSet ? { connections: live } : {}),
        ...(cutCursor === undefined ? {} : { cutCursor }),
        metrics: Record.filter({ ...(yield* host.read), ...metrics }, Number.isFinite)
      },
      responseMode: "response-only"
    })
    const { answer } = yield* exchange(call, Answered)
    failures = 0
    pending = answer.challenge ?? pending
    yield* emit({
      _tag: "Heartbeat",
      seq,
      liveness: answer.liveness,
      admission: answer.admission,
      nextInSeconds: answer.nextHeartbeatSeconds
    })
    for (const text of answer.notices) {
      if (text === rotateKeyNotice) isToRotate = true
      else yield* emit({ _tag: "Notice", text })
    }
    yield* noteClock(answer.time)
    const next = Duration.max(Duration.seconds(answer.nextHeartbeatSeconds), shortestInterval)
    return yield* obey(answer.cuts, next)
  })

  /** Tells the broker what changed since it was last told, such as the version after an update. */
  const tell = Effect.fn("Agent.tell")(function* ({ broker, server }: Member) {
    const payload = changes(server.description, description)
    if (Object.keys(payload).length === 0) return
    yield* exchange(broker.servers.update({ payload, responseMode: "response-only" }), Server.json)
    const told: Membership = { ...server, description: { ...server.description, ...description } }
    member = { broker, server: told }
    yield* store.save(told)
  })

  /**
   * V4: offers a new key pair, signed by both. From the answer on the new one signs: the broker takes either until the
   * new one was used. It is kept before it is offered, and whatever is cut short is gone through again.
   */
  const rotate = Effect.fn("Agent.rotate")(function* ({ broker, server }: Member) {
    const next = yield* store.nextKeyPair
    const { publicKey } = next
    const { audience, time } = yield* discover
    const timestamp = DateTime.formatIso((yield* noteClock(time)) ? time : yield* DateTime.now)
    const text = SignedString.rotation({ audience, serverId: server.serverId, publicKey, timestamp })
    const call = broker.servers.rotateKey({
      payload: { publicKey, timestamp, signature: keyPair.sign(text), proof: next.sign(text) },
      responseMode: "response-only"
    })
    yield* Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        yield* restore(exchange(call, Server.json))
        const changed: Membership = { ...server, publicKey }
        yield* store.save(changed)
        yield* store.adoptNext
        keyPair = next
        member = { broker, server: changed }
        isToRotate = false
      })
    )
    yield* emit({ _tag: "KeyChanged", publicKey })
  })

  /** A server lives on with the key it has: whatever is wrong with the new one, another try is made when told again. */
  const rotateIfTold = Effect.fnUntraced(function* (next: Duration.Duration) {
    if (!isToRotate || member === undefined) return
    yield* Effect.catchTag(
      rotate(member),
      "Refusal",
      Effect.fnUntraced(function* (refusal) {
        if (refusal.reason === "public_key_in_use") yield* store.dropNext
        if (refusal.problemStatus !== undefined && refusal.problemStatus < 500) isToRotate = false
        yield* announce(refusal, next)
      })
    )
  })

  const stop = Effect.fnUntraced(function* ({ detail, reason }: Refusal) {
    yield* connections?.shut(reason) ?? Effect.void
    yield* emit({ _tag: "Stopped", reason, detail })
    return yield* new Refused({ code: reason, detail })
  })

  /** Gives back how long to wait for the next turn. */
  const recover = Effect.fnUntraced(function* (refusal: Refusal) {
    const verdict = judge(refusal, member === undefined ? "joining" : "member")
    if (verdict === "stop" || (verdict === "rejoin" && key === undefined)) return yield* stop(refusal)
    if (verdict === "rejoin") member = undefined
    if (verdict === "pause") pending = null
    else failures += 1
    if (refusal.reason === "server_suspended") yield* connections?.shut(refusal.reason) ?? Effect.void

    const jitter = yield* Random.next
    const own = verdict === "pause" ? Backoff.around(pause, jitter) : Backoff.afterFailures(failures, jitter)
    // Bounded, so that one wrong header on the way does not silence the server for a day.
    const asked = Duration.min(refusal.retryAfter, pause)
    const retryIn = Duration.max(own, asked)
    yield* announce(refusal, retryIn)
    return retryIn
  })

  const turn = Effect.gen(function* () {
    if (member === undefined) {
      // Without a key there is a membership, or the agent has stopped.
      if (key === undefined) return yield* Effect.die("no membership and no registration key")
      member = yield* enter(yield* join(key))
      yield* tolerate(provePending(member), Duration.zero)
    }
    const next = yield* beat(member)
    yield* tolerate(provePending(member), next)
    yield* tolerate(tell(member), next)
    yield* rotateIfTold(next)
    return next
  })

  if (kept !== undefined) yield* emit({ _tag: "Resumed", serverId: kept.serverId, name: kept.name })

  return yield* turn.pipe(Effect.catchTag("Refusal", recover), Effect.flatMap(Effect.sleep), Effect.forever)
}, Effect.scoped)
