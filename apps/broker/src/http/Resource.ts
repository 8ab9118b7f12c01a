/**
 * How machines are shown things: as JSON with a tag that changes with what is shown, and only the fields that they ask
 * for.
 *
 * A tag has two parts: `"<what can be changed>.<all>"`. What the broker observes (when a server was heard last, how many
 * connections it has) moves all the time, and no change can overwrite it; so `If-Match` compares what can be changed,
 * and `If-None-Match` all. Fields of choice do not enter: whoever reads some of a thing has the tag of the whole.
 */
import { hash } from "node:crypto"
import type { Answer } from "@broker/core/KeptAnswers"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { ValidationFailed } from "@broker/domain/Problem"
import { Effect, Redacted, Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { conditional, matches, tagsIn } from "./EntityTag.ts"

type Json = { readonly [field: string]: unknown }

const asObject = Schema.decodeUnknownEffect(Schema.Record(Schema.String, Schema.Unknown))

/** Never kept for anybody else, and asked about before it is used again. */
const uncached = { "cache-control": "private, no-cache" }

const digest = (value: unknown) => hash("sha256", JSON.stringify(value), "base64url").slice(0, 22)

/** Strong comparison, of what can be changed. */
const changeable = (tag: string) => tag.split(".")[0]

/** Whether `If-Match` names the tag; a weak tag names nothing. */
const holds = (condition: string, tag: string) =>
  condition.trim() === "*" || tagsIn(condition).some((given) => changeable(given) === changeable(tag))

export interface Resource<A> {
  /** Which fields of it are shown. Names that it does not have are refused, with those that it has. */
  readonly choose: (fields: string | undefined) => Effect.Effect<(shown: Json) => Json, ValidationFailed>
  /** One of it, with its tag; 304 for whoever has it as it is. */
  readonly one: <E, R>(
    read: Effect.Effect<A, E, R>,
    asked: { readonly condition?: string | undefined; readonly fields?: string | undefined }
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E | ValidationFailed, R>
  /** One of it, whose tag comes from elsewhere. */
  readonly shown: (
    value: A,
    fields: string | undefined
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, ValidationFailed>
  /** With a tag where the list takes a condition: 304 for whoever has the page as it is. */
  readonly page: <E, R>(
    read: Effect.Effect<{ readonly items: ReadonlyArray<A>; readonly nextCursor: string | null }, E, R>,
    fields: string | undefined,
    asked?: { readonly condition: string | undefined }
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E | ValidationFailed, R>
  /** What a change made of it; a secret that is shown this once stands beside it. */
  readonly changed: (value: A, secret?: Readonly<Record<string, Redacted.Redacted>>) => Effect.Effect<Answer>
  /** Fails where it is not as the condition says. */
  readonly unchanged: (value: A, condition: string) => Effect.Effect<void, PreconditionFailed>
}

/** `fields` are all there are; `observed` are those of them that the broker alone moves. */
export const resource = <A, I>(
  schema: Schema.Codec<A, I>,
  fields: object,
  observed: ReadonlyArray<string> = []
): Resource<A> => {
  const encodeUnknown = Schema.encodeUnknownEffect(Schema.toCodecJson(schema))
  const known = Object.keys(fields)
  const moving = new Set(observed)

  const encode = (value: A): Effect.Effect<Json> =>
    Effect.orDie(Effect.flatMap(encodeUnknown(value), (shown) => asObject(shown)))

  const tagOf = (shown: Json) => {
    if (moving.size === 0) return `"${digest(shown)}"`
    const kept = Object.entries(shown).filter(([field]) => !moving.has(field))
    return `"${digest(kept)}.${digest(shown)}"`
  }

  const choose: Resource<A>["choose"] = (asked) => {
    if (asked === undefined) return Effect.succeed((shown) => shown)
    const chosen = new Set(asked.split(",").map((field) => field.trim()))
    return [...chosen].every((field) => known.includes(field))
      ? Effect.succeed((shown) => Object.fromEntries(Object.entries(shown).filter(([field]) => chosen.has(field))))
      : Effect.fail(
          new ValidationFailed({
            errors: [
              { pointer: "/query/fields", message: `must name some of ${known.join(", ")}, with commas between` }
            ]
          })
        )
  }

  return {
    choose,
    one: Effect.fnUntraced(function* (read, { condition, fields }) {
      const cut = yield* choose(fields)
      const shown = yield* encode(yield* read)
      const headers = { etag: tagOf(shown), ...uncached }
      return condition !== undefined && matches(condition, headers.etag)
        ? HttpServerResponse.empty({ status: 304, headers })
        : HttpServerResponse.jsonUnsafe(cut(shown), { headers })
    }),
    shown: Effect.fnUntraced(function* (value, fields) {
      const cut = yield* choose(fields)
      return HttpServerResponse.jsonUnsafe(cut(yield* encode(value)))
    }),
    page: Effect.fnUntraced(function* (read, fields, asked) {
      const cut = yield* choose(fields)
      const { items, nextCursor } = yield* read
      const page = { items: yield* Effect.forEach(items, (item) => Effect.map(encode(item), cut)), nextCursor }
      const answer = HttpServerResponse.jsonUnsafe(page, { headers: uncached })
      return asked === undefined
        ? answer
        : yield* conditional(`"${digest(page)}"`, asked.condition, Effect.succeed(answer))
    }),
    changed: Effect.fnUntraced(function* (value, secret = {}) {
      const shown = yield* encode(value)
      const body = JSON.stringify({
        ...shown,
        ...Object.fromEntries(Object.entries(secret).map(([name, text]) => [name, Redacted.value(text)]))
      })
      return { status: 200, headers: { etag: tagOf(shown) }, body }
    }),
    unchanged: Effect.fnUntraced(function* (value, condition) {
      if (!holds(condition, tagOf(yield* encode(value)))) return yield* new PreconditionFailed()
    })
  }
}
