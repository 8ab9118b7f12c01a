/** Problems name their HTTP status once; tRPC's code follows from it. */
import { isDatabaseAway } from "@broker/core/database/SqlFailure"
import { Problem, problemOf } from "@broker/domain/Problem"
import { TRPCError } from "@trpc/server"

const codes: Record<number, TRPCError["code"]> = {
  400: "BAD_REQUEST",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  409: "CONFLICT",
  410: "NOT_FOUND",
  413: "PAYLOAD_TOO_LARGE",
  422: "UNPROCESSABLE_CONTENT",
  429: "TOO_MANY_REQUESTS",
  503: "SERVICE_UNAVAILABLE"
}

/** As the public API puts it. */
class DatabaseUnavailable extends Problem<DatabaseUnavailable>()("DatabaseUnavailable", {
  code: "database_unavailable",
  status: 503,
  title: "Database unavailable",
  detail: "The broker can't reach its database at the moment.",
  remedy: "Try again in a few seconds."
}) {}

/** A typed failure becomes the tRPC error of its status; anything else is a defect, of which nothing is told. */
export const toTRPCError = (failure: unknown) => {
  const cause = isDatabaseAway(failure) ? new DatabaseUnavailable() : failure
  return new TRPCError({ code: codes[problemOf(cause)?.status ?? 500] ?? "INTERNAL_SERVER_ERROR", cause })
}
