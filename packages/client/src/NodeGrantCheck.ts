/** Grants checked on Node, for gateways that speak to the broker by themselves and use neither Effect nor the agent. */

import type { GrantClaims } from "@broker/domain/Grant"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Exit, Layer, Scope } from "effect"
import * as GrantCheck from "./GrantCheck.ts"

export interface GrantChecker extends AsyncDisposable {
  /** What a good grant says; rejects with a `GrantRefused`. The same one again is refused. */
  readonly check: (grant: string) => Promise<GrantClaims>
}

/** Keeps the broker's keys. The first check fetches them. */
export const grantChecker = async (options: Omit<GrantCheck.Options, "now">): Promise<GrantChecker> => {
  const scope = Scope.makeUnsafe()
  const { check } = await Layer.buildWithScope(NodeHttpClient.layerUndici, scope).pipe(
    Effect.flatMap((context) => Effect.provide(GrantCheck.make(options), context)),
    Effect.runPromise
  )
  return {
    check: (grant) => Effect.runPromise(check(grant)),
    [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
