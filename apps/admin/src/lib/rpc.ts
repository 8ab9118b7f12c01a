/** The broker, as its admin procedures. Types only: nothing of the router ends up in the bundle. */
import type { AdminRouter } from "@broker/admin-rpc/router"
import { createTRPCClient, httpBatchLink, httpSubscriptionLink, splitLink } from "@trpc/client"
import type { inferRouterInputs } from "@trpc/server"
import { leaveToSignIn } from "./sign-in.ts"

/** What each procedure is asked, as it goes over the wire. */
export type RouterInputs = inferRouterInputs<AdminRouter>

const url = "/rpc"

/** A session that is over sends the tab to sign in; whatever asked waits for ever, as the page is leaving. */
const whileSignedIn = async (input: RequestInfo | URL | string, init?: RequestInit) => {
  const response = await fetch(input, init)
  return response.status === 401 && leaveToSignIn() ? new Promise<Response>(() => {}) : response
}

export const rpc = createTRPCClient<AdminRouter>({
  links: [
    splitLink({
      condition: (operation) => operation.type === "subscription",
      true: httpSubscriptionLink({ url }),
      false: httpBatchLink({
        url,
        maxURLLength: 4_000,
        fetch: (input, init) => whileSignedIn(input, init as RequestInit)
      })
    })
  ]
})
