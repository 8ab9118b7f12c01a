/**
 * The connections that a gateway serves: opened by grants, told to the broker, closed when either side or the broker
 * says so (C4, C6).
 *
 * They outlive the broker's absence, and the agent's: what there is to tell is kept until the broker has heard it.
 */
import { Connection, type ConnectionId, type ConnectionMetrics, type Grant } from "@broker/domain/Connection"
import type { DeviceId } from "@broker/domain/Device"
import type { GrantClaims } from "@broker/domain/Grant"
import type { UserId } from "@broker/domain/User"
import { DateTime, Duration, Effect, FiberSet, Random, Semaphore } from "effect"
import * as AgentEvent from "./AgentEvent.ts"
import * as Backoff from "./Backoff.ts"
import type { BrokerClient } from "./BrokerClient.ts"
import { type GrantCheck, GrantRefused } from "./GrantCheck.ts"
import { exchange, isPassing, type Refusal } from "./Refusal.ts"

/** A connection that is open on this gateway. */
export interface OpenConnection {
  readonly id: ConnectionId
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly openedAt: DateTime.Utc
}

/** What decides on a good grant: a reason not to serve it, or undefined. */
export type Admit = (claims: GrantClaims) => Effect.Effect<string | undefined>

export interface Options {
  /** Told when a connection is closed by anyone else than the gateway: the tunnel has to go. 5 s are its to take. */
  readonly onClosed?: ((connection: OpenConnection, reason: string) => Effect.Effect<void>) | undefined
  /** Told of connections that open and close; logs them unless given. */
  readonly onEvent?: ((event: AgentEvent.AgentEvent) => Effect.Effect<void>) | undefined
}

export interface AgentConnections {
  /** Checks a grant, which is good once, and opens its connection. The broker is told meanwhile. */
  readonly accept: (grant: string | Grant, admit?: Admit) => Effect.Effect<OpenConnection, GrantRefused>
  /** Tells that this gateway will not serve the connection of a grant. */
  readonly refuse: (grant: string | Grant, reason: string) => Effect.Effect<void, GrantRefused>
  /** Totals since the connection opened, as this gateway counts them. What is left out stays. */
  readonly progress: (id: ConnectionId, metrics: ConnectionMetrics) => Effect.Effect<void>
  /** The gateway closed a connection. */
  readonly close: (id: ConnectionId, reason: string, metrics?: ConnectionMetrics) => Effect.Effect<void>
  readonly list: Effect.Effect<ReadonlyArray<OpenConnection>>
  /** The gateway stops: closes all, and gives the agent a moment to tell the broker. */
  readonly leave: (patience: Duration.Input) => Effect.Effect<void>

  /** For the agent: its live set. */
  readonly ids: () => ReadonlyArray<ConnectionId>
  /** For the agent: tells the broker what there is to tell, until it is interrupted. */
  readonly serve: (broker: BrokerClient["Service"], check: GrantCheck) => Effect.Effect<never>
  /** For the agent: the broker wants these closed. Done once they are. */
  readonly cut: (orders: ReadonlyArray<{ readonly id: string; readonly reason: string }>) => Effect.Effect<void>
  /** For the agent: the server is out of the fleet, and so are its connections. */
  readonly shut: (reason: string) => Effect.Effect<void>
}

/** What the broker has yet to hear of one connection. */
interface Account {
  readonly connection: OpenConnection
  standing: "open" | "closed" | "refused"
  reason: string
  metrics: ConnectionMetrics
  /** The broker knows that it opened. */
  isKnown: boolean
  isDirty: boolean
  isBeingTold: boolean
}

/** So many reports are on their way at once, however many there are after a while without the broker. */
const reportsAtOnce = 8
/** So long the gateway may take to close one. */
const patience = Duration.seconds(5)

const log = (event: AgentEvent.AgentEvent) =>
  AgentEvent.isWarning(event)
    ? Effect.logWarning(AgentEvent.describe(event))
    : Effect.logInfo(AgentEvent.describe(event))

