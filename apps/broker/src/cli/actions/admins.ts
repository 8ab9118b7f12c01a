import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { Admins } from "@broker/core/admins/Admins"
import { type Authority, everything } from "@broker/core/admins/Authority"
import type { Actor } from "@broker/core/audit/Actor"
import { type AdminId, AdminName, ListedAdmin } from "@broker/domain/Admin"
import { CreatedLink } from "@broker/domain/AdminLink"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { DateTime, Effect, type Option, Redacted, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { findAdmin } from "./findAdmin.ts"
import { findRole } from "./findRole.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

type OfAdmin = Common & { readonly admin: string }

const encode = Schema.encodeSync(ListedAdmin)
const encodePage = Schema.encodeSync(Page(ListedAdmin))
const encodeLink = Schema.encodeSync(CreatedLink)

/** Whoever may run commands here may do everything; the database itself keeps the last owner. */
const by: Authority = everything(defaultOrganizationId)

const factorsOf = ({ factors }: ListedAdmin) =>
  Output.list([
    ...(factors.totp ? ["app"] : []),
    ...(factors.passkeys === 0 ? [] : [factors.passkeys === 1 ? "passkey" : `${factors.passkeys} passkeys`])
  ])

const row = (now: DateTime.Utc) => (admin: ListedAdmin) => [
  admin.name,
  admin.roleName,
  admin.state,
  factorsOf(admin),
  String(admin.sessions),
  Output.relative(admin.lastSignInAt, now),
  admin.id
]

export const list = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const items = yield* Admins.use((admins) => admins.list(defaultOrganizationId))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(["NAME", "ROLE", "STATE", "FACTORS", "SESSIONS", "LAST SIGN-IN", "ID"], items.map(row(now))),
        "There is no admin yet. `broker admin create NAME` makes one."
      )
    })
  )

/** The link alone on standard output, so that it can be handed on. */
const shown = Effect.fnUntraced(function* (flags: Common, link: CreatedLink, told: string) {
  if (flags.json) return yield* Output.json(encodeLink(link))
  yield* Output.text(Redacted.value(link.url))
  yield* Output.note("", `${told} It works once, and ends ${Output.relative(link.expiresAt, yield* DateTime.now)}.`)
})

export const invite = Effect.fnUntraced(function* (flags: Common & { readonly name: string; readonly role: string }) {
  const name = yield* Schema.decodeEffect(AdminName)(flags.name.trim()).pipe(
    Effect.mapError(() => usage(`${JSON.stringify(flags.name)} is no name for an admin.`, "Take 2 to 64 characters."))
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const role = yield* findRole(flags.role)
      const link = yield* AdminLinks.use((links) => links.invite(by, { name, role: role.id }))
      yield* shown(flags, link, `Send the link to ${name}, who becomes ${role.name} by it.`)
    })
  )
})

export const resetPassword = (flags: OfAdmin) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const admin = yield* findAdmin(flags.admin)
      const link = yield* AdminLinks.use((links) => links.reset(by, admin.id))
      yield* shown(flags, link, `Send the link to ${admin.name}, who sets a new password by it.`)
    })
  )

/** What a command does to one admin, and how it tells. */
const withAdmin = <E>(
  flags: OfAdmin,
  change: (id: AdminId) => Effect.Effect<ListedAdmin, E, Admins | Actor>,
  told: (admin: ListedAdmin) => string
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const { id } = yield* findAdmin(flags.admin)
      const admin = yield* change(id)
      yield* Output.either(flags.json, encode(admin), [told(admin)])
    })
  )

export const changeRole = (flags: OfAdmin & { readonly role: string }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const { id } = yield* findAdmin(flags.admin)
      const role = yield* findRole(flags.role)
      const admin = yield* Admins.use((admins) => admins.changeRole(by, id, role.id))
      yield* Output.either(flags.json, encode(admin), [`${admin.name} is ${admin.roleName} now, and signs in anew.`])
    })
  )

export const disable = (flags: OfAdmin) =>
  withAdmin(
    flags,
    (id) => Admins.use((admins) => admins.disable(by, id)),
    ({ name }) => `${name} is disabled. \`broker admin enable ${JSON.stringify(name)}\` lets them in again.`
  )

export const enable = (flags: OfAdmin) =>
  withAdmin(
    flags,
    (id) => Admins.use((admins) => admins.enable(by, id)),
    ({ name }) => `${name} may sign in again.`
  )

export const resetFactors = (flags: OfAdmin) =>
  withAdmin(
    flags,
    (id) => Admins.use((admins) => admins.resetFactors(by, id)),
    ({ name }) => `${name} has no second factor any more, and is signed out.`
  )
