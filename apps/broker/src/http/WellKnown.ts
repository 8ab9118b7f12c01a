/** Where a client or a server learns what this broker is. */
import { Installation } from "@broker/core/Installation"
import { SigningKeys } from "@broker/core/signing-keys/SigningKeys"
import { DateTime, Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

export const WellKnown = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { audience } = yield* Installation
    const keys = yield* SigningKeys

    const broker = Effect.map(DateTime.now, (now) =>
      HttpServerResponse.jsonUnsafe({
        audience,
        apiVersions: [{ version: "v1", status: "current", sunset: null }],
        time: DateTime.formatIso(now),
        jwksUrl: `${audience}/.well-known/jwks.json`,
        docsUrl: `${audience}/docs`
      })
    )

    // A key is published for longer than this before it signs, so that whoever keeps the set never meets one unknown.
    const published = Effect.map(keys.published, (set) =>
      HttpServerResponse.jsonUnsafe(set, { headers: { "cache-control": "public, max-age=300" } })
    )

    yield* router.add("GET", "/.well-known/broker", broker)
    yield* router.add("GET", "/.well-known/jwks.json", published)
  })
)
