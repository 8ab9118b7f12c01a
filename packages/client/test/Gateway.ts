/** A gateway on a real broker: an agent that takes connections, and what it was told to close. */
import type { ConnectionId } from "@broker/domain/Connection"
import { TestBroker } from "@broker/testing/TestBroker"
import { Effect, Schedule } from "effect"
import * as AgentConnections from "../src/AgentConnections.ts"
import type { AgentEvent } from "../src/AgentEvent.ts"

/** Asks again until it is so; a deadline instead of a sleep. */
export const eventually = <A, E, R>(look: Effect.Effect<A, E, R>, is: (found: A) => boolean) =>
  look.pipe(Effect.filterOrFail(is), Effect.retry({ schedule: Schedule.spaced("25 millis"), times: 400 }))

export const gateway = Effect.fnUntraced(function* (name: string, options: { readonly stateDir?: string } = {}) {
  const events: Array<AgentEvent> = []
  const closed: Array<{ readonly id: ConnectionId; readonly reason: string }> = []
  const note = (event: AgentEvent) => Effect.sync(() => events.push(event))
  const connections = yield* AgentConnections.make({
    onEvent: note,
    onClosed: ({ id }, reason) => Effect.sync(() => closed.push({ id, reason }))
  })
  const { agent } = yield* TestBroker
  yield* agent({ name, connections, onEvent: note, capabilities: { vpn: {} }, ...options })
  yield* eventually(
    Effect.sync(() => events.some(({ _tag }) => _tag === "Verified")),
    Boolean
  )
  return { connections, closed, events }
})
