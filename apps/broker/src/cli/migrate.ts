import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const flags = { dataDir: Flags.dataDir, json: Flags.json }

const status = Command.make("status", flags, (flags) =>
  later(
    () => import("./actions/migrate.ts"),
    ({ status }) => status(flags)
  )
).pipe(
  Command.withDescription("Show which migrations are applied and which are pending. Changes nothing."),
  Command.withShortDescription("Show what is applied and what is pending")
)

const up = Command.make("up", flags, (flags) =>
  later(
    () => import("./actions/migrate.ts"),
    ({ up }) => up(flags)
  )
).pipe(
  Command.withDescription(
    "Apply what is pending. One at a time, whoever else tries; each in a transaction of its own. Brokers of this " +
      "version and of the one before go on serving meanwhile."
  ),
  Command.withShortDescription("Apply what is pending")
)

export const migrate = Command.make("migrate").pipe(
  Command.withDescription("Bring the database's schema to this version. `broker serve` does it by itself."),
  Command.withShortDescription("Bring the database to this version"),
  Command.withSubcommands([status, up])
)
