/**
 * Hints between processes, over PostgreSQL's NOTIFY.
 *
 * A hint may be lost, so nobody may depend on one: whoever reacts to signals
 * also polls, or looks again at a `Resync`, which follows every gap in
 * listening.
 */

import { randomUUID } from "node:crypto"
import { PgClient, PgConnection } from "@effect/sql-pg"
import { Context, Duration, Effect, Latch, Layer, Option, PubSub, Queue, Random, type Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as PgLink from "./PgLink.ts"
import { SignalsPolicy } from "./SignalsPolicy.ts"

export type SignalEvent =
  | { readonly _tag: "Signal"; readonly payload: string }
  /** Signals may have been missed: look at what they announce, whatever it is. */
  | { readonly _tag: "Resync" }

export class Signals extends Context.Service<
  Signals,
  {
    /** Tells every process once the caller's transaction commits, or at once outside of one. */
    notify(topic: string, payload: string): Effect.Effect<void, SqlError>
    /** The same of so much at once that whoever listens does better to look at all of it again. */
    resync(topic: string): Effect.Effect<void, SqlError>
    /** What is signalled on a topic by any process, this one included, for as long as the stream runs. */
    subscribe(topic: string): Stream.Stream<SignalEvent>
    /** Subscribes now, for a stream that is read later: no gap while a snapshot is taken. */
    subscribed(topic: string): Effect.Effect<Stream.Stream<SignalEvent>, never, Scope.Scope>
  }
>()("@broker/core/database/Signals") {
  static readonly layer = Layer.effect(
    Signals,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const heard = yield* PubSub.sliding<Message>(4096)
      const listening = yield* Latch.make()
      yield* Effect.forkScoped(listen(heard, listening))
      // From the start nothing is missed; unless the database is away, when nobody else gets far either.
      yield* Effect.timeoutOption(listening.await, "2 seconds")

      const send = (wire: string) => Effect.asVoid(sql`select pg_notify(${channel}, ${wire})`)

      const notify = Effect.fn("Signals.notify")((topic: string, payload: string) => send(encode(topic, payload)))

      const resync = Effect.fn("Signals.resync")(send)

      const only =
        (topic: string) =>
        (messages: Stream.Stream<Message>): Stream.Stream<SignalEvent> =>
          messages.pipe(
            Stream.filter((message) => message.topic === topic || message.topic === everyTopic),
            Stream.map(({ event }) => event)
          )

      return Signals.of({
        notify,
        resync,
        subscribe: (topic) => only(topic)(Stream.fromPubSub(heard)),
        subscribed: (topic) =>
          Effect.map(PubSub.subscribe(heard), (messages) => only(topic)(Stream.fromSubscription(messages)))
      })
    })
  )
}

interface Message {
  readonly topic: string
  readonly event: SignalEvent
}

const channel = "broker"
const everyTopic = ""
const pingTopic = "ping"

/** PostgreSQL refuses 8,000 bytes and more, which would fail the transaction that only wanted to give a hint. */
const maxBytes = 7_900

const resynced = (topic: string): Message => ({ topic, event: { _tag: "Resync" } })

/** A payload that does not fit is announced as something to look at. */
const encode = (topic: string, payload: string) => {
  const wire = `${topic} ${payload}`
  return new TextEncoder().encode(wire).byteLength > maxBytes ? topic : wire
}

const decode = (wire: string): Message => {
  const space = wire.indexOf(" ")
  return space === -1
    ? resynced(wire)
    : { topic: wire.slice(0, space), event: { _tag: "Signal", payload: wire.slice(space + 1) } }
}

/** The pool's server, on a connection of its own whose socket may be silent for as long as a ping may take. */
const connection = Effect.gen(function* () {
  const { config } = yield* PgClient.PgClient
  const { pingEvery } = yield* SignalsPolicy
  const target = config.url === undefined ? Option.none() : PgLink.target(config.url)
  return {
    ...config,
    applicationName: "broker-signals",
    multiplex: false,
    stream: Option.match(target, {
      onNone: () => config.stream,
      onSome: (to) => PgLink.make(to, Duration.times(pingEvery, 0.8)).stream
    })
  } satisfies PgConnection.Config
})

/** Listens until the connection is lost, or does not bring back what was sent on it. */
const session = Effect.fnUntraced(function* (
  config: PgConnection.Config,
  heard: PubSub.PubSub<Message>,
  onListening: Effect.Effect<void>
) {
  const { pingEvery } = yield* SignalsPolicy
  const pinned = yield* Effect.flatMap(PgConnection.make(config), ({ pin }) => pin)
  const notifications = yield* pinned.listen(channel)
  yield* onListening
  yield* PubSub.publish(heard, resynced(everyTopic))

  const me = randomUUID()
  let sent = 0
  let returned = 0

  // A ping takes the way of every signal: it proves that we still listen, not only that we are connected.
  const ping = Effect.gen(function* () {
    while (returned === sent) {
      sent += 1
      yield* pinned.query("select pg_notify($1, $2)", [channel, `${pingTopic} ${me}:${sent}`])
      yield* Effect.sleep(pingEvery)
    }
    yield* Effect.logWarning("Signals do not come back")
  })

  const relay = Effect.gen(function* () {
    const message = decode((yield* Queue.take(notifications)).payload)
    if (message.topic !== pingTopic) yield* PubSub.publish(heard, message)
    else if (message.event._tag === "Signal" && message.event.payload === `${me}:${sent}`) returned = sent
  })

  yield* Effect.raceFirst(Effect.forever(relay), ping)
}, Effect.scoped)

/** Listens for ever, with longer pauses while the database is away. */
const listen = Effect.fnUntraced(
  function* (heard: PubSub.PubSub<Message>, listening: Latch.Latch) {
    const config = yield* connection
    const { firstRetry, lastRetry } = yield* SignalsPolicy
    let failures = 0
    const onListening = Effect.suspend(() => {
      failures = 0
      return Effect.asVoid(listening.open)
    })
    while (true) {
      yield* session(config, heard, onListening).pipe(
        Effect.catchTag("SqlError", ({ message }) =>
          failures === 0 ? Effect.logWarning("Lost the connection for signals", { reason: message }) : Effect.void
        ),
        Effect.ignoreCause({ log: "Error" })
      )
      const pause = Duration.min(Duration.times(firstRetry, 2 ** failures), lastRetry)
      yield* Effect.sleep(Duration.times(pause, yield* Random.nextBetween(0.5, 1.5)))
      failures += 1
    }
  },
  Effect.annotateLogs({ fiber: "Signals" })
)
