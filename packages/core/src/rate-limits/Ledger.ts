/**
 * What the callers of one budget have taken, as this node knows it: a window of their own for each, begun by its first
 * request, so that they do not all begin anew in the same second. Bounded: the least recently seen is forgotten first.
 */

/** How far off the other nodes' clocks may be, in milliseconds. */
export const slack = 1_000

/** Linked in the order in which they were seen: a Map would have to step over all that it forgot. */
export class Tally {
  /** What was taken in the window: on this node, and on the others as far as they told. */
  used = 0
  /** What was taken here and not told to the others yet. */
  untold = 0
  resetsAt: number
  /** What all nodes call it. */
  readonly key: string
  readonly caller: string
  earlier: Tally | undefined
  later: Tally | undefined

  constructor(key: string, caller: string, resetsAt: number) {
    this.key = key
    this.caller = caller
    this.resetsAt = resetsAt
  }
}

export class Ledger {
  readonly quota: number
  private readonly prefix: string
  private readonly windowMillis: number
  private readonly capacity: number
  private readonly isShared: boolean
  private readonly tallies = new Map<string, Tally>()
  private first: Tally | undefined
  private last: Tally | undefined
  /** Those that the others should hear of. */
  private readonly telling = new Set<Tally>()

  constructor(options: {
    readonly quota: number
    readonly prefix: string
    readonly windowMillis: number
    readonly capacity: number
    /** Whether there is anybody to tell. */
    readonly isShared: boolean
  }) {
    this.quota = options.quota
    this.prefix = options.prefix
    this.windowMillis = options.windowMillis
    this.capacity = options.capacity
    this.isShared = options.isShared
  }

  get size() {
    return this.tallies.size
  }

  /** The tally of a caller, in the window that is on. */
  of(caller: string, now: number): Tally {
    const known = this.tallies.get(caller)
    if (known !== undefined) {
      if (known !== this.last) {
        this.unlink(known)
        this.append(known)
      }
      // A window that ends later than it can is of a clock that was set back.
      if (known.resetsAt <= now || known.resetsAt > now + this.windowMillis + slack) this.begin(known, now)
      return known
    }
    if (this.tallies.size >= this.capacity && this.first !== undefined) this.forget(this.first)
    const tally = new Tally(this.prefix + caller, caller, now + this.windowMillis)
    this.tallies.set(caller, tally)
    this.append(tally)
    return tally
  }

  take(tally: Tally) {
    tally.used++
    tally.untold++
    // Whoever takes little is nobody's concern: it would take many nodes to make much of it.
    if (this.isShared && tally.used * 4 > this.quota) this.telling.add(tally)
  }

  /** What was taken by whom since it was last told. */
  untold(limit: number): ReadonlyArray<Tally> {
    const some: Array<Tally> = []
    for (const tally of this.telling) {
      if (some.length === limit) break
      this.telling.delete(tally)
      if (tally.untold > 0) some.push(tally)
    }
    return some
  }

  /** There is more to tell of it, or it could not be told. */
  tellAgain(tally: Tally) {
    if (tally.untold > 0 && this.tallies.get(tally.caller) === tally) this.telling.add(tally)
  }

  private begin(tally: Tally, now: number) {
    tally.used = 0
    tally.untold = 0
    tally.resetsAt = now + this.windowMillis
    this.telling.delete(tally)
  }

  private append(tally: Tally) {
    tally.earlier = this.last
    tally.later = undefined
    if (this.last === undefined) this.first = tally
    else this.last.later = tally
    this.last = tally
  }

  private unlink({ earlier, later }: Tally) {
    if (earlier === undefined) this.first = later
    else earlier.later = later
    if (later === undefined) this.last = earlier
    else later.earlier = earlier
  }

  private forget(tally: Tally) {
    this.unlink(tally)
    this.tallies.delete(tally.caller)
    this.telling.delete(tally)
  }
}
