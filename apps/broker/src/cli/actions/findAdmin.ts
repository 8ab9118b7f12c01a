import { Admins } from "@broker/core/admins/Admins"
import { AdminId, AdminNotFound } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { nameKey } from "@broker/domain/Server"
import { Effect, Schema } from "effect"

/** By id or by name, which only one admin has. */
export const findAdmin = Effect.fnUntraced(function* (typed: string) {
  const admins = yield* Admins
  const id = typed.trim().toLowerCase()
  if (Schema.is(Uuid)(id)) return yield* admins.get(defaultOrganizationId, AdminId.make(id))
  const found = (yield* admins.list(defaultOrganizationId)).find(({ name }) => nameKey(name) === nameKey(typed))
  return found ?? (yield* new AdminNotFound())
})
