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
      Flag.withDescription("Part of a name, or a whole id or address"),
      Flag.withDefault("")
    ),
    sort: Flag.Literals("sort", ["name", "-name", "lastSeen", "-lastSeen", "registered", "-registered"]).pipe(
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
    connections: Argument.Int("CONNECTIONS").pipe(
      Argument.withDescription("How many connections it may have at once; 0 takes none")
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ limit }) => limit(flags))
).pipe(
  Command.withDescription("Limit how many connections a server may have at once. Those that it has beyond go on."),
  Command.withShortDescription("Limit a server's connections")
)

const group = Command.make("server").pipe(
  Command.withDescription("The gateways of the fleet."),
  Command.withShortDescription("Look after the fleet"),
  Command.withSubcommands([list, show, approve, limit, suspend, retire])
)

export { group as server }
