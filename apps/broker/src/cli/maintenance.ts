import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/maintenance.ts")

const list = Command.make("list", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription(
    "List maintenance windows, the latest first; those that are over for longer than 30 days are left out."
  ),
  Command.withShortDescription("List maintenance windows")
)

const announce = Command.make(
  "announce",
  {
    server: Flag.String("server").pipe(
      Flag.withMetavar("SERVER"),
      Flag.withDescription("This server (id or name)"),
      Flag.optional
    ),
    group: Flag.String("group").pipe(
      Flag.withMetavar("GROUP"),
      Flag.withDescription("This group with all below it (path or id)"),
      Flag.optional
    ),
    from: Flag.String("from").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("When it begins, such as 2026-12-01T22:00:00Z (now)"),
      Flag.optional
    ),
    duration: Flag.String("for").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("How long it takes, such as 2h; 31 days at most")
    ),
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("What is done in it"),
      Flag.withDefault("")
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ announce }) => announce(flags))
).pipe(
  Command.withDescription(
    "Announce maintenance of a server, of a group with all below it, or, with neither, of the whole fleet: what is down in it needs nobody's attention, and is left out of availability."
  ),
  Command.withShortDescription("Announce maintenance"),
  Command.withExamples([
    { command: "broker maintenance announce --server fra-1 --for 2h --reason 'new disks'" },
    { command: "broker maintenance announce --group eu/frankfurt --from 2026-12-01T22:00:00Z --for 4h" }
  ])
)

const callOff = Command.make(
  "call-off",
  {
    id: Argument.String("ID").pipe(Argument.withDescription("The window's id, as `list` shows it")),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ callOff }) => callOff(flags))
).pipe(
  Command.withDescription("End a window that has begun, or delete one that has not."),
  Command.withShortDescription("Call maintenance off")
)

export const maintenance = Command.make("maintenance").pipe(
  Command.withDescription("Times in which nobody expects servers to be there."),
  Command.withShortDescription("Announce maintenance"),
  Command.withSubcommands([list, announce, callOff])
)
