import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const create = Command.make(
  "create",
  {
    argument: Argument.String("NAME").pipe(
      Argument.withDescription("What the admin signs in by; an e-mail address will do"),
      Argument.optional
    ),
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("The same, as a flag"),
      Flag.optional
    ),
    role: Flag.Literals("role", ["owner", "admin", "operator", "auditor", "viewer"]).pipe(
      Flag.withDescription("What the admin may do (owner)"),
      Flag.withDefault("owner" as const)
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) =>
    later(
      () => import("./actions/admin.ts"),
      ({ create }) => create(flags)
    )
).pipe(
  Command.withDescription(
    "Create an admin. The password is asked for on a terminal, and read from standard input elsewhere; never a flag, " +
      "where other users of the machine could see it."
  ),
  Command.withShortDescription("Create an admin"),
  Command.withExamples([
    { command: "broker admin create ada", description: "Asks for the password" },
    { command: "broker admin create ada --role viewer < password.txt", description: "From a file" }
  ])
)

export const admin = Command.make("admin").pipe(
  Command.withDescription("The people who sign in to the dashboard."),
  Command.withShortDescription("Manage the people who sign in"),
  Command.withSubcommands([create])
)
