/** Ending connections, the same from lists and pages: the dialog that asks, and the way through many of them. */
import { toast } from "svelte-sonner"
import { isLive } from "./connection.ts"
import { type ConnectionView, decodeConnection } from "./fleet.ts"
import { shortId } from "./ids.ts"
import { live } from "./live.svelte.ts"
import { plural } from "./numbers.ts"
import { explain } from "./problems.ts"
import { rpc } from "./rpc.ts"

class Cutting {
  /** What the dialog asks about. */
  asking = $state.raw<ReadonlyArray<ConnectionView> | null>(null)

  #ordered: (() => void) | undefined

  /** `ordered` is told once somebody said yes. */
  ask(connections: ReadonlyArray<ConnectionView>, ordered?: () => void) {
    const ending = connections.filter(isLive)
    if (ending.length === 0) return void toast("Nothing to do: they are over already")
    this.#ordered = ordered
    this.asking = ending
  }

  /** The answer to what was asked. */
  answer(yes: boolean) {
    const doomed = this.asking
    this.asking = null
    if (!yes || doomed === null) return
    this.#ordered?.()
    void this.#disconnect(doomed)
  }

  /** One after the other, with the progress on screen. */
  async #disconnect(connections: ReadonlyArray<ConnectionView>) {
    const all = plural(connections.length, "connection")
    const id = toast.loading(`0 of ${all}`)
    let cut = 0
    for (const connection of connections) {
      try {
        const next = decodeConnection(await rpc.connections.disconnect.mutate({ id: connection.id }))
        live.announceConnections([next])
        cut++
        toast.loading(`${cut} of ${all}`, { id })
      } catch (error) {
        const { message, remedy } = explain(error)
        toast.error(`Stopped at ${shortId(connection.id)}: ${message}`, {
          id,
          description: `${cut} of ${all} disconnected. ${remedy ?? ""}`.trim()
        })
        return
      }
    }
    toast.success(cut === 1 ? "Disconnected" : `${all} disconnected`, {
      id,
      description: "Servers are told with their next heartbeat."
    })
  }
}

export const cutting = new Cutting()
