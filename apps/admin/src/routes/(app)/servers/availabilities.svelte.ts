/** How the servers on screen were to be had in the last 30 days: asked for when they come to rest there. */
import type { ServerId } from "@broker/domain/Server"
import { SvelteMap } from "svelte/reactivity"
import { type AvailabilityDayView, decodeAvailabilityDays, rangeOfDays } from "#lib/availability.ts"
import { rpc } from "#lib/rpc.ts"

/** So many days are shown. */
export const strip = 30
/** So many are asked for at once. */
const most = 100

export class Availabilities {
  readonly #days = new SvelteMap<string, ReadonlyArray<AvailabilityDayView>>()
  readonly #asked = new Set<string>()

  /** Undefined as long as nothing is known. */
  of(id: string) {
    return this.#days.get(id)
  }

  async ask(ids: ReadonlyArray<ServerId>) {
    const wanted = ids.filter((id) => !this.#asked.has(id)).slice(0, most)
    if (wanted.length === 0) return
    for (const id of wanted) this.#asked.add(id)
    const range = rangeOfDays(Date.now(), strip)
    try {
      const answer = decodeAvailabilityDays(await rpc.availability.ofServers.query({ ids: wanted, range }))
      for (const [id, days] of Object.entries(answer)) this.#days.set(id, days)
    } catch {
      // The list is worth reading without them; they are asked for again when the rows come back on screen.
      for (const id of wanted) this.#asked.delete(id)
    }
  }
}
