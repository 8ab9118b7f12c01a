import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const list = Command.make("list", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(
    () => import("./actions/roles.ts"),
    ({ list }) => list(flags)
  )
).pipe(
  Command.withDescription("List the roles that come with the broker, and those that the organization made."),
  Command.withShortDescription("List roles")
)

export const role = Command.make("role").pipe(
  Command.withDescription("What admins may do. Roles are made and changed in the dashboard."),
  Command.withShortDescription("See what admins may do"),
  Command.withSubcommands([list])
)
