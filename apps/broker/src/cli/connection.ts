import type { ConnectionStatus, Verdict } from "@broker/domain/Connection"
import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/connections.ts")

const statuses = ["intent", "active", "ended", "expired", "refused"] as const satisfies ReadonlyArray<ConnectionStatus>

const verdicts = ["confirmed", "client_only", "server_only", "byte_mismatch"] as const satisfies ReadonlyArray<Verdict>

const id = Argument.String("ID").pipe(Argument.withDescription("The connection's id, as `list` shows it"))

const list = Command.make(
  "list",
  {
    all: Flag.Boolean("all").pipe(Flag.withDescription("Those that are over too"), Flag.withDefault(false)),
    user: Flag.String("user").pipe(
      Flag.withMetavar("USER"),
      Flag.withDescription("Only this user's (id, or unique name or e-mail address)"),
      Flag.optional
    ),
    server: Flag.String("server").pipe(
      Flag.withMetavar("SERVER"),
      Flag.withDescription("Only those to this server (id or name)"),
      Flag.optional
    ),
    statuses: Flag.Literals("status", statuses).pipe(
      Flag.withDescription("Only those with this status; repeatable"),
      Flag.atLeast(0)
    ),
    verdicts: Flag.Literals("verdict", verdicts).pipe(
      Flag.withDescription("Only ended ones with this verdict; repeatable"),
      Flag.atLeast(0)
    ),
    search: Flag.String("search").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Part of the name of a user, a device or a server, or a whole id or address"),
      Flag.withDefault("")
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription(
    "List live connections and intents, the newest first. With --all, --status or --verdict those that are over too."
  ),
  Command.withShortDescription("List connections"),
  Command.withExamples([
    { command: "broker connection list --server fra-1" },
    { command: "broker connection list --verdict byte_mismatch", description: "Where the two sides disagree" }
  ])
)

const show = Command.make("show", { id, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ show }) => show(flags))
).pipe(
  Command.withDescription("Show a connection as its client and its server tell it."),
  Command.withShortDescription("Show a connection")
)

const disconnect = Command.make("disconnect", { id, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ disconnect }) => disconnect(flags))
).pipe(
  Command.withDescription("End a connection: its server is told to cut it with its next heartbeat."),
  Command.withShortDescription("End a connection")
)

const cuts = Command.make("cuts", { limit: Flags.limit, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ cuts }) => cuts(flags))
).pipe(
  Command.withDescription(
    "List the acts that cut connections (revocations, suspensions, disconnects), and how far their servers have come."
  ),
  Command.withShortDescription("List what was cut")
)

export const connection = Command.make("connection").pipe(
  Command.withDescription("Who is connected where, and who was."),
  Command.withShortDescription("Look after connections"),
  Command.withSubcommands([list, show, disconnect, cuts])
)
