import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/groups.ts")

const group = Argument.String("GROUP").pipe(Argument.withDescription("Its path, such as eu/frankfurt, or its id"))

/** What a group says of its servers, or leaves to those above it. */
const policy = {
  interval: Flag.String("heartbeat-interval").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription("How often its servers report, from 1s to 1h; inherit to leave it to the group above"),
    Flag.optional
  ),
  period: Flag.String("verification-period").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription("How often its servers prove their keys, from 1m to 30d; or inherit"),
    Flag.optional
  ),
  connections: Flag.String("connections").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("How many connections each of its servers may have at once; or inherit"),
    Flag.optional
  )
}

const list = Command.make("list", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription(
    "List groups, how many servers are in them and below, and what holds in them: in parentheses where it comes from above."
  ),
  Command.withShortDescription("List groups")
)

const create = Command.make(
  "create",
  {
    path: Argument.String("PATH").pipe(
      Argument.withDescription("Where it is to be, such as eu/frankfurt; the group above has to be there")
    ),
    ...policy,
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ create }) => create(flags))
).pipe(
  Command.withDescription("Create a group."),
  Command.withShortDescription("Create a group"),
  Command.withExamples([
    { command: "broker group create eu" },
    { command: "broker group create eu/frankfurt --heartbeat-interval 10s --connections 200" }
  ])
)

const update = Command.make(
  "update",
  {
    group,
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("Another name, at the same place"),
      Flag.optional
    ),
    ...policy,
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ update }) => update(flags))
).pipe(
  Command.withDescription("Change a group's name, or what it says of its servers. What is not named stays."),
  Command.withShortDescription("Change a group"),
  Command.withExamples([{ command: "broker group update eu/frankfurt --name fra --connections inherit" }])
)

const move = Command.make(
  "move",
  {
    group,
    into: Argument.String("INTO").pipe(Argument.withDescription("The group to put it into; / for none")),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ move }) => move(flags))
).pipe(
  Command.withDescription("Put a group, with all that is in it, into another one."),
  Command.withShortDescription("Move a group"),
  Command.withExamples([
    { command: "broker group move eu/frankfurt europe/germany" },
    { command: "broker group move eu/frankfurt /", description: "To the top" }
  ])
)

const remove = Command.make("delete", { group, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ remove }) => remove(flags))
).pipe(
  Command.withDescription(
    "Delete a group in which there is nothing: no servers, no groups, and no key that lets any in."
  ),
  Command.withShortDescription("Delete an empty group")
)

const command = Command.make("group").pipe(
  Command.withDescription("Folders of servers, and what holds in them."),
  Command.withShortDescription("Put the fleet in order"),
  Command.withSubcommands([list, create, update, move, remove])
)

export { command as group }
