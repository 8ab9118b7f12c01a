/** The broker, as its admin procedures. Types only: nothing of the router ends up in the bundle. */
import { maxCalls } from "@broker/admin-rpc/batch"
import type { AdminRouter } from "@broker/admin-rpc/router"
import {
  createTRPCClient,
  httpBatchLink,
  httpSubscriptionLink,
  splitLink,
  TRPCClientError,
  type TRPCLink
} from "@trpc/client"
import type { inferRouterInputs } from "@trpc/server"
import { observable, type Unsubscribable } from "@trpc/server/observable"
import { leaveToSignIn, needsAdmission } from "./sign-in.ts"
import { asksStepUp, stepUp } from "./step-up.svelte.ts"

/** What each procedure is asked, as it goes over the wire. */
export type RouterInputs = inferRouterInputs<AdminRouter>

const url = "/rpc"

/** A session that is over sends the tab to sign in; whatever asked waits for ever, as the page is leaving. */
const whileSignedIn = async (input: RequestInfo | URL | string, init?: RequestInit) => {
  const response = await fetch(input, init)
  return response.status === 401 && leaveToSignIn() ? new Promise<Response>(() => {}) : response
}

/** What is dangerous asks again who it is, and is then done by itself. */
const afterStepUp: TRPCLink<AdminRouter> =
  () =>
  ({ next, op }) =>
    observable((observer) => {
      let asked: Unsubscribable | undefined
      let dropped = false
      const ask = () => {
        asked = next(op).subscribe({
          next: (value) => observer.next(value),
          complete: () => observer.complete(),
          error: (error) => {
            if (error.data?.problem !== asksStepUp) return observer.error(error)
            stepUp.confirm().then(
              () => {
                if (!dropped) ask()
              },
              (refusal: Error) => observer.error(TRPCClientError.from(refusal))
            )
          }
        })
      }
      ask()
      return () => {
        dropped = true
        asked?.unsubscribe()
      }
    })

let isAdmitted = false
let admit = () => {}
const admission = new Promise<void>((resolve) => {
  admit = resolve
})

/** Whoever is signed in has all the factors they need: what the page asks may go out. */
export const admitted = () => {
  isAdmitted = true
  admit()
}

/**
 * SvelteKit loads a page beside its layout, which leads to enrolment whoever has to enrol first (A2). Until that is
 * settled, a deep link asks for nothing but who is signed in; of whoever is led away, the rest is never asked.
 */
const onceAdmitted: TRPCLink<AdminRouter> =
  () =>
  ({ next, op }) => {
    if (isAdmitted || op.path === "session.current" || !needsAdmission()) return next(op)
    return observable((observer) => {
      let asked: Unsubscribable | undefined
      let dropped = false
      void admission.then(() => {
        if (!dropped) asked = next(op).subscribe(observer)
      })
      return () => {
        dropped = true
        asked?.unsubscribe()
      }
    })
  }

export const rpc = createTRPCClient<AdminRouter>({
  links: [
    onceAdmitted,
    afterStepUp,
    splitLink({
      condition: (operation) => operation.type === "subscription",
      true: httpSubscriptionLink({ url }),
      false: httpBatchLink({
        url,
        maxURLLength: 4_000,
        maxItems: maxCalls,
        fetch: (input, init) => whileSignedIn(input, init as RequestInit)
      })
    })
  ]
})
