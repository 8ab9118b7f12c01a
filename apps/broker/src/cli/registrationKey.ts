import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/registrationKeys.ts")

const create = Command.make(
  "create",
  {
    uses: Flag.Int("uses").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("How many servers may join with it (1)"),
      Flag.withDefault(1)
    ),
    expires: Flag.String("expires").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("How long it is good for, such as 12h or 30d (7d)"),
      Flag.withDefault("7d")
    ),
    tags: Flag.String("tag").pipe(
      Flag.withMetavar("TAG"),
      Flag.withDescription("A tag for the servers that join with it; repeatable"),
      Flag.atLeast(0)
    ),
    approval: Flag.Boolean("approval").pipe(
      Flag.withDescription("Servers that join wait until an admin approves them"),
      Flag.withDefault(false)
    ),
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("What it is for, to know it again"),
      Flag.optional
    ),
    group: Flag.String("group").pipe(
      Flag.withMetavar("GROUP"),
      Flag.withDescription("The group that servers join, by path or id"),
      Flag.optional
    ),
    replaces: Flag.String("replaces").pipe(
      Flag.withMetavar("SERVER"),
      Flag.withDescription("Let a new machine take the place of this server (id or name)"),
      Flag.optional
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ create }) => create(flags))
).pipe(
  Command.withDescription(
    "Create the secret that lets servers join. It is printed once and kept nowhere; alone on standard output, so that " +
      "it can be handed on."
  ),
  Command.withShortDescription("Create a key that lets servers join"),
  Command.withExamples([
    { command: "broker registration-key create", description: "For one server, within 7 days" },
    { command: "broker registration-key create --uses 50 --expires 30d --tag eu --name Frankfurt" },
    { command: "KEY=$(broker registration-key create)", description: "In a script" }
  ])
)

const list = Command.make(
  "list",
  {
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Exhausted, expired and revoked ones too"),
      Flag.withDefault(false)
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List the keys that can still be used, the newest first."),
  Command.withShortDescription("List keys")
)

const revoke = Command.make(
  "revoke",
  {
    id: Argument.String("ID").pipe(Argument.withDescription("The key's id, as `list` shows it")),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ revoke }) => revoke(flags))
).pipe(
  Command.withDescription("End a key, for good. Servers that joined with it stay."),
  Command.withShortDescription("End a key")
)

export const registrationKey = Command.make("registration-key").pipe(
  Command.withDescription("The secrets that let servers join."),
  Command.withShortDescription("Manage the secrets that let servers join"),
  Command.withSubcommands([create, list, revoke])
)
