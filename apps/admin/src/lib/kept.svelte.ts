/** What a page shows stays when it cannot be loaded again: SvelteKit would put the error in place of the page. */
import { isHttpError, isRedirect } from "@sveltejs/kit"
import { SvelteMap } from "svelte/reactivity"
import { page } from "$app/state"
import { explain, isGone } from "./problems.ts"

interface Failure {
  readonly href: string
  /** When what is shown was loaded. */
  readonly since: number
  readonly message: string
  readonly remedy: string | null
}

const failures = new SvelteMap<object, Failure>()

const hrefOf = ({ pathname, search }: Pick<URL, "pathname" | "search">) => pathname + search

/** Why the page that is shown is older than it should be; null while it is not. */
export const staleness = (): Failure | null => {
  const href = hrefOf(page.url)
  const here = [...failures.values()].filter((failure) => failure.href === href)
  return here.length === 0 ? null : here.reduce((one, other) => (one.since <= other.since ? one : other))
}

/** Whether an answer is a part of what is on screen now, rather than of what was, or of what is loaded ahead. */
const isShown = (data: object) => Object.entries(data).every(([name, value]) => page.data[name] === value)

/**
 * A load whose answer goes on to be shown when the same page is loaded again and that fails. Whoever may not see it any
 * more, or asks for what is gone, is told so; and a page that is opened has nothing yet to go on with.
 */
export const kept = <Event extends { readonly url: URL; untrack<T>(read: () => T): T }, Data extends object>(
  load: (event: Event) => Promise<Data>
) => {
  /** The newest answers, and among them the one that is shown. */
  let answers: ReadonlyArray<{ readonly data: Data; readonly since: number }> = []
  const again = async (event: Event): Promise<Data> => {
    const href = event.untrack(() => hrefOf(event.url))
    try {
      const data = await load(event)
      answers = [...answers.filter((answer) => isShown(answer.data)), { data, since: Date.now() }]
      failures.delete(again)
      return data
    } catch (error) {
      const isRefreshed = page.error === null && hrefOf(page.url) === href
      const shown = answers.findLast((answer) => isShown(answer.data))
      if (!isRefreshed || shown === undefined || isRedirect(error) || isHttpError(error) || isGone(error)) throw error
      const { message, remedy } = explain(error)
      failures.set(again, { href, since: shown.since, message, remedy })
      return shown.data
    }
  }
  return again
}
