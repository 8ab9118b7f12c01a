/**
 * Sends events to webhooks, on every node at once (W1).
 *
 * What is pending of one subject for one webhook stands in a lane, and goes one after the other: the next one begins when
 * the one before was accepted, or was given up. A node takes lanes up under a lease that it renews while it is at work;
 * those of a node that died are taken up by others when it runs out. No request is made within a transaction, and what
 * came of it is written down in one: whoever dies in between has it sent again, under the same id.
 */
import { Event, EventVersion } from "@broker/domain/Event"
import {
  type Cause,
  Clock,
  Context,
  DateTime,
  Duration,
  Effect,
  Exit,
  Latch,
  Layer,
  Metric,
  Option,
  Random,
  Schema,
  Stream
} from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Actor from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Encryption } from "../crypto/Encryption.ts"
import { place, webhookSecret } from "../crypto/SealedColumns.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import * as DeliveriesSql from "./DeliveriesSql.ts"
import { deliveriesTopic } from "./DeliveriesTopic.ts"
import * as Owner from "./Owner.ts"
import { type Answer, Sender } from "./Sender.ts"
import * as Signature from "./Signature.ts"
import { WebhooksPolicy } from "./WebhooksPolicy.ts"

const attempts = Metric.counter("broker_webhook_attempts_total", {
  description: "Requests to webhooks, by whether they were accepted",
  incremental: true
})

const decode = Schema.decodeUnknownExit(Event)
const encode = Schema.encodeSync(Event)
const isVersion = Schema.is(EventVersion)

/**
 * What is sent of an event in a version: the same text as in the feed, whoever sends it and however often. None where
 * only a later release knows the event, or the version.
 */
export const payload = (event: unknown, version: number): Option.Option<string> =>
  isVersion(version)
    ? Option.map(Exit.getSuccess(decode(event)), (known) => JSON.stringify(encode(known)))
    : Option.none()

const unsigned: Answer = {
  durationMillis: 0,
  status: null,
  problem: "There is no secret to sign with: give it a new one.",
  headers: {},
  body: ""
}

type Failure = SqlError.SqlError | Schema.SchemaError | Cause.NoSuchElementError

/** Makes one slice of work a transaction, such as one under the leader's fence. */
type Within<E> = <A>(write: Effect.Effect<A, Failure>) => Effect.Effect<A, Failure | E>

interface Taken extends DeliveriesSql.Lane {
  readonly claim: string
  /** The one delivery that shows whether a resting webhook works again. */
  readonly isTrial: boolean
}

