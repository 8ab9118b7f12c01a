import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

export const serve = Command.make("serve", { port: Flags.port, host: Flags.host, dataDir: Flags.dataDir }, (flags) =>
  later(
    () => import("./actions/serve.ts"),
    ({ serve }) => serve(flags)
  )
).pipe(
  Command.withDescription(
    "Run the broker: API, dashboard and scheduled work, until it is stopped. Needs no set-up: without DATABASE_URL it " +
      "brings its own PostgreSQL. At the first start it prints the link by which the first admin is created."
  ),
  Command.withShortDescription("Run the broker"),
  Command.withExamples([
    { command: "broker serve", description: "On http://localhost:3000, with data in ./data" },
    { command: "broker serve --port 8080 --data-dir /var/lib/broker", description: "Elsewhere" },
    { command: "DATABASE_URL=postgres://broker:…@db/broker broker serve", description: "On a PostgreSQL of your own" }
  ])
)
