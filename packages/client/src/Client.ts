/**
 * The client side: signs in when it has to, finds servers, connects, and knows when a connection is over and why.
 *
 * What time cures is tried again for a while; every call can be repeated without harm. What a person has to mend comes
 * back at once, with the broker's code.
 */
import { ClientSignedIn, Me } from "@broker/domain/ClientSession"
import {
  type ClientReport,
  Connection,
  ConnectionGranted,
  type ConnectionId,
  ConnectionLimitReached,
  type ConnectionMetrics,
  ConnectionNotFound,
  ConnectionOver,
  type ConnectionParty,
  type ConnectionRequest,
  type Grant,
  NoServerMatches,
  ServerUnavailable
} from "@broker/domain/Connection"
import { type Secret, UnknownCredential, WrongCredentialKind } from "@broker/domain/Credential"
import { DeviceBlocked, DeviceKeyMismatch, DeviceLimit, DeviceName, Platform } from "@broker/domain/Device"
import {
  type Criteria,
  type DiscoveredServer,
  DiscoveryPage,
  type DiscoveryQuery,
  type Explanation
} from "@broker/domain/Discovery"
import { PersonalKeyRefused } from "@broker/domain/PersonalKey"
import { declarationOf } from "@broker/domain/Problem"
import {
  Clock,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Option,
  Random,
  Schema,
  type Scope,
  Semaphore,
  Stream
} from "effect"
import { SecureRandom } from "effect/crypto"
import { type Headers, HttpClient } from "effect/http"
import * as Backoff from "./Backoff.ts"
import { BrokerClient } from "./BrokerClient.ts"
import * as ClientEvent from "./ClientEvent.ts"
import { ClientStore } from "./ClientStore.ts"
import { brokerUrl, credential, invalid } from "./Options.ts"
import { exchange, exchangeEmpty, exchangeIfChanged, isPassing, type Refusal } from "./Refusal.ts"

export interface Options {
  /** The broker's address, such as `https://broker.example`. */
  readonly url: string
  readonly personalKey: Secret
  /** What people call the device, and what it runs on, such as `linux` or `ios`. */
  readonly device: { readonly name: string; readonly platform: string }
  /** Told each event; logs it unless given. */
  readonly onEvent?: ((event: ClientEvent.ClientEvent) => Effect.Effect<void>) | undefined
  /** How long a call goes on trying while the broker is away or busy: 30 s unless told otherwise. */
  readonly patience?: Duration.Input | undefined
  /** How long one request may take: 10 s unless told otherwise. */
  readonly timeout?: Duration.Input | undefined
}

/** The broker does not want what it was asked: it makes no sense to ask again with nothing changed. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  /** The broker's code, such as `personal_key_refused` or `connection_limit`. */
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

/** The broker could not be asked, or did not want to be asked yet, and patience is over. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  /** A code of the broker's, or of the way there, such as `unreachable`. */
  reason: Schema.String,
  detail: Schema.String,
  /** How long to wait before trying again. */
  retryInSeconds: Schema.Finite
}) {
  override get message() {
    return `${this.detail} (${this.reason})`
  }
}

export type ClientError = Refused | Unavailable

/** As the broker shows them to a client. */
export type ClientServer = typeof DiscoveredServer.json.Type
export type ClientServers = typeof DiscoveryPage.Type
export type ClientConnectionState = typeof Connection.json.Type

const remedies = new Map(
  [
    ConnectionLimitReached,
    ConnectionNotFound,
    ConnectionOver,
    DeviceBlocked,
    DeviceKeyMismatch,
    DeviceLimit,
    NoServerMatches,
    PersonalKeyRefused,
    ServerUnavailable,
    UnknownCredential,
    WrongCredentialKind
  ].flatMap((problem) => {
    const declaration = declarationOf(problem)
    return declaration === undefined ? [] : [[declaration.code as string, declaration.remedy]]
  })
)

/** How a connection ended. */
export interface Over {
  /** Null where the broker could not be asked any more. */
  readonly by: ConnectionParty | null
  /** A stable word of the broker's, such as `key_revoked`, or what a side gave as its reason. */
  readonly reason: string
}

export interface ConnectOptions {
  /** Names this attempt: the same name gives the same connection, also after a restart. Made up unless given. */
  readonly idempotencyKey?: string | undefined
  /** Totals as this side counts them, asked for each report. Nothing is reported without it. */
  readonly metrics?: Effect.Effect<ConnectionMetrics> | undefined
  /** How often to report, and to look whether it is over: every 15 s unless told otherwise. */
  readonly every?: Duration.Input | undefined
  /** Leaves it open when the scope closes, for whoever goes on with it. Otherwise that ends it. */
  readonly keep?: boolean | undefined
}

