/**
 * Budgets of requests, per credential and per address, shared by all nodes (H10).
 *
 * A node decides by what it has counted itself and what the others told it a moment ago, so that most requests cost no
 * look-up; who has taken much is told to the others twice a second. Where secrets could be guessed and where servers
 * join, the count is exact instead: one statement per request. Without the store each node goes on by itself.
 */
import { Budget } from "@broker/domain/RateLimit"
import { Clock, Context, Duration, Effect, Layer, Option, Schedule } from "effect"
import { Ledger, slack, type Tally } from "./Ledger.ts"
import { RateLimitsPolicy } from "./RateLimitsPolicy.ts"
import { SharedCounts, type SharedCountsAway, type Total } from "./SharedCounts.ts"

/** Where a caller stands within a budget, for the `RateLimit` headers. */
export interface Standing {
  readonly budget: Budget
  /** So many requests per so many seconds. */
  readonly quota: number
  readonly windowSeconds: number
  readonly remaining: number
  readonly resetSeconds: number
  /** False for a request that is one too many. */
  readonly admitted: boolean
}

/** Whoever asks, as far as that is known. */
export interface Caller {
  /** Only of a credential that was proven right, or told apart by all of its secret: nobody spends another's budget. */
  readonly credential: string | null
  readonly address: string | null
}

const exact: ReadonlySet<Budget> = new Set<Budget>(["sign-in", "registration"])

/** Callers that are told to the other nodes by one statement. */
const batch = 1_000

interface Counted {
  readonly ledger: Ledger
  readonly tally: Tally
}

export class RateLimits extends Context.Service<
  RateLimits,
  {
    /**
     * Takes one request from the budgets of the caller; tells the one that is nearest to its end, or null where there is
     * no limit.
     */
    take(budget: Budget, caller: Caller): Effect.Effect<Standing | null>
    /** Tells the other nodes now what would be told soon. */
    readonly exchange: Effect.Effect<void>
    /** Deletes what is over; tells how many. */
    readonly prune: Effect.Effect<number>
    /** Callers that are kept count of. */
    readonly size: Effect.Effect<number>
  }
