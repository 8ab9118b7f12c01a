/** One clock for every relative time on screen. It ticks only while something shows one. */
import { createSubscriber } from "svelte/reactivity"

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 1_000)
  return () => clearInterval(timer)
})

export const clock = {
  get now() {
    subscribe()
    return Date.now()
  }
}
