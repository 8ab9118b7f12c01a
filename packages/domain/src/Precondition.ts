/** What a change was made under: that what it changes is still as its caller saw it (RFC 9110). */
import { Problem } from "./Problem.ts"

/** Somebody else was first. */
export class PreconditionFailed extends Problem<PreconditionFailed>()("PreconditionFailed", {
  code: "precondition_failed",
  status: 412,
  title: "Changed meanwhile",
  detail: "It is not as the tag in If-Match says any more.",
  remedy: "Read it again, decide again what to change, and send the new ETag in If-Match."
}) {}
