/** Keeps what a page has loaded current where no stream tells of it, while somebody looks and the broker answers. */
import { invalidate } from "$app/navigation"
import { live } from "./live.svelte.ts"

/** Asks again every so often until the returned function is called. */
export const keepFresh = (dependency: string, every: number) => {
  const timer = setInterval(() => {
    if (document.visibilityState === "visible" && live.state === "live") void invalidate(dependency)
  }, every)
  return () => clearInterval(timer)
}
