/** Mounts the admin router on the same HTTP server, running on the same services. */

import { maxCalls } from "@broker/admin-rpc/batch"
import { toTRPCError } from "@broker/admin-rpc/errors"
import { adminRouter } from "@broker/admin-rpc/router"
import { makeContext } from "@broker/admin-rpc/trpc"
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import type { Ticket } from "@broker/core/admin-sessions/Ticket"
import type * as Core from "@broker/core/Core"
import { isDatabaseAway } from "@broker/core/database/SqlFailure"
import { Installation } from "@broker/core/Installation"
import { SingleSignOnPolicy } from "@broker/core/single-sign-on/SingleSignOn"
import { fetchRequestHandler } from "@trpc/server/adapters/fetch"
import { Cause, Context, Deferred, Effect, Exit, Option, Schedule } from "effect"
import { HttpEffect, HttpRouter, HttpServerRequest } from "effect/http"
import { clientAddress, RequestId } from "../http/Edge.ts"
import { Closing } from "../http/Listener.ts"
import * as RateLimiting from "../http/RateLimiting.ts"
import * as SessionCookie from "../http/SessionCookie.ts"

const endpoint = "/rpc"

/** How soon a stream ends after its session did, or after its admin may no longer all that they could. */
const lookAtSessionEvery = "2 seconds"

/** How many procedures a request calls: tRPC takes their names from the path, with commas between them. */
const callsOf = (url: string) => {
  const [path = ""] = url.split("?", 1)
  return Math.min(path.split(/,|%2c/i).length, maxCalls)
}

/** The cookie would be lost, or could be read on its way, and it is not this machine that it goes to. */
const isInsecure = (audience: string, host: string) =>
  !audience.startsWith("https://") && !/^(localhost|127\.|\[::1\])/.test(host)

export const AdminRpc = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const services = yield* Effect.context<Core.Services>()
    const sessions = yield* AdminSessions
    const closing = yield* Closing
    const { audience, version } = yield* Installation
    const provider = yield* SingleSignOnPolicy
    const spend = yield* RateLimiting.makeSpend

    const whoever = Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (ticket: Ticket) => Effect.option(sessions.authenticate(ticket))
    })

    const handle = Effect.gen(function* () {
      yield* SessionCookie.sameSite
      const { headers, url } = yield* HttpServerRequest.HttpServerRequest
      const perCall = Effect.replicateEffect(callsOf(url), { discard: true })
      const ticket = yield* SessionCookie.read
      const address = Option.getOrNull(yield* clientAddress)
      // The address first, before anything is looked up for it; then whoever it turns out to be.
      const admin = yield* spend("dashboard", { address, credential: null }).pipe(
        perCall,
        Effect.andThen(whoever(ticket)),
        Effect.tap(
          Option.match({
            onNone: () => Effect.void,
            onSome: ({ id }) => perCall(spend("dashboard", { address: null, credential: id }))
          })
        ),
        Effect.tapDefect((defect) =>
          isDatabaseAway(defect)
            ? Effect.logWarning("The database is away")
            : Effect.logError("A session could not be looked up", defect)
        ),
        Effect.exit
      )
      // The request's own context goes on top, so that spans and logs of procedures belong to the request.
      const context = Context.merge(services, yield* Effect.context())
      const requestId = yield* RequestId

      const held = Exit.isSuccess(admin) && Option.isSome(admin.value) ? [...admin.value.value.permissions] : []
      // Whoever lost a permission asks anew, and gets what is left to them.
      const sessionOver = Option.match(ticket, {
        onNone: () => Effect.void,
        onSome: (ticket) =>
          sessions.look(ticket).pipe(
            Effect.map(Option.exists(({ permissions }) => held.every((permission) => permissions.has(permission)))),
            // As long as nobody can tell, it is not over.
            Effect.catchDefect(() => Effect.succeed(true)),
            Effect.repeat({ while: (goesOn) => goesOn, schedule: Schedule.spaced(lookAtSessionEvery) })
          )
      })

      // The request's scope closes once all of the answer is sent, or whoever asked is gone.
      const left = yield* Deferred.make<void>()
      yield* Effect.addFinalizer(() => Deferred.succeed(left, undefined))

      return yield* HttpEffect.fromWebHandler((req) =>
        fetchRequestHandler({
          endpoint,
          req,
          router: adminRouter,
          maxBatchSize: maxCalls,
          createContext: () => {
            // Too many requests, or who it is can't be told: that is no 401, and tRPC's clients hear of it in tRPC's shape.
            if (Exit.isFailure(admin)) throw toTRPCError(Cause.squash(admin.cause))
            return makeContext({
              services: context,
              admin: Option.getOrNull(admin.value),
              broker: {
                version,
                audience,
                clientAddress: address,
                insecure: isInsecure(audience, headers["host"] ?? ""),
                singleSignOn: provider?.name ?? null
              },
              requestId,
              signal: req.signal,
              closing: Effect.raceAllFirst([Deferred.await(closing.begun), Deferred.await(left), sessionOver])
            })
          }
        })
      )
    })

    yield* router.add("GET", `${endpoint}/*`, handle)
    yield* router.add("POST", `${endpoint}/*`, handle)
  })
)
