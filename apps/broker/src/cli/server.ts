import type { ServerSort } from "@broker/domain/Fleet"
import type { ServerStatus } from "@broker/domain/Server"
import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/servers.ts")

const statuses = [
  "online",
  "degraded",
  "offline",
  "unknown",
  "never_seen",
  "pending",
  "draining",
  "maintenance",
  "suspended",
  "retired"
] as const satisfies ReadonlyArray<ServerStatus>

const sorts = [
  "name",
  "-name",
  "lastSeen",
  "-lastSeen",
  "registered",
  "-registered",
  "version",
  "-version",
  "load",
  "-load"
] as const satisfies ReadonlyArray<ServerSort>

const server = Argument.String("SERVER").pipe(Argument.withDescription("Its id or its name"))

const list = Command.make(
  "list",
  {
    statuses: Flag.Literals("status", statuses).pipe(
      Flag.withDescription("Only those with this status; repeatable"),
      Flag.atLeast(0)
    ),
    tags: Flag.String("tag").pipe(
      Flag.withMetavar("TAG"),
      Flag.withDescription("Only those with this tag; repeatable"),
      Flag.atLeast(0)
    ),
    search: Flag.String("search").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("The same as SEARCH, as one text"),
      Flag.withDefault("")
    ),
    terms: Argument.String("SEARCH").pipe(
      Argument.withDescription(
        "Words of a name, and terms such as tag:eu, cap:vpn, version:<1.4 and status:offline, all of which have to hold; `-- -tag:eu` turns one round"
      ),
      Argument.atLeast(0)
    ),
    sort: Flag.Literals("sort", sorts).pipe(
      Flag.withDescription("Order; a minus turns it round"),
      Flag.withDefault("name" as const)
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List servers and how they are."),
  Command.withShortDescription("List servers"),
  Command.withExamples([
    { command: "broker server list --status offline --status degraded", description: "What needs a look" },
    { command: "broker server list 'tag:eu cap:vpn version:<1.4'", description: "What is to be updated" },
    { command: "broker server list --json | jq -r '.items[].name'", description: "In a script" }
  ])
)

const show = Command.make("show", { server, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ show }) => show(flags))
).pipe(Command.withDescription("Show all that is known of a server."), Command.withShortDescription("Show a server"))

const approve = Command.make("approve", { server, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ approve }) => approve(flags))
).pipe(
  Command.withDescription("Let a pending or suspended server in."),
  Command.withShortDescription("Let a pending or suspended server in")
)

const suspend = Command.make(
  "suspend",
  { server, reason: Flags.reason, dataDir: Flags.dataDir, json: Flags.json },
  (flags) => later(load, ({ suspend }) => suspend(flags))
).pipe(
  Command.withDescription("Shut a server out until it is approved again."),
  Command.withShortDescription("Shut a server out for now")
)

const retire = Command.make(
  "retire",
  { server, reason: Flags.reason, dataDir: Flags.dataDir, json: Flags.json },
  (flags) => later(load, ({ retire }) => retire(flags))
).pipe(
  Command.withDescription("Shut a server out for good. Its key pair can never be used again; its name can."),
  Command.withShortDescription("Shut a server out for good")
)

const limit = Command.make(
  "limit",
  {
    server,
    connections: Argument.String("CONNECTIONS").pipe(
      Argument.withDescription("How many connections it may have at once; 0 takes none; inherit leaves it to its group")
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ limit }) => limit(flags))
).pipe(
  Command.withDescription("Limit how many connections a server may have at once. Those that it has beyond go on."),
  Command.withShortDescription("Limit a server's connections")
)

const assign = Command.make(
  "assign",
  {
    server,
    group: Flag.String("group").pipe(
      Flag.withMetavar("GROUP"),
      Flag.withDescription("The group to put it into, by path or id; / for none"),
      Flag.optional
    ),
    tags: Flag.String("tag").pipe(
      Flag.withMetavar("TAG"),
      Flag.withDescription("A tag to give it; -TAG takes one back; repeatable"),
      Flag.atLeast(0)
    ),
    labels: Flag.String("label").pipe(
      Flag.withMetavar("KEY=VALUE"),
      Flag.withDescription("A label to give it; KEY= takes one back; repeatable"),
      Flag.atLeast(0)
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ assign }) => assign(flags))
).pipe(
  Command.withDescription(
    "Put a server into a group, and give it tags and labels beside those that it declares. It cannot take them back " +
      "itself, nor are its own taken from it."
  ),
  Command.withShortDescription("Give a server a group, tags and labels"),
  Command.withExamples([
    { command: "broker server assign fra-1 --group eu/frankfurt --tag fast --label rack=b2" },
    { command: "broker server assign fra-1 --tag=-fast --label rack=", description: "Takes them back" }
  ])
)

const group = Command.make("server").pipe(
  Command.withDescription("The gateways of the fleet."),
  Command.withShortDescription("Look after the fleet"),
  Command.withSubcommands([list, show, approve, assign, limit, suspend, retire])
)

export { group as server }