/** A connection that was granted: hand the grant to the server. */
export interface ClientConnection {
  readonly id: ConnectionId
  readonly grant: Grant
  readonly server: ClientServer
  /** Why this server, where the broker chose. */
  readonly explanation: Explanation | undefined
  readonly read: Effect.Effect<ClientConnectionState, ClientError>
  /** Tells totals at once, beside the periodical reports. */
  readonly report: (metrics: ConnectionMetrics) => Effect.Effect<ClientConnectionState, ClientError>
  /** Ends it, with the latest totals. One that is over already stays as it ended, which is what comes back. */
  readonly end: (reason?: string, metrics?: ConnectionMetrics) => Effect.Effect<Over, ClientError>
  /** Waits until it is over, whoever ends it. */
  readonly over: Effect.Effect<Over>
}

export interface Client {
  /** The user, the device, the limits and the live connections of the device. */
  readonly me: Effect.Effect<Me, ClientError>
  /** A page of servers. What has not changed since it was last asked is not sent again. */
  readonly discover: (query?: DiscoveryQuery) => Effect.Effect<ClientServers, ClientError>
  /** All servers that fit, page by page. */
  readonly servers: (criteria?: Criteria) => Stream.Stream<ClientServer, ClientError>
  /** Gets a grant, and follows the connection until the scope closes, which ends it. */
  readonly connect: (
    request: ConnectionRequest,
    options?: ConnectOptions
  ) => Effect.Effect<ClientConnection, ClientError, Scope.Scope>
  /** Ends the session. The next call signs in again. */
  readonly signOut: Effect.Effect<void, ClientError>
}

interface Session {
  readonly broker: BrokerClient["Service"]
  /** Milliseconds: the next call after it signs in again. */
  readonly goodUntil: number
}

/** After a refusal nobody asks again for so long: each failed sign-in slows down the next. */
const sulk = Duration.minutes(1)
/** A session is renewed so long before it is over, or a tenth of its life where that is less. */
const margin = Duration.seconds(30)
/** So many pages are kept to be asked about again. */
const keptPages = 32
/** How long whoever is leaving waits for the broker to hear of the end of a connection. */
const farewell = Duration.seconds(2)

const decodeDevice = Schema.decodeUnknownEffect(Schema.Struct({ name: DeviceName, platform: Platform }))

const log = (event: ClientEvent.ClientEvent) =>
  ClientEvent.isWarning(event)
    ? Effect.logWarning(ClientEvent.describe(event))
    : Effect.logInfo(ClientEvent.describe(event))

/** By the broker's clock, where it says what time it is there: this machine's may be wrong. */
const lifeOf = (expiresAt: DateTime.Utc, headers: Headers.Headers, now: number) => {
  const there = Date.parse(headers["date"] ?? "")
  return Math.max(0, DateTime.toEpochMillis(expiresAt) - (Number.isNaN(there) ? now : there))
}

const isOver = ({ status }: ClientConnectionState) => status !== "intent" && status !== "active"

