/** Who is behind a request, for the audit log. */
import { Actor } from "@broker/core/audit/Actor"
import { Effect, Option } from "effect"
import { clientAddress, RequestId } from "./Edge.ts"

/** The actor of the request being served, with its address and its id. */
export const requestActor = Effect.fnUntraced(function* (who: Pick<Actor["Service"], "kind" | "id" | "name">) {
  const address = Option.getOrNull(yield* clientAddress)
  return Actor.of({ ...who, address, requestId: yield* RequestId })
})
