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

const load = () => import("./actions/admins.ts")

const someone = Argument.String("ADMIN").pipe(Argument.withDescription("Their name or id"))

/** One that comes with the broker, or one of the organization's own. */
const roleDescription = "What they may do: a role's name or id, as `broker role list` shows it"

const list = Command.make("list", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List admins, with their roles and second factors."),
  Command.withShortDescription("List admins")
)

const invite = Command.make(
  "invite",
  {
    name: Argument.String("NAME").pipe(
      Argument.withDescription("What they sign in by; with single sign-on, their e-mail address")
    ),
    role: Flag.String("role").pipe(
      Flag.withMetavar("ROLE"),
      Flag.withDescription(`${roleDescription} (viewer)`),
      Flag.withDefault("viewer")
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ invite }) => invite(flags))
).pipe(
  Command.withDescription(
    "Make a link by which somebody becomes an admin. It works once, for seven days; alone on standard output, so that " +
      "it can be handed on."
  ),
  Command.withShortDescription("Invite an admin by a link"),
  Command.withExamples([{ command: "broker admin invite bob@example.com --role operator" }])
)

const changeRole = Command.make(
  "role",
  {
    admin: someone,
    role: Argument.String("ROLE").pipe(Argument.withDescription(roleDescription)),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ changeRole }) => changeRole(flags))
).pipe(
  Command.withDescription(
    "Give an admin another role. Their sessions end. The last owner stays one, until somebody else is."
  ),
  Command.withShortDescription("Change what an admin may do"),
  Command.withExamples([{ command: "broker admin role bob auditor" }])
)

const disable = Command.make("disable", { admin: someone, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ disable }) => disable(flags))
).pipe(
  Command.withDescription(
    "Shut an admin out until they are let in again. Their sessions end, their API tokens do nothing."
  ),
  Command.withShortDescription("Shut an admin out for now")
)

const enable = Command.make("enable", { admin: someone, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ enable }) => enable(flags))
).pipe(
  Command.withDescription("Let a disabled admin sign in again, with the role they had."),
  Command.withShortDescription("Let a disabled admin in again")
)

const resetPassword = Command.make(
  "reset-password",
  { admin: someone, dataDir: Flags.dataDir, json: Flags.json },
  (flags) => later(load, ({ resetPassword }) => resetPassword(flags))
).pipe(
  Command.withDescription(
    "Make a link by which an admin sets a new password. It works once, for an hour; a second factor is asked for all " +
      "the same."
  ),
  Command.withShortDescription("Make a link to set a new password")
)

const resetFactors = Command.make(
  "reset-factors",
  { admin: someone, dataDir: Flags.dataDir, json: Flags.json },
  (flags) => later(load, ({ resetFactors }) => resetFactors(flags))
).pipe(
  Command.withDescription(
    "Take every second factor away from an admin who lost them: app, passkeys and recovery codes. Their sessions end."
  ),
  Command.withShortDescription("Take away second factors that were lost")
)

export const admin = Command.make("admin").pipe(
  Command.withDescription("The people who sign in to the dashboard."),
  Command.withShortDescription("Manage the people who sign in"),
  Command.withSubcommands([create, list, invite, changeRole, disable, enable, resetPassword, resetFactors])
)
