import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/fleetGuards.ts")

const confirm = Command.make("confirm", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ confirm }) => confirm(flags))
).pipe(
  Command.withDescription(
    "Say that the servers which the guard holds are really gone: those that are not heard again are offline within seconds."
  ),
  Command.withShortDescription("Give up on held servers")
)

const list = Command.make("list", { dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List when the guard held servers, the newest first, and why."),
  Command.withShortDescription("List guards")
)

const guard = Command.make("guard").pipe(
  Command.withDescription(
    "When much of the fleet falls silent at once, the guard holds judgement: servers are unknown instead of offline."
  ),
  Command.withShortDescription("See and end the fleet guard"),
  Command.withSubcommands([list, confirm])
)

export const fleet = Command.make("fleet").pipe(
  Command.withDescription("The fleet as a whole."),
  Command.withShortDescription("Look after the fleet"),
  Command.withSubcommands([guard])
)
