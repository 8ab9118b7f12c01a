/** Problems name their HTTP status once; tRPC's code follows from it. */
import { problemOf } from "@broker/domain/Problem"
import { TRPCError } from "@trpc/server"

const codes: Record<number, TRPCError["code"]> = {
  400: "BAD_REQUEST",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  409: "CONFLICT",
  410: "NOT_FOUND",
  422: "UNPROCESSABLE_CONTENT",
  429: "TOO_MANY_REQUESTS",
  503: "SERVICE_UNAVAILABLE"
}

/** A typed failure becomes the tRPC error of its status; anything else is a defect, of which nothing is told. */
export const toTRPCError = (failure: unknown) =>
  new TRPCError({ code: codes[problemOf(failure)?.status ?? 500] ?? "INTERNAL_SERVER_ERROR", cause: failure })
