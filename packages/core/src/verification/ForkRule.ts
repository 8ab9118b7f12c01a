/**
 * When two boots of one server are both alive (V5).
 *
 * A restart leaves the former boot silent, but what it sent last may arrive late, again, and out of order. So a beat
 * of a former boot shows only that there may be a fork. It shows one when the former boot goes on: twice, with higher
 * numbers, apart in time, and each time the other boot was heard since. What was sent before the broker first heard
 * both, by the sender's own clock, is late; only after a time in which nothing on the way can still be late, a clock
 * that is behind is no excuse.
 */

/** What is known of a boot that was heard again after another had taken its place. In milliseconds of the broker's clock. */
export interface Evidence {
  readonly since: number
  /** The highest that was heard. */
  readonly seq: number
  /** How often it went on, and when it last did. */
  readonly continued: number
  readonly continuedAt: number | null
}

export interface FormerBeat {
  readonly seq: number
  readonly receivedAt: number
  /** By the server's clock: a claim (H4). */
  readonly sentAt: number
}

/** Nothing is on its way for so long: gateways and proxies give up on requests after minutes. */
export const longestDelay = 600_000

/** So often a former boot goes on before it is a fork. */
const enough = 2

export const judge = (
  evidence: Evidence | null,
  beat: FormerBeat,
  other: { readonly lastSeenAt: number; readonly intervalMillis: number }
): { readonly evidence: Evidence; readonly forked: boolean } => {
  const { receivedAt, sentAt, seq } = beat
  if (evidence === null) {
    return { evidence: { since: receivedAt, seq, continued: 0, continuedAt: null }, forked: false }
  }
  if (seq <= evidence.seq) return { evidence, forked: false }
  const before = evidence.continuedAt ?? evidence.since
  const age = receivedAt - evidence.since
  const isSpaced = receivedAt - before >= (evidence.continued === 0 ? 0.75 : 0.5) * other.intervalMillis
  const isLate = sentAt <= evidence.since && age < longestDelay
  if (!isSpaced || isLate || other.lastSeenAt <= before) return { evidence: { ...evidence, seq }, forked: false }
  const continued = evidence.continued + 1
  return { evidence: { ...evidence, seq, continued, continuedAt: receivedAt }, forked: continued >= enough }
}
