/** What the broker found suspicious, as it is read. `Audit.alarm` writes it. */
import type { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor } from "@broker/domain/Primitives"
import { type SecurityEvent, SecurityEventId, type SecurityEventsQuery } from "@broker/domain/SecurityEvent"
import { Context, Effect, Layer, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import * as SecurityEventsSql from "./SecurityEventsSql.ts"

export class SecurityEvents extends Context.Service<
  SecurityEvents,
  {
    /** The newest first. */
    list(
      organizationId: OrganizationId,
      query: SecurityEventsQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<SecurityEvent>; readonly nextCursor: string | null },
      InvalidCursor
    >
  }
>()("@broker/core/security-events/SecurityEvents") {
  static readonly layer = Layer.effect(
    SecurityEvents,
    Effect.gen(function* () {
      const statements = yield* SecurityEventsSql.make

      const list = Effect.fn("SecurityEvents.list")(
        function* (organizationId: OrganizationId, query: SecurityEventsQuery) {
          const before = yield* decodeCursor(query.cursor)
          const rows = yield* statements.list({ ...query, organizationId, before, limit: query.limit + 1 })
          const items = rows.slice(0, query.limit)
          const last = items.at(-1)
          return {
            items,
            nextCursor: rows.length > query.limit && last !== undefined ? Base64Url.encode(last.id) : null
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return SecurityEvents.of({ list })
    })
  )
}

const decodeId = Schema.decodeEffect(SecurityEventId)

const decodeCursor = (cursor: string | null): Effect.Effect<SecurityEventId | null, InvalidCursor> =>
  cursor === null
    ? Effect.succeed(null)
    : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
        Effect.flatMap(decodeId),
        Effect.mapError(() => new InvalidCursor())
      )
