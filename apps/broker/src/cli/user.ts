import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/users.ts")

const user = Argument.String("USER").pipe(
  Argument.withDescription("Their id; or the name or e-mail address, if nobody else has it")
)

const email = Flag.String("email").pipe(
  Flag.withMetavar("ADDRESS"),
  Flag.withDescription("E-mail address, to tell people of one name apart"),
  Flag.optional
)

const note = Flag.String("note").pipe(
  Flag.withMetavar("TEXT"),
  Flag.withDescription("Whatever admins should know"),
  Flag.optional
)

const create = Command.make(
  "create",
  {
    name: Flag.String("name").pipe(Flag.withMetavar("NAME"), Flag.withDescription("What they are called")),
    email,
    note,
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ create }) => create(flags))
).pipe(
  Command.withDescription("Create a user. To connect, they need a personal key."),
  Command.withShortDescription("Create a user"),
  Command.withExamples([
    { command: "broker user create --name 'Ada Lovelace' --email ada@example.com" },
    { command: "ID=$(broker user create --name ada --json | jq -r .id)", description: "In a script" }
  ])
)

const list = Command.make(
  "list",
  {
    states: Flag.Literals("state", ["active", "suspended"]).pipe(
      Flag.withDescription("Only those in this state; repeatable"),
      Flag.atLeast(0)
    ),
    search: Flag.String("search").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Part of a name or an e-mail address, or a whole id"),
      Flag.withDefault("")
    ),
    sort: Flag.Literals("sort", ["name", "-name", "lastSeen", "-lastSeen", "created", "-created"]).pipe(
      Flag.withDescription("Order; a minus turns it round"),
      Flag.withDefault("name" as const)
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List users, with their keys, devices and live connections."),
  Command.withShortDescription("List users")
)

const show = Command.make("show", { user, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ show }) => show(flags))
).pipe(Command.withDescription("Show all that is known of a user."), Command.withShortDescription("Show a user"))

const update = Command.make(
  "update",
  {
    user,
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("What they are called now"),
      Flag.optional
    ),
    email: Flag.String("email").pipe(
      Flag.withMetavar("ADDRESS"),
      Flag.withDescription("E-mail address; '' for none"),
      Flag.optional
    ),
    note,
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ update }) => update(flags))
).pipe(
  Command.withDescription("Change what is known of a user. What is left out stays."),
  Command.withShortDescription("Change a user")
)

const suspend = Command.make(
  "suspend",
  { user, reason: Flags.reason, dataDir: Flags.dataDir, json: Flags.json },
  (flags) => later(load, ({ suspend }) => suspend(flags))
).pipe(
  Command.withDescription("Shut a user out until they are let in again. Their live connections are cut."),
  Command.withShortDescription("Shut a user out for now")
)

const resume = Command.make("resume", { user, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ resume }) => resume(flags))
).pipe(
  Command.withDescription("Let a suspended user connect again, with the keys they have."),
  Command.withShortDescription("Let a suspended user in again")
)

const remove = Command.make("delete", { user, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ remove }) => remove(flags))
).pipe(
  Command.withDescription(
    "Delete a user with keys and devices, for good. Their live connections are cut; those of the past stay in the " +
      "history, with the names they had."
  ),
  Command.withShortDescription("Delete a user for good")
)

const group = Command.make("user").pipe(
  Command.withDescription("The people who connect."),
  Command.withShortDescription("Manage the people who connect"),
  Command.withSubcommands([create, list, show, update, suspend, resume, remove])
)

export { group as user }
