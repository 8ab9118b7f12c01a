import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/inventory.ts")

const format = Flag.Literals("format", ["json", "csv"])

const exportCommand = Command.make(
  "export",
  {
    format: format.pipe(
      Flag.withDescription("One JSON document, or CSV for spreadsheets (json)"),
      Flag.withDefault("json" as const)
    ),
    output: Flag.String("output").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write to this file, which must not exist yet (standard output)"),
      Flag.optional
    ),
    dataDir: Flags.dataDir
  },
  (flags) => later(load, (actions) => actions.exportTo(flags))
).pipe(
  Command.withDescription(
    "Write groups and servers out: what admins say of them, which an import reads, and what they are, for reading. " +
      "Retired servers are left out."
  ),
  Command.withShortDescription("Write groups and servers to a file"),
  Command.withExamples([
    { command: "broker inventory export --output inventory.json" },
    { command: "broker inventory export --format csv --output inventory.csv", description: "For a spreadsheet" }
  ])
)

const importCommand = Command.make(
  "import",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("What an export wrote, edited; or parts of it")),
    format: format.pipe(Flag.withDescription("Of the file (as its name ends)"), Flag.optional),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Tell what would be done, and do nothing"),
      Flag.withDefault(false)
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, (actions) => actions.importFrom(flags))
).pipe(
  Command.withDescription(
    "Make and change groups, and change what admins say of servers: group, tags, labels and connection limit. All of " +
      "it is done, or nothing. Nothing is deleted, and no server is made: servers join by registering. Ends with 2, " +
      "and does nothing, when something in the file is wrong. docs/inventory.md tells what files look like."
  ),
  Command.withShortDescription("Change groups and servers by a file"),
  Command.withExamples([
    { command: "broker inventory import inventory.csv --dry-run", description: "See what would be done" },
    { command: "broker inventory import inventory.csv" }
  ])
)

export const inventory = Command.make("inventory").pipe(
  Command.withDescription("Groups, and what admins say of servers, as a file that goes both ways."),
  Command.withShortDescription("Export and import groups and servers"),
  Command.withSubcommands([exportCommand, importCommand])
)
