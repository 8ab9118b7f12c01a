import { UserId } from "@broker/domain/User"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { explain } from "#lib/problems.ts"

const isUserId = Schema.is(UserId)
const missing = () => error(404, "There is no such user")

/** Loads something of the user in the URL; without such a user the page says so. */
export const ofUser = async <A>(id: string, load: (id: UserId) => Promise<A>): Promise<A> => {
  if (!isUserId(id)) missing()
  try {
    return await load(UserId.make(id))
  } catch (failure) {
    if (explain(failure).code === "user_not_found") missing()
    throw failure
  }
}