export const make = Effect.fnUntraced(function* (options: Options) {
  const url = yield* brokerUrl(options.url)
  const { key: personalKey } = yield* credential("personalKey", options.personalKey)
  const statement = yield* Effect.mapError(decodeDevice(options.device), invalid)
  const { fingerprint, keyPair } = yield* (yield* ClientStore).identity
  const device = { ...statement, fingerprint, publicKey: keyPair.publicKey }
  const http = yield* HttpClient.HttpClient
  const random = yield* SecureRandom.SecureRandom
  const emit = options.onEvent ?? log
  const patience = Duration.toMillis(options.patience ?? "30 seconds")
  const oneAtATime = yield* Semaphore.make(1)

  const enter = (credentials: { readonly personalKey: Secret } | { readonly clientSession: Secret }) =>
    BrokerClient.make({ url, timeout: options.timeout, ...credentials }).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )
  const stranger = yield* enter({ personalKey })

  let session: Session | undefined
  let refused: { readonly error: Refused; readonly until: number } | undefined

  /** Repeats what time cures, until it is cured or patience is over. */
  const persist = <A, R>(work: Effect.Effect<A, Refusal, R>): Effect.Effect<A, ClientError, R> =>
    Effect.gen(function* () {
      const until = (yield* Clock.currentTimeMillis) + patience
      const attempt = (failures: number): Effect.Effect<A, ClientError, R> =>
        Effect.catchTag(
          work,
          "Refusal",
          Effect.fnUntraced(function* (refusal: Refusal) {
            const { detail, reason } = refusal
            if (!isPassing(refusal)) return yield* new Refused({ code: reason, detail })
            const own = Backoff.afterFailures(failures, yield* Random.next)
            const retryIn = Duration.max(own, refusal.retryAfter)
            const retryInSeconds = Duration.toSeconds(retryIn)
            if ((yield* Clock.currentTimeMillis) + Duration.toMillis(retryIn) > until) {
              return yield* new Unavailable({ reason, detail, retryInSeconds })
            }
            yield* emit({ _tag: "Waiting", reason, detail, retryInSeconds })
            yield* Effect.sleep(retryIn)
            return yield* attempt(failures + 1)
          })
        )
      return yield* attempt(1)
    })

  const signIn = Effect.fn("Client.signIn")(function* () {
    const call = stranger.clients.signIn({ payload: { device }, responseMode: "response-only" })
    const { answer, headers } = yield* persist(exchange(call, ClientSignedIn)).pipe(
      Effect.tapErrorTag(
        "Refused",
        Effect.fnUntraced(function* (error: Refused) {
          refused = { error, until: (yield* Clock.currentTimeMillis) + Duration.toMillis(sulk) }
          yield* emit({ _tag: "SignInRefused", reason: error.code, detail: error.detail })
        })
      )
    )
    const now = yield* Clock.currentTimeMillis
    const life = lifeOf(answer.expiresAt, headers, now)
    session = {
      broker: yield* enter({ clientSession: answer.token }),
      goodUntil: now + life - Math.min(Duration.toMillis(margin), life / 10)
    }
    yield* emit({
      _tag: "SignedIn",
      userId: answer.user.id,
      userName: answer.user.name,
      deviceId: answer.device.id,
      expiresAt: answer.expiresAt
    })
    return session
  })

  /** Whoever comes while a sign-in is under way waits for that one. */
  const current = oneAtATime.withPermit(
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (session !== undefined && now < session.goodUntil) return session
      if (refused !== undefined && now < refused.until) return yield* refused.error
      refused = undefined
      return yield* signIn()
    })
  )

  const forget = (lost: Session) =>
    Effect.sync(() => {
      if (session === lost) session = undefined
    })

  /** A session may have ended early: then a new one is tried, once. */
  const asClient = <A>(
    work: (broker: BrokerClient["Service"]) => Effect.Effect<A, Refusal>
  ): Effect.Effect<A, ClientError> =>
    Effect.gen(function* () {
      const first = yield* current
      return yield* persist(work(first.broker)).pipe(
        Effect.catchIf(
          (error) => error._tag === "Refused" && error.code === "unknown_credential",
          () =>
            Effect.andThen(
              forget(first),
              Effect.flatMap(current, ({ broker }) => persist(work(broker)))
            )
        )
      )
    })

  const me = Effect.map(
    asClient((broker) => exchange(broker.clients.me({ responseMode: "response-only" }), Me)),
    ({ answer }) => answer
  )

  const signOut = Effect.gen(function* () {
    const last = session
    if (last === undefined) return
    session = undefined
    yield* persist(exchangeEmpty(last.broker.clients.signOut({ responseMode: "response-only" }))).pipe(
      Effect.catchIf(
        (error) => error._tag === "Refused" && error.code === "unknown_credential",
        () => Effect.void
      )
    )
    yield* emit({ _tag: "SignedOut" })
  })

  /** The last answers by what was asked, the latest last. */
  const pages = new Map<string, { readonly etag: string; readonly page: ClientServers }>()

  const discover = Effect.fn("Client.discover")(function* (query: DiscoveryQuery = {}) {
    const asked = JSON.stringify(query)
    const kept = pages.get(asked)
    const answer = yield* asClient((broker) =>
      exchangeIfChanged(
        broker.discovery.list({
          query,
          headers: kept === undefined ? {} : { "if-none-match": kept.etag },
          responseMode: "response-only"
        }),
        DiscoveryPage
      )
    )
    pages.delete(asked)
    if (Option.isNone(answer)) {
      if (kept === undefined) return yield* Effect.die("nothing was kept that could be unchanged")
      pages.set(asked, kept)
      return kept.page
    }
    const { answer: page, headers } = answer.value
    const etag = headers["etag"]
    if (etag !== undefined) pages.set(asked, { etag, page })
    for (const oldest of pages.keys()) {
      if (pages.size <= keptPages) break
      pages.delete(oldest)
    }
    return page
  })

  const servers = (criteria: Criteria = {}) =>
    Stream.paginate(undefined as string | undefined, (cursor) =>
      Effect.map(
        discover({ ...criteria, ...(cursor === undefined ? {} : { cursor }) }),
        ({ items, nextCursor }) => [items, Option.fromNullOr(nextCursor)] as const
      )
    )

  /** The handle of a connection that was granted. */
  const follow = Effect.fnUntraced(function* (granted: ConnectionGranted, options: ConnectOptions) {
    const { id } = granted.connection
    const over = yield* Deferred.make<Over>()
    let metrics: ConnectionMetrics = {}
    /** This side's account of the end is with the broker, or never will be. */
    let isTold = false

    const finish = (how: Over) =>
      Effect.flatMap(Deferred.succeed(over, how), (isFirst) =>
        isFirst ? emit({ _tag: "ConnectionOver", connectionId: id, ...how }) : Effect.void
      )

    const patch = (payload: ClientReport) =>
      Effect.map(
        asClient((broker) =>
          exchange(
            broker.connections.report({ params: { id }, payload, responseMode: "response-only" }),
            Connection.json
          )
        ),
        ({ answer }) => answer
      )

    /** Takes note of where it stands; of an end that another side told first, this side's account is still wanted. */
    const note = Effect.fnUntraced(function* (connection: ClientConnectionState) {
      if (!isOver(connection)) return connection
      const reason = connection.endReason ?? connection.status
      // First, as whoever waits for the end may stop everything.
      if (!isTold && connection.status === "ended") {
        isTold = true
        yield* Effect.ignore(Effect.timeout(patch({ status: "ended", reason, metrics }), farewell))
      }
      yield* finish({ by: connection.endedBy, reason })
      return connection
    })

    const read = Effect.flatMap(
      asClient((broker) =>
        exchange(
          broker.connections.get({ params: { id }, query: {}, headers: {}, responseMode: "response-only" }),
          Connection.json
        )
      ),
      ({ answer }) => note(answer)
    )

    /** What a refusal says about the connection: without a way to the broker it is over for this client. */
    const heed = (error: ClientError) =>
      error._tag === "Unavailable"
        ? Effect.void
        : error.code === "connection_over"
          ? Effect.ignore(read)
          : finish({ by: null, reason: error.code })

    const report = Effect.fn("Client.report")(function* (totals: ConnectionMetrics) {
      metrics = { ...metrics, ...totals }
      const connection = yield* Effect.flatMap(patch({ metrics: totals }), note).pipe(Effect.tapError(heed))
      yield* emit({ _tag: "Reported", connectionId: id, status: connection.status })
      return connection
    })

    const end = Effect.fn("Client.end")(function* (reason = "closed", totals?: ConnectionMetrics) {
      const latest = totals ?? (options.metrics === undefined ? {} : yield* options.metrics)
      metrics = { ...metrics, ...latest }
      const ended = Effect.suspend(() => {
        isTold = true
        return patch({ status: "ended", reason, metrics })
      })
      yield* Effect.flatMap(isTold ? read : ended, note).pipe(
        Effect.tapError(heed),
        Effect.catchIf(
          (error) => error._tag === "Refused" && error.code === "connection_over",
          // How it ended has been asked already, unless that failed.
          () => finish({ by: null, reason: "connection_over" })
        )
      )
      return yield* Deferred.await(over)
    })

    const look = options.metrics === undefined ? read : Effect.flatMap(options.metrics, report)
    const every = Duration.fromInputUnsafe(options.every ?? "15 seconds")
    yield* Random.next.pipe(
      Effect.flatMap((jitter) => Effect.sleep(Backoff.around(every, jitter))),
      Effect.andThen(look),
      Effect.catch(heed),
      Effect.forever,
      Effect.raceFirst(Deferred.await(over)),
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() =>
      Deferred.isDone(over).pipe(
        Effect.flatMap((isDone) => (isDone || options.keep === true ? Effect.void : end("closed"))),
        Effect.timeoutOption(farewell),
        Effect.ignore
      )
    )
    const { explanation, grant, server } = granted
    return { id, grant, server, explanation, read, report, end, over: Deferred.await(over) } satisfies ClientConnection
  })

  const connect = Effect.fn("Client.connect")(function* (request: ConnectionRequest, options: ConnectOptions = {}) {
    const idempotencyKey = options.idempotencyKey ?? (yield* random.uuidV7())
    return yield* Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        const { answer } = yield* restore(
          asClient((broker) =>
            exchange(
              broker.connections.connect({
                headers: { "idempotency-key": idempotencyKey },
                payload: request,
                responseMode: "response-only"
              }),
              ConnectionGranted
            )
          )
        )
        const connection = yield* restore(follow(answer, options))
        yield* emit({
          _tag: "Granted",
          connectionId: connection.id,
          serverId: connection.server.id,
          serverName: connection.server.name
        })
        return connection
      })
    )
  })

  return { me, discover, servers, connect, signOut } satisfies Client
})
