/** Where the next page of a list begins: the sort key and the id of the last row, opaque to the caller. */
import { InvalidCursor, Text, Uuid } from "@broker/domain/Primitives"
import { Effect, Schema } from "effect"
import { Base64Url } from "effect/encoding"

/** Sort key and id of a row. */
export const Position = Schema.Tuple([Text(1_024), Uuid])
export type Position = typeof Position.Type

const PositionFromText = Schema.fromJsonString(Position)

/** Reads a cursor; null is the start of the list. */
export const decode = (cursor: string | null): Effect.Effect<Position | null, InvalidCursor> =>
  cursor === null
    ? Effect.succeed(null)
    : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
        Effect.flatMap((text) => Schema.decodeEffect(PositionFromText)(text)),
        Effect.mapError(() => new InvalidCursor())
      )

/** Cuts what a statement read, which is one row more than a page, into the page and its cursor. */
export const page = <A>(rows: ReadonlyArray<A>, limit: number, position: (row: A) => Position) => {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return {
    items,
    nextCursor: rows.length > limit && last !== undefined ? Base64Url.encode(JSON.stringify(position(last))) : null
  }
}
