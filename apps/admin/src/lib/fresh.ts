/** Keeps what a page has loaded current where no stream tells of it, while somebody looks and the broker answers. */
import { invalidate } from "$app/navigation"
import { live } from "./live.svelte.ts"
import { rounds } from "./rounds.ts"

let last = Promise.resolve()

/**
 * Loads again what depends on something. One after the other: of two at once, SvelteKit shows the later one only, and
 * what is slow would never be shown. A load that fails leaves the page as it is (`kept`).
 */
export const refresh = (dependency: string) => {
  last = last.then(() => invalidate(dependency, true)).catch(() => {})
  return last
}

/** Whether it makes sense to ask: somebody looks, and the broker answers. */
export const isWatched = () => document.visibilityState === "visible" && live.state === "live"

/** Asks again every so often until the returned function is called. */
export const keepFresh = (dependency: string, every: number) =>
  rounds(every, () => (isWatched() ? refresh(dependency) : undefined))
