/** Conditional requests (RFC 9110), and fields of choice. */
import { PageLimit, Text } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { idempotencyKey } from "./IdempotencyKey.ts"

/** An entity tag that the client has seen: 304 while nothing has changed. */
export const ifNoneMatch = { "if-none-match": Schema.optionalKey(Schema.String) }

/** For whatever changes something that is there: 412 where it is not as the tag says any more. */
export const ifMatch = { "if-match": Schema.optionalKey(Schema.String), ...idempotencyKey }

/** `?fields=id,name`: what of an answer is wanted. */
export const sparse = { fields: Schema.optionalKey(Text(1_024)) }
export const Sparse = Schema.Struct(sparse)

/** What every list takes. */
export const paged = {
  limit: Schema.optionalKey(PageLimit),
  cursor: Schema.optionalKey(Text(3_000)),
  ...sparse
}
export const Paged = Schema.Struct(paged)
