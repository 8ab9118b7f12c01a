import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

export const doctor = Command.make(
  "doctor",
  { port: Flags.port, host: Flags.host, dataDir: Flags.dataDir, json: Flags.json },
  (flags) =>
    later(
      () => import("./actions/doctor.ts"),
      ({ doctor }) => doctor(flags)
    )
).pipe(
  Command.withDescription(
    "Look for what keeps a broker from working well: settings, database, migrations, clock, permissions, encryption key, port, disk, " +
      "Node, dashboard, public address. Says what to do about each. Ends with 1 when something is wrong (✗); what is " +
      "merely worth a look (!) is no failure."
  ),
  Command.withShortDescription("Find out what is wrong, and what to do")
)
