import { Permission } from "@broker/domain/Permission"
import type { HandleClientError } from "@sveltejs/kit/hooks"
import { Schema } from "effect"
import { explain } from "#lib/problems.ts"

const isPermission = Schema.is(Permission)

/** Errors that pages throw on purpose have their words already. */
export const handleError: HandleClientError = ({ error, kind }) => {
  if (kind !== "unknown") return {}
  const { away, message, names, remedy } = explain(error)
  const permission = names["permission"]?.find(isPermission)
  return {
    message,
    away,
    ...(remedy === null ? {} : { remedy }),
    ...(permission === undefined ? {} : { permission })
  }
}