const declined = (reason: string) => new GrantRefused({ reason: "declined", detail: reason })

const notAServer = new GrantRefused({ reason: "not_a_server", detail: "This gateway has not joined a fleet." })

export const make = Effect.fnUntraced(function* (options: Options = {}) {
  const emit = options.onEvent ?? log
  const lines = yield* Semaphore.make(reportsAtOnce)
  /** Open ones, and those whose end the broker has yet to hear. */
  const accounts = new Map<ConnectionId, Account>()
  const live = new Map<ConnectionId, Account>()
  let at: { readonly check: GrantCheck; readonly tell: (account: Account) => void } | undefined
  let settled: Effect.Effect<void> = Effect.void

  const mark = (account: Account) => {
    account.isDirty = true
    at?.tell(account)
  }

  const end = Effect.fnUntraced(function* (account: Account, reason: string, by: "server" | "broker") {
    if (account.standing !== "open") return
    const { connection } = account
    account.standing = "closed"
    account.reason = reason
    live.delete(connection.id)
    if (by === "broker" && options.onClosed !== undefined) {
      yield* options.onClosed(connection, reason).pipe(
        Effect.timeoutOption(patience),
        Effect.catchCause((cause) => Effect.logError(`Connection ${connection.id} was not closed properly`, cause))
      )
    }
    mark(account)
    yield* emit({ _tag: "ConnectionClosed", connectionId: connection.id, by, reason })
  })

  const forget = (account: Account) => {
    accounts.delete(account.connection.id)
    account.isDirty = false
  }

  /** What the broker's refusal of a report means for the connection. */
  const heed = Effect.fnUntraced(function* (account: Account, { detail, reason }: Refusal) {
    const wasOpen = account.standing === "open"
    switch (reason) {
      case "connection_over": {
        const isHeard = account.isKnown && !wasOpen
        // Another side ended it first; what this side counted is still wanted, once.
        account.isKnown = true
        yield* end(account, reason, "broker")
        return isHeard || account.standing === "refused" ? forget(account) : mark(account)
      }
      case "connection_conflict":
        account.isKnown = true
        account.standing = "closed"
        return mark(account)
      case "connection_not_found":
      case "server_suspended":
      case "server_retired":
        yield* end(account, reason, "broker")
        return forget(account)
      default:
        yield* Effect.logWarning(`The broker does not take a report on ${account.connection.id}: ${detail} (${reason})`)
        if (!wasOpen) forget(account)
    }
  })

  const tell = Effect.fnUntraced(
    function* (broker: BrokerClient["Service"], account: Account) {
      const { id } = account.connection
      let failures = 0
      while (account.isDirty) {
        account.isDirty = false
        // One that closed before the broker knew of it opened nevertheless.
        const opens = account.standing === "open" || (account.standing === "closed" && !account.isKnown)
        const status = opens ? "active" : account.standing === "refused" ? "refused" : "ended"
        const report = broker.servers.reportConnection({
          params: { id },
          payload: { status, metrics: account.metrics, ...(opens ? {} : { reason: account.reason }) },
          responseMode: "response-only"
        })
        const refusal = yield* lines.withPermit(exchange(report, Connection.json)).pipe(
          Effect.as(undefined),
          Effect.catchTag("Refusal", (refusal) => Effect.succeed(refusal)),
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              account.isDirty = true
            })
          )
        )
        if (refusal === undefined) {
          failures = 0
          account.isKnown = true
          if (!opens) forget(account)
          else if (account.standing === "closed") account.isDirty = true
        } else if (isPassing(refusal) || refusal.problemStatus === 401) {
          // A token that is not known any more is the agent's to mend.
          account.isDirty = true
          failures += 1
          const own = Backoff.afterFailures(failures, yield* Random.next)
          yield* Effect.sleep(Duration.max(own, Duration.min(refusal.retryAfter, Duration.minutes(1))))
        } else yield* heed(account, refusal)
      }
    },
    (effect, _, account) =>
      Effect.ensuring(
        effect,
        Effect.sync(() => {
          account.isBeingTold = false
        })
      )
  )

  const serve = Effect.fnUntraced(function* (broker: BrokerClient["Service"], check: GrantCheck) {
    const fibers = yield* FiberSet.make<void>()
    const run = yield* FiberSet.runtime(fibers)()
    const start = (account: Account) => {
      if (account.isBeingTold) return
      account.isBeingTold = true
      run(
        Effect.andThen(
          tell(broker, account),
          // What was marked in the moment of its end.
          Effect.sync(() => {
            if (account.isDirty) start(account)
          })
        )
      )
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        at = { check, tell: start }
        settled = FiberSet.awaitEmpty(fibers)
        for (const account of accounts.values()) if (account.isDirty) start(account)
      }),
      () =>
        Effect.sync(() => {
          at = undefined
          settled = Effect.void
        })
    )
    return yield* Effect.never
  }, Effect.scoped)

  const accept = Effect.fn("AgentConnections.accept")(
    function* (grant: string | Grant, admit?: Admit) {
      if (at === undefined) return yield* notAServer
      const claims = yield* at.check.check(grant)
      if (accounts.has(claims.connection)) {
        return yield* new GrantRefused({ reason: "used", detail: "The grant has opened its connection already." })
      }
      const { connection: id, device: deviceId, sub: userId } = claims
      const connection: OpenConnection = { id, userId, deviceId, openedAt: yield* DateTime.now }
      const reason = admit === undefined ? undefined : yield* admit(claims)
      const account: Account = {
        connection,
        standing: reason === undefined ? "open" : "refused",
        reason: reason ?? "",
        metrics: {},
        isKnown: false,
        isDirty: true,
        isBeingTold: false
      }
      accounts.set(id, account)
      if (reason === undefined) live.set(id, account)
      mark(account)
      if (reason !== undefined) return yield* declined(reason)
      yield* emit({ _tag: "ConnectionOpened", connectionId: id, userId, deviceId })
      return connection
    },
    Effect.tapError(({ detail, reason }) => emit({ _tag: "ConnectionRefused", reason, detail }))
  )

  const refuse = (grant: string | Grant, reason: string) =>
    accept(grant, () => Effect.succeed(reason)).pipe(
      Effect.asVoid,
      Effect.catchIf(
        ({ reason }) => reason === "declined",
        () => Effect.void
      )
    )

  const count = (account: Account, metrics: ConnectionMetrics | undefined) => {
    account.metrics = { ...account.metrics, ...metrics }
  }

  const progress = (id: ConnectionId, metrics: ConnectionMetrics) =>
    Effect.sync(() => {
      const account = live.get(id)
      if (account === undefined) return
      count(account, metrics)
      mark(account)
    })

  const close = (id: ConnectionId, reason: string, metrics?: ConnectionMetrics) =>
    Effect.suspend(() => {
      const account = live.get(id)
      if (account === undefined) return Effect.void
      count(account, metrics)
      return end(account, reason, "server")
    })

  const endAll = (reason: string, by: "server" | "broker") =>
    Effect.suspend(() => Effect.forEach([...live.values()], (account) => end(account, reason, by), { discard: true }))

  const cut = (orders: ReadonlyArray<{ readonly id: string; readonly reason: string }>) =>
    Effect.forEach(
      orders,
      ({ id, reason }) => {
        const account = live.get(id as ConnectionId)
        return account === undefined ? Effect.void : end(account, reason, "broker")
      },
      { concurrency: "unbounded", discard: true }
    )

  return {
    accept,
    refuse,
    progress,
    close,
    list: Effect.sync(() => [...live.values()].map(({ connection }) => connection)),
    leave: (patience) =>
      Effect.andThen(
        endAll("server_stopped", "server"),
        Effect.timeoutOption(
          Effect.suspend(() => settled),
          patience
        )
      ),
    ids: () => [...live.keys()],
    serve,
    cut,
    shut: (reason) => endAll(reason, "broker")
  } satisfies AgentConnections
})
