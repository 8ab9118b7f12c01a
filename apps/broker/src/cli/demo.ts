import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"
import * as Output from "./Output.ts"

export const demo = Command.make(
  "demo",
  {
    port: Flags.port,
    dataDir: Flags.dataDir.pipe(Flag.withDescription("Where the demo keeps its data (./data/demo)"))
  },
  (flags) =>
    Effect.andThen(
      Output.text("Starting a broker and a fleet to look at…"),
      later(
        () => import("./actions/demo.ts"),
        ({ demo }) => demo(flags)
      )
    )
).pipe(
  Command.withDescription(
    "Run a broker with a fleet to look at: twelve gateways that register, report and now and then fail, and thirty clients that find them, connect and leave, all over HTTP. " +
      "Prints the dashboard's address and how to sign in. Ctrl-C ends all of it; the next run goes on where this one was."
  ),
  Command.withShortDescription("Run a broker with a fleet to look at"),
  Command.withExamples([{ command: "broker demo", description: "On http://localhost:3000, or the next free port" }])
)
