/**
 * Keeps refused attempts from filling the audit log: the first few of a minute are entries of their own, the rest is
 * counted, and told by one entry once the minute is over. Counted by each node for itself, in bounded memory.
 */
import { Context, Duration } from "effect"
import { networkOf } from "../rate-limits/RateLimits.ts"
import type { Actor } from "./Actor.ts"
import type { AuditEntry } from "./Audit.ts"

export const RefusalsPolicy = Context.Reference("@broker/core/audit/RefusalsPolicy", {
  defaultValue: () => ({
    /** Refusals of somebody known that have entries of their own within the window. */
    each: 60,
    /** Those of one address, where it is nobody's attempt. */
    eachOfStrangers: 9,
    window: Duration.minutes(1),
    /** How often it is looked whose window is over. */
    tellEvery: Duration.seconds(10),
    /** Callers that are told apart; addresses beyond are counted as one. */
    capacity: 10_000
  })
})

/** One caller's refusals in a window. */
export interface Tally {
  readonly since: number
  readonly until: number
  entries: number
  /** Those without an entry. */
  untold: number
  readonly actions: Set<string>
  actor: typeof Actor.Service
  entry: AuditEntry
}

const beyond = "beyond"

/** How many kinds of acts an entry lists. */
const actionsTold = 20

export class Refusals {
  private readonly tallies = new Map<string, Tally>()
  private readonly policy: ReturnType<typeof RefusalsPolicy.defaultValue>

  constructor(policy: ReturnType<typeof RefusalsPolicy.defaultValue>) {
    this.policy = policy
  }

  /** Whose attempts are counted together; undefined where each is an entry, whatever their number. */
  private keyOf(actor: typeof Actor.Service, { organizationId }: AuditEntry) {
    if (actor.id !== null && (actor.kind === "admin" || actor.kind === "api-token")) {
      return `${organizationId}:${actor.id}`
    }
    if (organizationId !== null || actor.address === null) return undefined
    const network = networkOf(actor.address)
    return this.tallies.has(network) || this.tallies.size < this.policy.capacity ? network : beyond
  }

  /** Whether a refusal is an entry of its own, and what there is to tell of the window before. */
  take(actor: typeof Actor.Service, entry: AuditEntry, now: number): { readonly own: boolean; readonly over?: Tally } {
    const key = this.keyOf(actor, entry)
    if (key === undefined) return { own: true }
    const known = this.tallies.get(key)
    const isOver = known !== undefined && known.until <= now
    const tally =
      known === undefined || isOver
        ? {
            since: now,
            until: now + Duration.toMillis(this.policy.window),
            entries: 0,
            untold: 0,
            actions: new Set<string>(),
            actor,
            entry
          }
        : known
    if (tally !== known) this.tallies.set(key, tally)
    const over = isOver && known.untold > 0 ? { over: known } : {}
    const isStranger = entry.organizationId === null
    if (tally.entries < (isStranger ? this.policy.eachOfStrangers : this.policy.each)) {
      tally.entries += 1
      return { own: true, ...over }
    }
    tally.untold += 1
    if (tally.actions.size < actionsTold) tally.actions.add(entry.action)
    tally.actor = actor
    tally.entry = entry
    return { own: false, ...over }
  }

  /** Forgets those whose window is over, and tells of which there is something to tell. */
  over(now: number): ReadonlyArray<readonly [key: string, tally: Tally]> {
    const over = [...this.tallies].filter(([, { until }]) => until <= now)
    for (const [key] of over) this.tallies.delete(key)
    return over.filter(([, { untold }]) => untold > 0)
  }

  /** What could not be told stays counted. */
  restore(key: string, tally: Tally) {
    const newer = this.tallies.get(key)
    if (newer === undefined) this.tallies.set(key, tally)
    else newer.untold += tally.untold
  }
}
