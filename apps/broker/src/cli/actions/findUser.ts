import { Users } from "@broker/core/users/Users"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { nameKey } from "@broker/domain/Server"
import { type ListedUser, UserId, UserNotFound } from "@broker/domain/User"
import { Effect, Schema } from "effect"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"

/** Every user with the text somewhere in the name or the e-mail address. */
const having = Effect.fnUntraced(function* (text: string) {
  const users = yield* Users
  const found: Array<ListedUser> = []
  let cursor: string | null = null
  do {
    const query = { text: text.slice(0, 128).toWellFormed(), states: [], sort: "name" as const, limit: 200, cursor }
    const page: Effect.Success<ReturnType<typeof users.list>> = yield* users.list(defaultOrganizationId, query)
    found.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return found
})

/** By id; or by name or e-mail address, if that is only one user's. */
export const findUser = Effect.fnUntraced(function* (typed: string) {
  const text = typed.trim()
  const id = text.toLowerCase()
  if (Schema.is(Uuid)(id)) {
    return yield* Users.use((users) => users.get(defaultOrganizationId, UserId.make(id)))
  }
  const meant = (yield* having(text)).filter(
    ({ email, name }) => nameKey(name) === nameKey(text) || email?.toLowerCase() === text.toLowerCase()
  )
  const [user, another] = meant
  if (user === undefined) return yield* new UserNotFound()
  if (another === undefined) return user
  return yield* new CommandFailed({
    code: ExitCode.refused,
    what: `${meant.length} users are called ${JSON.stringify(text)}.`,
    remedy: `Say which by the id: ${meant.map(({ email, id }) => (email === null ? id : `${id} (${email})`)).join(", ")}.`
  })
})
