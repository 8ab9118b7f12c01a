/** Where a client or a server learns what this broker is. */
import { Installation } from "@broker/core/Installation"
import { DateTime, Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

export const WellKnown = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { audience } = yield* Installation

    const broker = Effect.map(DateTime.now, (now) =>
      HttpServerResponse.jsonUnsafe({
        audience,
        apiVersions: [{ version: "v1", status: "current", sunset: null }],
        time: DateTime.formatIso(now),
        jwksUrl: `${audience}/.well-known/jwks.json`,
        docsUrl: `${audience}/docs`
      })
    )

    yield* router.add("GET", "/.well-known/broker", broker)
    // Grants come with connections; until then there is no key to publish, which is what an empty set says.
    yield* router.add("GET", "/.well-known/jwks.json", HttpServerResponse.jsonUnsafe({ keys: [] }))
  })
)
