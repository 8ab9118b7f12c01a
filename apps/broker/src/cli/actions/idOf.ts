import { Effect, Schema } from "effect"

/** An id as it was typed; what can't be one is nobody's. */
export const idOf = <Id extends string, E>(
  schema: Schema.Codec<Id, string>,
  text: string,
  notFound: () => E
): Effect.Effect<Id, E> => Schema.decodeEffect(schema)(text.trim().toLowerCase()).pipe(Effect.mapError(notFound))
