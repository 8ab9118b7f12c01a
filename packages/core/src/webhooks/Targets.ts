/**
 * Where the broker connects on the word of an admin, and where not (W2): to what anybody on the internet may reach,
 * unless its operator allows more. A name is looked up once per attempt, every address that it has is judged, and the
 * connection goes to one of those and to nothing else: a name can't turn into another address in between.
 */
import { isIP } from "node:net"
import { WebhookTargetRefused } from "@broker/domain/Webhook"
import { Context, Effect, Layer, Semaphore } from "effect"
import * as Networks from "../api-tokens/Networks.ts"
import { Resolver } from "../verification/CapabilityChecks.ts"
import { isPublic } from "../verification/PublicAddress.ts"
import { WebhooksPolicy } from "./WebhooksPolicy.ts"

/** Where to connect to. */
export interface Target {
  readonly url: URL
  /** All of the addresses of its name, each of them allowed. At least one. */
  readonly addresses: ReadonlyArray<string>
}

const refused = (reason: WebhookTargetRefused["reason"], detail: string) => new WebhookTargetRefused({ reason, detail })

/** An IPv6 address stands in brackets in a URL. */
export const hostOf = ({ hostname }: URL) => hostname.replace(/^\[(.*)\]$/, "$1")

export class Targets extends Context.Service<
  Targets,
  {
    /** Takes as long as a name server does: callers set the limit. */
    find(url: string): Effect.Effect<Target, WebhookTargetRefused>
  }
>()("@broker/core/webhooks/Targets") {
  static readonly layer = Layer.effect(
    Targets,
    Effect.gen(function* () {
      const policy = yield* WebhooksPolicy
      const resolve = yield* Resolver
      // A look-up takes one of the process's four threads for as long as a name server likes, and passwords need them too.
      const lookUps = yield* Semaphore.make(2)

      const isAllowed = (address: string) => isPublic(address) || Networks.hold(policy.allowedNetworks, address)

      const find = Effect.fn("Targets.find")(function* (text: string) {
        const url = URL.parse(text)
        if (url === null) return yield* refused("unresolved", "This is no URL.")
        if (url.protocol !== "https:" && !(policy.http && url.protocol === "http:")) {
          return yield* refused("http", "The broker sends by https only.")
        }
        const host = hostOf(url)
        const addresses = isIP(host) === 0 ? yield* lookUps.withPermit(resolve(host)) : [host]
        if (addresses.length === 0) return yield* refused("unresolved", `${host} has no address.`)
        if (!addresses.every(isAllowed)) {
          // Which address it is may be nobody's business who asks from outside.
          return yield* refused("address", `${host} is not an address on the public internet, or not only.`)
        }
        return { url, addresses } satisfies Target
      })

      return Targets.of({ find })
    })
  )
}
