import type { HandleClientError } from "@sveltejs/kit/hooks"
import { explain } from "#lib/problems.ts"

/** Errors that pages throw on purpose have their words already. */
export const handleError: HandleClientError = ({ error, kind }) => {
  if (kind !== "unknown") return {}
  const { away, message, remedy } = explain(error)
  return { message, away, ...(remedy === null ? {} : { remedy }) }
}