export class Deliveries extends Context.Service<
  Deliveries,
  {
    /** Sends what is due until nothing is due and nothing is under way; tells how many attempts were made. */
    readonly deliverDue: Effect.Effect<number>
    /** The same without end: looks again from time to time, and whenever there is a hint. */
    readonly deliver: Effect.Effect<never>
    /** Deletes what is past its time, and what deleted webhooks left, a bounded number in each slice; tells how many. */
    readonly pruneWithin: <E>(within: Within<E>) => Effect.Effect<number, Failure | E>
    /** The same, by whoever calls it. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/webhooks/Deliveries") {
  static readonly layerNoDeps = Layer.effect(
    Deliveries,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* WebhooksPolicy
      const statements = yield* DeliveriesSql.make(policy)
      const signals = yield* Signals
      const encryption = yield* Encryption
      const secrets = yield* Secrets
      const sender = yield* Sender
      const audit = yield* Audit
      const lost = yield* Owner.make

      const jittered = Effect.fnUntraced(function* (duration: Duration.Duration) {
        return Duration.times(duration, yield* Random.nextBetween(1 - policy.jitter, 1 + policy.jitter))
      })

      /** Of what is due as much as there is room for. Of several nodes at a resting webhook, one tries it. */
      const take = Effect.fn("Deliveries.take")(function* (limit: number) {
        const now = yield* DateTime.now
        const claim = yield* secrets.id
        const lanes = yield* statements.claim({ claim, now, limit })
        const resting = lanes.filter(({ isTrial }) => isTrial).map(({ webhookId }) => webhookId)
        if (resting.length === 0) return lanes.map((lane): Taken => ({ ...lane, claim }))
        const mine = new Set((yield* statements.beginTrials({ webhookIds: resting, now })).map(({ id }) => id))
        const taken: Array<Taken> = []
        for (const lane of lanes) {
          if (!lane.isTrial || mine.has(lane.webhookId)) taken.push({ ...lane, claim })
          else yield* statements.release({ ...lane, claim, dueAt: now })
        }
        return taken
      }, sql.withTransaction)

      const signed = Effect.fnUntraced(function* (
        lane: DeliveriesSql.Lane,
        { eventId }: DeliveriesSql.Next,
        body: string,
        now: DateTime.Utc
      ) {
        const sealed = yield* statements.secrets({ webhookId: lane.webhookId, now })
        if (sealed.length === 0) return Option.none()
        const opened = yield* Effect.forEach(sealed, ({ id, sealedSecret }) =>
          encryption.open(place(webhookSecret, id), sealedSecret)
        )
        return Option.some({
          "user-agent": "Broker-Webhooks/1",
          ...Signature.headers(opened, { id: eventId, epochSeconds: Math.floor(now.epochMilliseconds / 1_000), body })
        })
      })

      /** Whatever was pending has ended: the lane's next one is due, or the lane is done. Tells whether to go on with it. */
      const advance = Effect.fnUntraced(function* (lane: Taken, stays: boolean, now: DateTime.Utc) {
        const isDone = (yield* statements.hasMore(lane)).length === 0
        if (isDone) yield* statements.removeLane(lane)
        else yield* statements.advance({ ...lane, claim: stays ? lane.claim : null, now })
        return stays && !isDone
      })

      /** It was accepted. */
      const accepted = Effect.fnUntraced(function* (
        lane: Taken,
        { seq }: DeliveriesSql.Next,
        { status }: Answer,
        stays: boolean
      ) {
        const now = yield* DateTime.now
        yield* statements.tried({ seq, state: "delivered", attempts: 1, status, problem: null, endedAt: now })
        const goesOn = yield* advance(lane, stays, now)
        const circuit = yield* statements.succeeded({ webhookId: lane.webhookId, now })
        return { goesOn, recovers: Option.exists(circuit, ({ rested }) => rested) }
      })

      const pause = Effect.fnUntraced(function* (
        lane: Taken,
        { organizationId }: DeliveriesSql.Next,
        problem: string,
        now: DateTime.Utc
      ) {
        const paused = yield* statements.pause({ webhookId: lane.webhookId, problem, now })
        if (Option.isNone(paused)) return
        const { name } = paused.value
        yield* audit
          .record({
            organizationId,
            action: "webhooks:pause",
            subjectKind: "webhook",
            subjectId: lane.webhookId,
            details: { name, because: "failing", problem }
          })
          .pipe(Effect.provideService(Actor.Actor, Actor.broker))
      })

      /** It was not accepted: it waits, or it is given up, or the webhook is paused. */
      const refused = Effect.fnUntraced(function* (
        lane: Taken,
        { seq, ...next }: DeliveriesSql.Next,
        tries: { readonly failures: number; readonly firstFailedAt: DateTime.Utc | null },
        { headers, problem, status }: Answer & { readonly problem: string }
      ) {
        const now = yield* DateTime.now
        const done = { goesOn: false, recovers: false }
        const failure = { seq, attempts: 1, status, problem } as const
        const found = yield* statements.failed({ webhookId: lane.webhookId, now, problem, isTrial: lane.isTrial })
        const deadline = DateTime.addDuration(tries.firstFailedAt ?? now, policy.tryFor)
        const asked = Duration.min(retryAfter(status, headers, now), policy.longestRetryAfter)

        // Nothing is sent for a webhook that is gone; what it left is deleted soon.
        if (Option.isNone(found)) return done
        const circuit = found.value
        const failingTooLong =
          circuit.failingSince !== null &&
          DateTime.isLessThanOrEqualTo(circuit.failingSince, DateTime.subtractDuration(now, policy.tryFor))
        if (circuit.pausedAt === null && (status === 410 || failingTooLong)) {
          yield* pause(lane, { seq, ...next }, problem, now)
        } else if (circuit.pausedAt === null && (circuit.restsUntil === null || lane.isTrial)) {
          const beyond = circuit.failuresInRow - policy.failuresTolerated
          const pausing = beyond < 0 ? Duration.zero : yield* jittered(at(policy.rests, beyond))
          const rest = Duration.max(pausing, asked)
          const until = Duration.isZero(rest) ? null : DateTime.addDuration(now, rest)
          if (until !== null || lane.isTrial) yield* statements.rest({ webhookId: lane.webhookId, until })
        }

        const isOver = DateTime.isGreaterThanOrEqualTo(now, deadline)
        const isPaused = circuit.pausedAt !== null || status === 410 || failingTooLong
        if (isOver && !isPaused) {
          yield* statements.tried({ ...failure, state: "gave_up", endedAt: now })
          yield* advance(lane, false, now)
          return done
        }
        const wait = Duration.max(yield* jittered(at(policy.backOff, tries.failures)), asked)
        const later = DateTime.addDuration(now, wait)
        // The last attempt is made when the time is over, not long before.
        const dueAt = isOver ? later : DateTime.min(later, deadline)
        yield* statements.tried({ ...failure, state: "pending", endedAt: null })
        yield* statements.postpone({ ...lane, now, dueAt })
        return done
      })

      /** Writes down what came of an attempt, unless the lane is somebody else's by now. */
      const settle = Effect.fn("Deliveries.settle")(function* (
        lane: Taken,
        next: DeliveriesSql.Next,
        sent: { readonly at: DateTime.Utc; readonly headers: Readonly<Record<string, string>> },
        answer: Answer,
        stays: boolean
      ) {
        const held = yield* statements.hold(lane)
        if (Option.isNone(held)) return { goesOn: false, recovers: false }
        yield* statements.attempted({
          seq: next.seq,
          at: sent.at,
          durationMillis: answer.durationMillis,
          status: answer.status,
          problem: answer.problem,
          version: next.version,
          requestHeaders: JSON.stringify(sent.headers),
          responseHeaders: JSON.stringify(answer.headers),
          responseBody: answer.body
        })
        const { problem } = answer
        return yield* problem === null
          ? accepted(lane, next, answer, stays)
          : refused(lane, next, held.value, { ...answer, problem })
      }, sql.withTransaction)

      const release = (lane: Taken, wait: Duration.Duration) =>
        Effect.flatMap(DateTime.now, (now) => statements.release({ ...lane, dueAt: DateTime.addDuration(now, wait) }))

      /** Nothing can be sent of what is first, or there is nothing. */
      const skip = Effect.fnUntraced(function* (lane: Taken, next?: DeliveriesSql.Next, problem = "") {
        const now = yield* DateTime.now
        if (Option.isNone(yield* statements.hold(lane))) return
        if (next !== undefined) {
          const { seq } = next
          yield* statements.tried({ seq, state: "gave_up", attempts: 0, status: null, problem, endedAt: now })
        }
        yield* advance(lane, false, now)
      }, sql.withTransaction)

      /** Who answers for the webhook may not hear this any more: until somebody does, nothing is sent. */
      const disown = Effect.fnUntraced(function* (lane: Taken, next: DeliveriesSql.Next) {
        const now = yield* DateTime.now
        if (Option.isNone(yield* statements.hold(lane))) return
        const problem = `Whoever set it up may not see ${next.type} any more.`
        // Nobody answers for what it does not listen to by resuming it.
        if (!next.isHeard) {
          const { seq } = next
          yield* statements.tried({ seq, state: "gave_up", attempts: 0, status: null, problem, endedAt: now })
          yield* advance(lane, false, now)
          return
        }
        yield* pause(lane, next, `${problem} It goes on when somebody resumes it who may.`, now)
        yield* statements.release({ ...lane, dueAt: now })
      }, sql.withTransaction)

      /** Of what is told in a way that this release does not know, each is told of once. */
      const strange = new Set<string>()
      const unknown = Effect.fnUntraced(function* (lane: Taken, next: DeliveriesSql.Next) {
        if (!strange.has(next.type)) {
          strange.add(next.type)
          const { eventId, type, version } = next
          yield* Effect.logWarning("Left an event for webhooks to a later release", { type, version, eventId })
        }
        const since = DateTime.subtractDuration(yield* DateTime.now, policy.tryFor)
        yield* DateTime.isLessThan(next.createdAt, since)
          ? skip(lane, next, "Only a later release of the broker could send it, and none did.")
          : release(lane, Duration.seconds(10))
      })

      /** Ends when the lane is somebody else's: this node was away for too long. */
      const renewing = (lane: Taken): Effect.Effect<void, Failure> =>
        Effect.gen(function* () {
          yield* Effect.sleep(Duration.times(policy.lease, 1 / 3))
          const mine = yield* statements.renew({ ...lane, now: yield* DateTime.now })
          if (mine.length > 0) yield* renewing(lane)
        })

      /** One attempt of what is first in a lane; tells whether the node stays with it, or has left it. */
      const attempt = Effect.fnUntraced(function* (lane: Taken, until: DateTime.Utc) {
        const found = yield* statements.next(lane)
        const left = { attempts: 0, goesOn: false }
        if (Option.isNone(found)) return yield* Effect.as(skip(lane), left)
        const next = found.value
        if (next.isComing) return yield* Effect.as(release(lane, Duration.millis(250)), left)
        if (next.event === null) return yield* Effect.as(skip(lane, next, "The event was past its time."), left)
        const { organizationId, ownerId, type } = next
        if ((yield* lost(organizationId, ownerId, [type])).length > 0) return yield* Effect.as(disown(lane, next), left)
        const body = payload(next.event, next.version)
        if (Option.isNone(body)) return yield* Effect.as(unknown(lane, next), left)
        const at = yield* DateTime.now
        const vouched = yield* signed(lane, next, body.value, at)
        const headers = Option.getOrElse(vouched, () => ({}))
        const answer = yield* Option.match(vouched, {
          // Those that were lost with an encryption key. Nothing goes out unsigned, and somebody has to know.
          onNone: () => Effect.succeedSome(unsigned),
          onSome: (headers) =>
            Effect.raceFirst(
              Effect.asSome(sender.send({ url: next.url, headers, body: body.value })),
              Effect.as(renewing(lane), Option.none<Answer>())
            )
        })
        if (Option.isNone(answer)) return { attempts: 1, goesOn: false }
        yield* Metric.update(
          Metric.withAttributes(attempts, { outcome: answer.value.problem === null ? "accepted" : "refused" }),
          1
        )
        const sent = { at, headers: { "content-type": "application/json", ...headers } }
        const stays = DateTime.isLessThan(yield* DateTime.now, until)
        const { goesOn, recovers } = yield* settle(lane, next, sent, answer.value, stays)
        if (recovers) yield* statements.recover({ webhookId: lane.webhookId, now: yield* DateTime.now })
        return { attempts: 1, goesOn }
      })

      /** Goes through a lane for as long as there is something in it, and others need not wait too long. */
      const serve = Effect.fn("Deliveries.serve")(
        function* (lane: Taken) {
          const until = DateTime.addDuration(yield* DateTime.now, policy.stay)
          let made = 0
          let isTrial = lane.isTrial
          while (true) {
            const { attempts, goesOn } = yield* attempt({ ...lane, isTrial }, until)
            made += attempts
            if (!goesOn) return made
            // It was accepted, so the webhook rests no more.
            isTrial = false
          }
        },
        (effect, lane) =>
          effect.pipe(
            // A node that stops gives back what it has, and nobody waits for the lease.
            Effect.onInterrupt(() => Effect.ignore(release(lane, Duration.zero))),
            Effect.catchCause((cause) =>
              Effect.as(Effect.logWarning("A delivery was not written down, and is made again", cause), 0)
            )
          )
      )

      let underWay = 0
      const ended = yield* Latch.make()

      /** Takes up what there is room for, and sees to it in the background. Tells how many lanes. */
      const begin = Effect.fnUntraced(function* (made: (attempts: number) => void) {
        const room = policy.perNode - underWay
        if (room <= 0) return 0
        const lanes = yield* take(room)
        for (const lane of lanes) {
          underWay += 1
          yield* serve(lane).pipe(
            Effect.tap((attempts) => Effect.sync(() => made(attempts))),
            Effect.ensuring(
              Effect.suspend(() => {
                underWay -= 1
                return ended.open
              })
            ),
            Effect.forkScoped
          )
        }
        return lanes.length
      })

      const deliverDue = Effect.gen(function* () {
        let total = 0
        while (true) {
          yield* ended.close
          // What ends while it looks may leave something due that it did not see.
          const wasIdle = underWay === 0
          const lanes = yield* begin((attempts) => {
            total += attempts
          })
          if (lanes === 0 && wasIdle) return total
          if (lanes === 0) yield* ended.await
        }
      }).pipe(Effect.scoped, Effect.orDie, Effect.withSpan("Deliveries.deliverDue"))

      const deliver = Effect.gen(function* () {
        const hints = yield* signals.subscribed(deliveriesTopic)
        yield* hints.pipe(
          Stream.runForEach(() => ended.open),
          Effect.forkScoped
        )
        while (true) {
          yield* ended.close
          const lanes = yield* begin(() => {}).pipe(
            // The database is away: all of it is there when it is back.
            Effect.catchCause((cause) => Effect.as(Effect.logDebug("Could not look for what is due", cause), 0))
          )
          if (lanes === 0) yield* Effect.raceFirst(ended.await, Effect.sleep(policy.every))
        }
      }).pipe(Effect.scoped, Effect.annotateLogs({ fiber: "Deliveries" }))

      const pruneOld = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.keep)
        const gone = yield* statements.pruneDeliveries({ before, limit: policy.prunedAtOnce })
        const lanes = gone.filter(({ state }) => state === "pending")
        if (lanes.length > 0) {
          yield* statements.lockLanes({ lanes })
          yield* statements.removeEmpty({ lanes })
        }
        return gone.length
      })
      const limit = policy.prunedAtOnce
      const orphans = Effect.map(statements.pruneOrphans({ limit }), ({ gone }) => gone)
      const orphanLanes = Effect.map(statements.pruneOrphanLanes({ limit }), ({ gone }) => gone)

      const pruneWithin = Effect.fn("Deliveries.pruneWithin")(function* <E>(within: Within<E>) {
        const until =
          (yield* Clock.monotonicTimeNanos) + BigInt(Math.round(Duration.toMillis(policy.pruneFor))) * 1_000_000n
        let count = 0
        for (const slice of [pruneOld, orphans, orphanLanes]) {
          let gone = 0
          do {
            gone = yield* within(slice)
            count += gone
          } while (gone === limit && (yield* Clock.monotonicTimeNanos) < until)
        }
        return count
      })

      return Deliveries.of({
        deliverDue,
        deliver,
        pruneWithin,
        prune: Effect.orDie(pruneWithin(sql.withTransaction))
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Sender.layer, Secrets.layer]))
}

/** The one at an index, or the last. */
const at = (durations: ReadonlyArray<Duration.Duration>, index: number) =>
  durations[Math.min(index, durations.length - 1)] ?? Duration.zero

/** What the target asks for: seconds or a date, of those that say that they are busy. */
const retryAfter = (status: number | null, headers: Answer["headers"], now: DateTime.Utc) => {
  const text = headers["retry-after"]
  if ((status !== 429 && status !== 503) || text === undefined) return Duration.zero
  if (/^\d{1,9}$/.test(text)) return Duration.seconds(Number(text))
  return Option.match(DateTime.make(text), {
    onNone: () => Duration.zero,
    onSome: (at) => Duration.max(DateTime.distance(now, at), Duration.zero)
  })
}
