/**
 * Where the broker connects on the word of an admin, and where not (W2): to what anybody on the internet may reach,
 * unless its operator allows more. A name is looked up once per attempt, every address that it has is judged, and the
 * connection goes to one of those and to nothing else: a name can't turn into another address in between.
 */
import { isIP } from "node:net"
import { WebhookTargetRefused } from "@broker/domain/Webhook"
import { Clock, Context, Deferred, Duration, Effect, Fiber, Layer, Semaphore } from "effect"
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

/** So many names that were slow are remembered at most. */
const mostSlow = 1_000

export class Targets extends Context.Service<
  Targets,
  {
    /** Waits for its turn where many names are looked up, which says nothing about the target. */
    find(url: string): Effect.Effect<Target, WebhookTargetRefused>
  }
>()("@broker/core/webhooks/Targets") {
  static readonly layer = Layer.effect(
    Targets,
    Effect.gen(function* () {
      const policy = yield* WebhooksPolicy
      const resolve = yield* Resolver
      const scope = yield* Effect.scope
      // A look-up takes one of the process's four threads for as long as a name server likes, and passwords need them too.
      const threads = yield* Semaphore.make(2)
      const underWay = new Map<string, Deferred.Deferred<ReadonlyArray<string> | null>>()
      /** Until when nobody asks again for a name that nobody answered for: one such must not hold up all others. */
      const slow = new Map<string, number>()

      const giveUp = Effect.fnUntraced(function* (
        host: string,
        found: Deferred.Deferred<ReadonlyArray<string> | null>
      ) {
        yield* Effect.sleep(policy.lookUp)
        if (slow.size >= mostSlow) slow.clear()
        slow.set(host, (yield* Clock.currentTimeMillis) + Duration.toMillis(policy.slowNames))
        yield* Deferred.succeed(found, null)
      })

      /** Keeps its thread until there is an answer, however late, though nobody waits for it any more. */
      const ask = Effect.fnUntraced(function* (host: string, found: Deferred.Deferred<ReadonlyArray<string> | null>) {
        const patience = yield* Effect.forkChild(giveUp(host, found))
        const addresses = yield* resolve(host)
        yield* Fiber.interrupt(patience)
        yield* Deferred.succeed(found, addresses)
      })

      /** The addresses of a name; null where it is not known in time. Who asks for the same name meanwhile is told the same. */
      const lookUp = Effect.fnUntraced(function* (host: string) {
        const until = slow.get(host)
        if (until !== undefined) {
          if ((yield* Clock.currentTimeMillis) < until) return null
          slow.delete(host)
        }
        const known = underWay.get(host)
        if (known !== undefined) return yield* Deferred.await(known)
        const found = Deferred.makeUnsafe<ReadonlyArray<string> | null>()
        yield* Effect.suspend(() => {
          underWay.set(host, found)
          return threads.withPermit(ask(host, found))
        }).pipe(
          Effect.ensuring(
            Effect.suspend(() => {
              underWay.delete(host)
              return Deferred.succeed(found, null)
            })
          ),
          Effect.forkIn(scope, { startImmediately: true })
        )
        return yield* Deferred.await(found)
      })

      const isAllowed = (address: string) => isPublic(address) || Networks.hold(policy.allowedNetworks, address)

      const find = Effect.fn("Targets.find")(function* (text: string) {
        const url = URL.parse(text)
        if (url === null) return yield* refused("unresolved", "This is no URL.")
        if (url.protocol !== "https:" && !(policy.http && url.protocol === "http:")) {
          return yield* refused("http", "The broker sends by https only.")
        }
        const host = hostOf(url)
        const addresses = isIP(host) === 0 ? yield* lookUp(host) : [host]
        if (addresses === null) {
          return yield* refused(
            "unresolved",
            `${host} could not be looked up within ${Duration.format(policy.lookUp)}.`
          )
        }
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
