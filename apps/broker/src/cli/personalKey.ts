import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/personalKeys.ts")

const id = Argument.String("ID").pipe(Argument.withDescription("The key's id, as `list` shows it"))

const create = Command.make(
  "create",
  {
    user: Flags.user,
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("What it is for, to know it again"),
      Flag.optional
    ),
    expires: Flag.String("expires").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("How long it is good for, such as 12h or 90d, or `never` (90d)"),
      Flag.withDefault("90d")
    ),
    connections: Flag.Int("connections").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("How many connections may be open by it at once"),
      Flag.optional
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ create }) => create(flags))
).pipe(
  Command.withDescription(
    "Create the secret that a user's devices sign in with. It is printed once and kept nowhere; alone on standard " +
      "output, so that it can be handed on."
  ),
  Command.withShortDescription("Create a key that a user signs in with"),
  Command.withExamples([
    { command: "broker personal-key create --user ada", description: "For 90 days" },
    { command: "broker personal-key create --user ada@example.com --name laptop --expires never --connections 2" },
    { command: "KEY=$(broker personal-key create --user ada)", description: "In a script" }
  ])
)

const list = Command.make("list", { user: Flags.user, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List all keys of a user, the newest first."),
  Command.withShortDescription("List a user's keys")
)

const show = Command.make("show", { id, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ show }) => show(flags))
).pipe(
  Command.withDescription("Show all that is known of a key, but not its secret."),
  Command.withShortDescription("Show a key")
)

const rotate = Command.make(
  "rotate",
  {
    id,
    overlap: Flag.String("overlap").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("How long the old key goes on, such as 1h, or 0s to end it at once (24h)"),
      Flag.withDefault("24h")
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ rotate }) => rotate(flags))
).pipe(
  Command.withDescription(
    "Replace a key by a new one with the same name, limit and lifetime. The old one goes on for a while, so that the " +
      "user's devices can change over. The new secret is printed once, alone on standard output."
  ),
  Command.withShortDescription("Replace a key, with overlap")
)

const revoke = Command.make("revoke", { id, reason: Flags.reason, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ revoke }) => revoke(flags))
).pipe(
  Command.withDescription("End a key, for good. Its live connections are cut."),
  Command.withShortDescription("End a key")
)

export const personalKey = Command.make("personal-key").pipe(
  Command.withDescription("The secrets that users sign in with."),
  Command.withShortDescription("Manage the secrets that users sign in with"),
  Command.withSubcommands([create, list, show, rotate, revoke])
)