>()("@broker/core/rate-limits/RateLimits") {
  static readonly layerNoDeps = Layer.effect(
    RateLimits,
    Effect.gen(function* () {
      const policy = yield* RateLimitsPolicy
      const shared = Option.getOrUndefined(yield* SharedCounts)
      const windowMillis = Duration.toMillis(policy.window)
      const windowSeconds = Math.round(windowMillis / 1000)

      const ledger = (budget: Budget, by: "credential" | "address", quota: number) =>
        new Ledger({
          quota,
          prefix: `${budget}:${by}:`,
          windowMillis,
          capacity: policy.capacity,
          isShared: shared !== undefined
        })

      const books = new Map(
        Budget.literals
          .filter((budget) => policy.quotas[budget] > 0)
          .map((budget) => [
            budget,
            {
              credentials: ledger(budget, "credential", policy.quotas[budget]),
              addresses: ledger(budget, "address", policy.quotas[budget] * policy.perAddress[budget])
            }
          ])
      )

      const standing = (budget: Budget, { ledger, tally }: Counted, now: number, admitted: boolean): Standing => ({
        budget,
        quota: ledger.quota,
        windowSeconds,
        remaining: admitted ? Math.max(0, ledger.quota - tally.used) : 0,
        resetSeconds: Math.max(1, Math.ceil((tally.resetsAt - now) / 1000)),
        admitted
      })

      const isSpent = ({ ledger, tally }: Counted) => tally.used >= ledger.quota

      /** The one that is nearest to its end; of two that are spent, the one that is so for longer. */
      const nearest = (one: Counted, other: Counted | undefined) => {
        if (other === undefined) return one
        const [left, leftOfOther] = [one.ledger.quota - one.tally.used, other.ledger.quota - other.tally.used]
        if (left <= 0 && leftOfOther <= 0) return one.tally.resetsAt >= other.tally.resetsAt ? one : other
        return left <= leftOfOther ? one : other
      }

      const takeHere = (budget: Budget, one: Counted, other: Counted | undefined, now: number) => {
        if (isSpent(one) || (other !== undefined && isSpent(other))) {
          return standing(budget, nearest(one, other), now, false)
        }
        one.ledger.take(one.tally)
        if (other !== undefined) other.ledger.take(other.tally)
        return standing(budget, nearest(one, other), now, true)
      }

      let isAway = false
      const away = (error: SharedCountsAway) =>
        Effect.suspend(() => {
          if (isAway) return Effect.logDebug("Rate limits are not shared", error.cause)
          isAway = true
          return Effect.logWarning("Rate limits go on for each node by itself: the nodes' common counts are away")
        })
      const back = Effect.suspend(() => {
        if (!isAway) return Effect.void
        isAway = false
        return Effect.logInfo("Rate limits are shared by all nodes again")
      })

      /** What all nodes have taken, and when that is over. What was taken here meanwhile goes on top. */
      const learn = (tally: Tally, total: Total, now: number) => {
        const resetsAt = now + total.resetsInMillis
        // An answer that was overtaken by another tells of less.
        const isOlder = Math.abs(resetsAt - tally.resetsAt) <= slack && total.used + tally.untold < tally.used
        if (!isOlder) tally.used = total.used + tally.untold
        tally.resetsAt = resetsAt
      }

      const takeExactly = Effect.fnUntraced(function* (budget: Budget, one: Counted, other: Counted | undefined) {
        const now = yield* Clock.currentTimeMillis
        // What is spent stays so until its window is over: whoever hammers does not reach the store.
        if (shared === undefined || isSpent(one) || (other !== undefined && isSpent(other))) {
          return takeHere(budget, one, other, now)
        }
        const counted = other === undefined ? [one] : [one, other]
        const totals = yield* shared
          .add(counted.map(({ tally }) => ({ key: tally.key, used: 1, windowMillis })))
          .pipe(Effect.tap(back), Effect.tapError(away), Effect.option)
        const then = yield* Clock.currentTimeMillis
        if (Option.isNone(totals)) return takeHere(budget, one, other, then)
        let admitted = true
        for (const { ledger, tally } of counted) {
          const total = totals.value.find(({ key }) => key === tally.key)
          if (total === undefined) continue
          if (total.used > ledger.quota) admitted = false
          learn(tally, total, then)
        }
        return standing(budget, nearest(one, other), then, admitted)
      })

      const take = (budget: Budget, { address, credential }: Caller): Effect.Effect<Standing | null> =>
        Effect.clockWith((clock) => {
          const book = books.get(budget)
          if (book === undefined) return Effect.succeed(null)
          const now = clock.currentTimeMillisUnsafe()
          const byCredential =
            credential === null ? undefined : { ledger: book.credentials, tally: book.credentials.of(credential, now) }
          const byAddress =
            address === null ? undefined : { ledger: book.addresses, tally: book.addresses.of(networkOf(address), now) }
          const [one, other] = byCredential === undefined ? [byAddress] : [byCredential, byAddress]
          if (one === undefined) return Effect.succeed(null)
          return exact.has(budget) && shared !== undefined
            ? takeExactly(budget, one, other)
            : Effect.succeed(takeHere(budget, one, other, now))
        })

      const ledgers = Array.from(books.values()).flatMap(({ addresses, credentials }) => [credentials, addresses])

      const tell = Effect.fnUntraced(function* (ledger: Ledger, tallies: ReadonlyArray<Tally>) {
        if (shared === undefined) return
        const before = yield* Clock.currentTimeMillis
        const told = tallies.map((tally) => ({ tally, used: tally.untold, resetsAt: tally.resetsAt }))
        const totals = yield* shared
          .add(
            told.map(({ resetsAt, tally, used }) => ({
              key: tally.key,
              used,
              windowMillis: Math.max(1, resetsAt - before)
            }))
          )
          .pipe(
            Effect.tap(back),
            Effect.tapError(away),
            Effect.onError(() => Effect.sync(() => tallies.forEach((tally) => void ledger.tellAgain(tally)))),
            Effect.orElseSucceed((): ReadonlyArray<Total> => [])
          )
        const now = yield* Clock.currentTimeMillis
        const byKey = new Map(totals.map((total) => [total.key, total]))
        for (const { resetsAt, tally, used } of told) {
          const total = byKey.get(tally.key)
          // Its window was over in the meantime.
          if (total === undefined || tally.resetsAt !== resetsAt) continue
          tally.untold -= used
          learn(tally, total, now)
          ledger.tellAgain(tally)
        }
      })

      const exchange = Effect.forEach(
        ledgers,
        (ledger) => {
          const tallies = ledger.untold(batch)
          return tallies.length === 0 ? Effect.void : tell(ledger, tallies)
        },
        { discard: true }
      )

      return RateLimits.of({
        take,
        exchange,
        prune: shared === undefined ? Effect.succeed(0) : shared.prune,
        size: Effect.sync(() => {
          let size = 0
          for (const { addresses, credentials } of books.values()) size += addresses.size + credentials.size
          return size
        })
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(SharedCounts.layer))

  /** Tells other nodes what was taken here, and learns what was taken there, for as long as it is there. */
  static readonly exchanging = Layer.effectDiscard(
    Effect.gen(function* () {
      const { exchange } = yield* RateLimits
      const { exchangeEvery } = yield* RateLimitsPolicy
      yield* exchange.pipe(Effect.repeat(Schedule.spaced(exchangeEvery)), Effect.forkScoped)
    })
  )
}

/** A network of 64 bits is one subscriber's: in IPv6 it counts as one address. */
export const networkOf = (address: string) => {
  if (!address.includes(":") || address.includes(".")) return address
  const [head = "", tail] = address.split("::", 2)
  const groups = head === "" ? [] : head.split(":")
  if (tail !== undefined) {
    const rest = tail === "" ? [] : tail.split(":")
    while (groups.length + rest.length < 8) groups.push("0")
    groups.push(...rest)
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":")}::/64`
}
