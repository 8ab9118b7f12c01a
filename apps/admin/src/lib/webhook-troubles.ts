/** Webhooks that somebody should look at, for the overview. */
import { FailingWebhook } from "@broker/domain/Webhook"
import { Schema } from "effect"
import type { Trouble } from "./monitoring.ts"
import { maybeMillis } from "./time.ts"

export const decodeFailing = Schema.decodeUnknownSync(Schema.Array(FailingWebhook))

/** Those that need a person: first those that get nothing any more. */
export const webhookTroubles = (failing: ReadonlyArray<typeof FailingWebhook.Type>): ReadonlyArray<Trouble> =>
  failing
    .toSorted((one, other) => Number(other.state === "paused") - Number(one.state === "paused"))
    .map(({ failingSince, id, lastProblem, name, state }) => ({
      key: `webhook ${id}`,
      word: state === "paused" ? "Paused" : "Failing",
      tone: state === "paused" ? "bad" : "warn",
      name: `Webhook: ${name}`,
      why:
        state === "paused"
          ? `The broker paused it: ${lastProblem ?? "nothing got through for days"}`
          : (lastProblem ?? "It failed several times in a row."),
      at: maybeMillis(failingSince),
      href: `/webhooks/${id}`,
      see: "See why"
    }))
