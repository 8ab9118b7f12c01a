import type { Actor } from "@broker/core/audit/Actor"
import type { Cuts } from "@broker/core/connections/Cuts"
import { Users } from "@broker/core/users/Users"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { ListedUser, UserPatch, UserRequest, type UserSort, type UserState, UsersQuery } from "@broker/domain/User"
import { DateTime, Effect, Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { cutBy, cutWords } from "./cutting.ts"
import { findUser } from "./findUser.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

type OfUser = Common & { readonly user: string }

const encode = Schema.encodeSync(ListedUser.json)
const encodePage = Schema.encodeSync(Page(ListedUser.json))

const refused = (error: Schema.SchemaError) =>
  usage(
    wrongFlags(error, { name: "--name", email: "--email", note: "--note", text: "--search" }),
    "Name: 1 to 128 characters, none of them invisible. E-mail: an address. Note: 2000 characters at most."
  )

/** An address that was left empty is none. */
const emailOf = (email: string) => (email.trim() === "" ? null : email.trim())

export const create = Effect.fnUntraced(function* (
  flags: Common & {
    readonly name: string
    readonly email: Option.Option<string>
    readonly note: Option.Option<string>
  }
) {
  const request = yield* Schema.decodeEffect(UserRequest)(
    {
      name: flags.name.trim(),
      email: Option.getOrNull(Option.map(flags.email, emailOf)),
      note: Option.getOrElse(flags.note, () => "")
    },
    { errors: "all" }
  ).pipe(Effect.mapError(refused))
  yield* onDatabase({ dataDir: flags.dataDir, mayBegin: true }, () =>
    Effect.gen(function* () {
      const user = yield* Users.use((users) => users.create(defaultOrganizationId, request))
      yield* Output.either(flags.json, encode(user), [user.id])
      if (!flags.json) {
        yield* Output.note(
          "",
          `Created ${user.name}.`,
          `A key to sign in with:  broker personal-key create --user ${user.id}`
        )
      }
    })
  )
})

const row = (now: DateTime.Utc) => (user: ListedUser) => [
  user.name,
  Output.or(user.email),
  user.state,
  String(user.keys),
  String(user.devices),
  String(user.liveConnections),
  Output.relative(user.lastSeenAt, now),
  user.id
]

export const list = Effect.fnUntraced(function* (
  flags: Common & {
    readonly states: ReadonlyArray<UserState>
    readonly search: string
    readonly sort: UserSort
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const query = yield* Schema.decodeEffect(UsersQuery)({
    ...(yield* pageOf(flags)),
    text: flags.search,
    states: flags.states,
    sort: flags.sort
  }).pipe(
    Effect.mapError((error) => usage(wrongFlags(error, { text: "--search" }), "Take a text of 128 characters at most."))
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const page = yield* Users.use((users) => users.list(defaultOrganizationId, query))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(
          ["NAME", "E-MAIL", "STATE", "KEYS", "DEVICES", "CONNECTIONS", "LAST SEEN", "ID"],
          page.items.map(row(now))
        ),
        "No user matches. `broker user create --name …` makes one."
      )
    })
  )
})

const details = (user: ListedUser, now: DateTime.Utc) =>
  Output.fields([
    ["name", user.name],
    ["id", user.id],
    ["e-mail", Output.or(user.email)],
    [
      "state",
      `${user.state}${user.stateReason === null ? "" : ` (${user.stateReason})`}, ${Output.relative(user.stateSince, now)}`
    ],
    ["keys", String(user.keys)],
    ["devices", String(user.devices)],
    ["connections", String(user.liveConnections)],
    ["last seen", Output.relative(user.lastSeenAt, now)],
    ["created", Output.relative(user.createdAt, now)],
    ["note", Output.or(user.note)]
  ])

/** What a command does to one user, and how it tells. */
const withUser = <E>(
  flags: OfUser,
  change: (user: ListedUser) => Effect.Effect<ListedUser, E, Users | Actor>,
  told: (user: ListedUser, now: DateTime.Utc) => ReadonlyArray<string>
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const user = yield* Effect.flatMap(findUser(flags.user), change)
      yield* Output.either(flags.json, encode(user), told(user, yield* DateTime.now))
    })
  )

/** The same for what cuts connections: how many is told, too. */
const cutting = <E>(
  flags: OfUser,
  change: (user: ListedUser) => Effect.Effect<ListedUser, E, Users | Cuts | Actor>,
  told: (user: ListedUser) => string
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const found = yield* findUser(flags.user)
      const { connections, subject: user } = yield* cutBy(change(found))
      yield* Output.either(flags.json, { ...encode(user), cutConnections: connections }, [
        `${told(user)} ${cutWords(connections)}`
      ])
    })
  )

export const show = (flags: OfUser) => withUser(flags, Effect.succeed, details)

export const update = Effect.fnUntraced(function* (
  flags: OfUser & {
    readonly name: Option.Option<string>
    readonly email: Option.Option<string>
    readonly note: Option.Option<string>
  }
) {
  const { email, name, note } = flags
  const patch = yield* Schema.decodeEffect(UserPatch)(
    {
      ...(Option.isSome(name) ? { name: name.value.trim() } : {}),
      ...(Option.isSome(email) ? { email: emailOf(email.value) } : {}),
      ...(Option.isSome(note) ? { note: note.value } : {})
    },
    { errors: "all" }
  ).pipe(Effect.mapError(refused))
  yield* withUser(flags, ({ id }) => Users.use((users) => users.update(defaultOrganizationId, id, patch)), details)
})

export const suspend = (flags: OfUser & { readonly reason: string }) =>
  cutting(
    flags,
    ({ id }) => Users.use((users) => users.suspend(defaultOrganizationId, id, flags.reason)),
    ({ name }) => `${name} is suspended.`
  )

export const resume = (flags: OfUser) =>
  withUser(
    flags,
    ({ id }) => Users.use((users) => users.resume(defaultOrganizationId, id)),
    ({ name }) => [`${name} may connect again.`]
  )

export const remove = (flags: OfUser) =>
  cutting(
    flags,
    (user) =>
      Effect.as(
        Users.use((users) => users.delete(defaultOrganizationId, user.id)),
        user
      ),
    ({ name }) => `${name} is deleted, with keys and devices.`
  )
