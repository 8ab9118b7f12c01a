import { Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/audit.ts")

const time = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("TIME"), Flag.withDescription(description), Flag.optional)

const installation = Flag.Boolean("installation").pipe(
  Flag.withDescription(
    "The chain of the installation, where what belongs to nobody is, such as sign-ins of unknown names"
  ),
  Flag.withDefault(false)
)

const verify = Command.make(
  "verify",
  {
    installation: Flag.Boolean("installation").pipe(
      Flag.withDescription("Only the chain of the installation (both); a checkpoint is compared with it then"),
      Flag.withDefault(false)
    ),
    checkpoint: Flag.String("checkpoint").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A checkpoint that was kept elsewhere, to compare with"),
      Flag.optional
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ verify }) => verify(flags))
).pipe(
  Command.withDescription(
    "Walk the audit log from end to end: find every entry that was changed, is missing or changed its place, and " +
      "check all signed checkpoints. Ends with 1 when anything is wrong. docs/audit-log.md tells how to check the log " +
      "without the broker."
  ),
  Command.withShortDescription("Check that the audit log is as it was written"),
  Command.withExamples([
    { command: "broker audit verify" },
    { command: "broker audit verify --checkpoint checkpoint.jws", description: "With one kept on another machine" }
  ])
)

const exportCommand = Command.make(
  "export",
  {
    installation,
    format: Flag.Literals("format", ["csv", "json"]).pipe(
      Flag.withDescription("Lines of CSV, or of JSON (json)"),
      Flag.withDefault("json" as const)
    ),
    from: time("from", "Entries from this time on, such as 2026-11-01 or 2026-11-01T08:00:00Z"),
    to: time("to", "Entries before this time"),
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
    "Write the audit log out, the oldest entry first. Each line has the text that was hashed, so that SHA-256 alone is " +
      "enough to check it; the last one has the newest signed checkpoint."
  ),
  Command.withShortDescription("Write the audit log to a file"),
  Command.withExamples([{ command: "broker audit export --format csv --from 2026-11-01 --output november.csv" }])
)

const checkpoint = Command.make("checkpoint", { installation, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ checkpoint }) => checkpoint(flags))
).pipe(
  Command.withDescription(
    "Sign the end of the audit log now, and print it: a line to be kept where nobody can reach it who can reach the " +
      "database."
  ),
  Command.withShortDescription("Print the signed end of the audit log"),
  Command.withExamples([{ command: "broker audit checkpoint > checkpoint.jws" }])
)

export const audit = Command.make("audit").pipe(
  Command.withDescription("The log of who did what, which proves that nobody has changed it."),
  Command.withShortDescription("Verify and export the audit log"),
  Command.withSubcommands([verify, exportCommand, checkpoint])
)
