/** Answers that a client keeps, and asks about again: by a tag, as RFC 9110 has it. */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"

/** Weak comparison: the tags' texts count, and not whether they are weak. */
const opaque = (tag: string) => (tag.startsWith("W/") ? tag.slice(2) : tag)

const everyTag = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g

/** The tags that a condition names, weak ones with their `W/`. */
export const tagsIn = (condition: string): ReadonlyArray<string> => condition.match(everyTag) ?? []

/** Whether `If-None-Match` names the tag: `*` names all there are. */
export const matches = (condition: string, etag: string) =>
  condition.trim() === "*" || tagsIn(condition).some((tag) => opaque(tag) === opaque(etag))

/** The answer with its tag, or 304 without a body for whoever has it already. Never kept for anybody else. */
export const conditional = <E, R>(
  etag: string,
  condition: string | undefined,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => {
  const headers = { etag, "cache-control": "private, no-cache" }
  return condition !== undefined && matches(condition, etag)
    ? Effect.succeed(HttpServerResponse.empty({ status: 304, headers }))
    : Effect.map(answer, HttpServerResponse.setHeaders(headers))
}
