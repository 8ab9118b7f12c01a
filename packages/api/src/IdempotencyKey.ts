/** `Idempotency-Key`: within 24 hours, the same key and body stand for the same request. */
import { Schema } from "effect"

/** The header, for endpoints that create. */
export const idempotencyKey = {
  "idempotency-key": Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^[\x21-\x7e]{1,128}$/u, { message: "must be 1 to 128 visible ASCII characters" })
    )
  )
}
