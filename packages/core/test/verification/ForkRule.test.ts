/** V5 over many seeds: restarts with whatever the network does to them are no forks, and every real fork is found soon. */
import * as ForkRule from "@broker/core/verification/ForkRule"
import { assert, describe, it } from "vitest"

const interval = 30_000

/** Numbers from 0 to 1, the same for the same seed. */
const chance = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

interface Sent {
  readonly boot: number
  readonly seq: number
  readonly sentAt: number
  readonly receivedAt: number
}

/** The beats of one boot between two moments, some of them late, some twice, some lost. */
const beatsOf = (
  boot: number,
  from: number,
  to: number,
  network: { readonly delay: () => number; readonly skew: number; readonly random: () => number }
): ReadonlyArray<Sent> => {
  const sent: Array<Sent> = []
  let at = from
  for (let seq = 1; at < to; seq++) {
    const beat = { boot, seq, sentAt: at + network.skew }
    if (network.random() > 0.05) sent.push({ ...beat, receivedAt: at + network.delay() })
    while (network.random() < 0.15) sent.push({ ...beat, receivedAt: at + network.delay() })
    at += interval * (0.9 + 0.2 * network.random())
  }
  return sent
}

/** Takes in beats as the broker does (H3), and tells when it would find a fork. */
const detect = (beats: ReadonlyArray<Sent>): number | undefined => {
  let current: { boot: number; seq: number; lastSeenAt: number } | undefined
  const former = new Set<number>()
  const evidence = new Map<number, ForkRule.Evidence>()
  for (const beat of beats.toSorted((a, b) => a.receivedAt - b.receivedAt)) {
    if (current !== undefined && former.has(beat.boot)) {
      const judged = ForkRule.judge(evidence.get(beat.boot) ?? null, beat, {
        lastSeenAt: current.lastSeenAt,
        intervalMillis: interval
      })
      if (judged.forked) return beat.receivedAt
      evidence.set(beat.boot, judged.evidence)
      continue
    }
    if (current !== undefined && current.boot !== beat.boot) former.add(current.boot)
    if (current?.boot === beat.boot && beat.seq <= current.seq) continue
    current = { boot: beat.boot, seq: beat.seq, lastSeenAt: beat.receivedAt }
  }
  return undefined
}

const start = 1_800_000_000_000

describe("V5 the rule for forks", () => {
  it("finds none in 4,000 servers that restart, with beats that are late, lost, repeated and out of order", () => {
    for (let seed = 1; seed <= 4_000; seed++) {
      const random = chance(seed)
      // Some of the time things hang for minutes; clocks are off a little, and a restart may mend them.
      const delay = () => (random() < 0.85 ? 50 + random() * 500 : random() * 5 * 60_000)
      const beats: Array<Sent> = []
      let at = start
      for (let boot = 0; boot < 2 + Math.floor(random() * 6); boot++) {
        const until = at + random() * 12 * interval
        beats.push(...beatsOf(boot, at, until, { delay, random, skew: (random() - 0.5) * 2_000 }))
        at = until + random() * 20_000
      }
      assert.isUndefined(detect(beats), `seed ${seed}`)
    }
  })

  it("finds none where clocks are wrong by an hour, as long as the network is no slower than half an interval", () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const random = chance(seed)
      const delay = () => random() * 0.5 * interval
      const beats: Array<Sent> = []
      let at = start
      for (let boot = 0; boot < 5; boot++) {
        const until = at + random() * 8 * interval
        beats.push(...beatsOf(boot, at, until, { delay, random, skew: (random() - 0.5) * 7_200_000 }))
        at = until + random() * 5_000
      }
      assert.isUndefined(detect(beats), `seed ${seed}`)
    }
  })

  it("finds every fork of 2,000 within a few intervals, with duplicates, losses and delays", () => {
    const after: Array<number> = []
    for (let seed = 1; seed <= 2_000; seed++) {
      const random = chance(seed)
      const delay = () => (random() < 0.9 ? 50 + random() * 500 : random() * interval)
      const forkedAt = start + (1 + random() * 10) * interval
      const until = forkedAt + 30 * interval
      const skew = () => (random() - 0.5) * 2_000
      const found = detect([
        ...beatsOf(0, start, until, { delay, random, skew: skew() }),
        ...beatsOf(1, forkedAt, until, { delay, random, skew: skew() })
      ])
      assert.isDefined(found, `seed ${seed}`)
      after.push(((found ?? 0) - forkedAt) / interval)
    }
    after.sort((a, b) => a - b)
    assert.isAtMost(after[Math.floor(after.length / 2)] ?? 99, 4)
    assert.isAtMost(after.at(-1) ?? 99, 9)
  })

  it("finds a fork also where the former boot's clock is hours behind, once nothing can be late any more", () => {
    const random = chance(7)
    const delay = () => 100
    const until = start + 60 * interval
    const found = detect([
      ...beatsOf(0, start, until, { delay, random, skew: -4 * 3_600_000 }),
      ...beatsOf(1, start + 5 * interval, until, { delay, random, skew: 0 })
    ])
    assert.isDefined(found)
    assert.isAtMost((found ?? 0) - start - 5 * interval, ForkRule.longestDelay + 5 * interval)
  })

  it("takes one beat that was late for whatever reason as none", () => {
    const other = { lastSeenAt: start + 100 * interval, intervalMillis: interval }
    const first = ForkRule.judge(null, { seq: 8, receivedAt: start, sentAt: start }, other)
    const second = ForkRule.judge(
      first.evidence,
      { seq: 9, receivedAt: start + 2 * interval, sentAt: start + 2 * interval },
      other
    )
    assert.deepStrictEqual([first.forked, second.forked], [false, false])
    // The very same again, however often.
    const again = ForkRule.judge(
      second.evidence,
      { seq: 9, receivedAt: start + 4 * interval, sentAt: start + 4 * interval },
      other
    )
    assert.isFalse(again.forked)
  })

  it("is no fork while only the former boot is heard", () => {
    let evidence: ForkRule.Evidence | null = null
    for (let seq = 1; seq < 20; seq++) {
      const at = start + seq * interval
      const judged = ForkRule.judge(
        evidence,
        { seq, receivedAt: at, sentAt: at },
        { lastSeenAt: start, intervalMillis: interval }
      )
      assert.isFalse(judged.forked)
      evidence = judged.evidence
    }
  })
})
