import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { judge, Refusal } from "../src/Refusal.ts"

const Stage = Schema.Literals(["joining", "member"])
const Code = Schema.Union([
  Schema.Literals([
    "server_retired",
    "server_suspended",
    "challenge_failed",
    "unknown_credential",
    "wrong_credential_kind"
  ]),
  Schema.String
])
const ServerFault = Schema.Int.check(Schema.isBetween({ minimum: 500, maximum: 599 }))

const refusal = (reason: string, problemStatus: number | undefined) =>
  new Refusal({ reason, detail: "", problemStatus, retryAfter: Duration.zero })

describe("Refusal", () => {
  it.effect.prop(
    "H8 takes nothing but the broker's word for more than a passing fault",
    [Code, Stage],
    ([code, stage]) => Effect.sync(() => assert.strictEqual(judge(refusal(code, undefined), stage), "retry"))
  )

  it.effect.prop(
    "H8 tries again after a fault of the broker",
    [Schema.String, ServerFault, Stage],
    ([code, status, stage]) => Effect.sync(() => assert.strictEqual(judge(refusal(code, status), stage), "retry"))
  )

  it.effect.prop("H8 ends no membership over a code that it does not know", [Schema.String], ([code]) =>
    Effect.sync(() => assert.strictEqual(judge(refusal(code, 403), "member"), "retry"))
  )
})
