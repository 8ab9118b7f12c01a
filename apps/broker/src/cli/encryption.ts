import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/encryption.ts")

const flags = { dataDir: Flags.dataDir, json: Flags.json }

const status = Command.make("status", flags, (flags) => later(load, ({ status }) => status(flags))).pipe(
  Command.withDescription("Show which key seals, which others are there, and how many secrets are under each."),
  Command.withShortDescription("Show which keys are in use")
)

const rewrap = Command.make("rewrap", flags, (flags) => later(load, ({ rewrap }) => rewrap(flags))).pipe(
  Command.withDescription(
    "Seal every secret anew under ENCRYPTION_KEY, which takes over from the former key. That one has to be in " +
      "PREVIOUS_ENCRYPTION_KEYS, and every running broker has to have both. They go on serving meanwhile. What is " +
      "broken off is taken up by typing it again."
  ),
  Command.withShortDescription("Seal everything under the key of now")
)

const generate = Command.make("generate", { json: Flags.json }, (flags) =>
  later(load, ({ generate }) => generate(flags))
).pipe(
  Command.withDescription("Print a fresh key for ENCRYPTION_KEY. Nothing else is done with it."),
  Command.withShortDescription("Print a fresh key"),
  Command.withExamples([{ command: "(umask 077; broker encryption generate > encryption-key)" }])
)

export const encryption = Command.make("encryption").pipe(
  Command.withDescription(
    "Manage the key that secrets in the database are sealed under: docs/encryption.md. Keep a copy of it apart from " +
      "the database's backups."
  ),
  Command.withShortDescription("Manage the encryption key"),
  Command.withSubcommands([status, rewrap, generate])
)
