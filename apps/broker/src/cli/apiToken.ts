import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/apiTokens.ts")

const list = Command.make(
  "list",
  {
    all: Flag.Boolean("all").pipe(Flag.withDescription("Expired and revoked ones too"), Flag.withDefault(false)),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription(
    "List the API tokens that can be used, the newest first. Scopes in parentheses do nothing, because their owner may " +
      "not do it."
  ),
  Command.withShortDescription("List API tokens")
)

const revoke = Command.make(
  "revoke",
  {
    id: Argument.String("ID").pipe(Argument.withDescription("The token's id, as `list` shows it")),
    dataDir: Flags.dataDir,
    json: Flags.json
  },
  (flags) => later(load, ({ revoke }) => revoke(flags))
).pipe(
  Command.withDescription("End an API token, for good. Every node refuses it within a second."),
  Command.withShortDescription("End an API token")
)

export const apiToken = Command.make("api-token").pipe(
  Command.withDescription("The credentials of machines for the public API. Admins make them in the dashboard."),
  Command.withShortDescription("Manage the credentials of machines"),
  Command.withSubcommands([list, revoke])
)
