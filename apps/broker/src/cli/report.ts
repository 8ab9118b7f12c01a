import { ReportFormat } from "@broker/domain/Report"
import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/reports.ts")

const list = Command.make(
  "list",
  {
    runs: Flag.Boolean("runs").pipe(
      Flag.withDescription("What was made instead, the newest first"),
      Flag.withDefault(false)
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List saved reports with their schedules, or, with --runs, what was made of them."),
  Command.withShortDescription("List reports"),
  Command.withExamples([{ command: "broker report list --runs --limit 10" }])
)

const run = Command.make(
  "run",
  {
    report: Argument.String("REPORT").pipe(Argument.withDescription("A saved report: its id or its name")),
    send: Flag.Boolean("send").pipe(
      Flag.withDescription("Send it to its addresses and tell webhooks, as on its schedule"),
      Flag.withDefault(false)
    ),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ run }) => run(flags))
).pipe(
  Command.withDescription(
    "Make a saved report now, and print the files with their hashes. A broker need not run; one that runs sends it."
  ),
  Command.withShortDescription("Make a report"),
  Command.withExamples([{ command: "broker report run 'Weekly usage'" }])
)

const download = Command.make(
  "download",
  {
    id: Argument.String("ID").pipe(Argument.withDescription("What was made, by its id as `list --runs` shows it")),
    format: Flag.Literals("format", ReportFormat.literals).pipe(
      Flag.withDescription("Which of its files (pdf)"),
      Flag.withDefault("pdf")
    ),
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to; a file that is not there yet (standard output)"),
      Flag.optional
    ),
    dataDir: Flags.dataDir
  },
  (flags) => later(load, ({ download }) => download(flags))
).pipe(
  Command.withDescription("Write a file of a report as it was made: the same bytes each time."),
  Command.withShortDescription("Download a file of a report"),
  Command.withExamples([{ command: "broker report download 019a… --format csv --output usage.csv" }])
)

export const report = Command.make("report").pipe(
  Command.withDescription(
    "How the fleet did over a time, as files that stay the same. Admins save reports in the dashboard."
  ),
  Command.withShortDescription("Make and download reports"),
  Command.withSubcommands([list, run, download])
)
