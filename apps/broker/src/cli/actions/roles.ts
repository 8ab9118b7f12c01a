import { Roles } from "@broker/core/roles/Roles"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { Role } from "@broker/domain/Role"
import { Effect, type Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import * as Output from "../Output.ts"

const encodePage = Schema.encodeSync(Page(Role))

export const list = (flags: { readonly dataDir: Option.Option<string>; readonly json: boolean }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const items = yield* Roles.use((roles) => roles.list(defaultOrganizationId))
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["NAME", "ADMINS", "PERMISSIONS", "ID", "FOR"],
          items.map(({ admins, builtIn, description, id, name, permissions }) => [
            name,
            String(admins),
            String(permissions.length),
            builtIn ? "–" : id,
            Output.or(description)
          ])
        ),
        "There are no roles."
      )
    })
  )
