import { eventTypes } from "@broker/domain/Event"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { ExitCode } from "./ExitCode.ts"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/events.ts")

const types = Flag.Literals("type", eventTypes).pipe(
  Flag.withMetavar("TYPE"),
  Flag.withDescription("Only events of this type, such as server.registered (see docs/events.md); repeatable"),
  Flag.atLeast(0)
)

const subject = Flag.String("subject").pipe(
  Flag.withMetavar("ID"),
  Flag.withDescription("Only what is about this server, connection or other subject, by its id"),
  Flag.optional
)

const time = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("TIME"), Flag.withDescription(description), Flag.optional)

const list = Command.make(
  "list",
  {
    types,
    subject,
    from: time("from", "Events from this time on, such as 2026-11-01 or 2026-11-01T08:00:00Z"),
    to: time("to", "Events before this time"),
    search: Flag.String("search").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Part of the name of a server, user, device or actor that is concerned"),
      Flag.withDefault("")
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List what happened, the newest first, for as long as events are kept."),
  Command.withShortDescription("List events"),
  Command.withExamples([
    { command: "broker event list --search fra-1" },
    { command: "broker event list --type security_event.raised --from 2026-11-01" }
  ])
)

const follow = Command.make(
  "follow",
  {
    types,
    subject,
    after: Flag.String("after").pipe(
      Flag.withMetavar("PLACE"),
      Flag.withDescription("Go on after this place, as a line before showed it (from now on)"),
      Flag.optional
    ),
    count: Flag.Int("count").pipe(Flag.withMetavar("N"), Flag.withDescription("End after so many"), Flag.optional),
    dataDir: Flags.dataDir,
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Print each event as a line of JSON, for programs"),
      Flag.withDefault(false)
    )
  },
  (flags) => later(load, ({ follow }) => follow(flags))
).pipe(
  Command.withDescription(
    "Print what happens as it happens, until it is stopped. A broker has to run: it is the one that puts events in order."
  ),
  Command.withShortDescription("Print events as they happen"),
  Command.withExamples([
    { command: "broker event follow --type server.liveness_changed" },
    { command: "broker event follow --json --after 1234", description: "Go on where another run ended" }
  ]),
  // To be stopped is no failure of it.
  Command.provideEffectDiscard(
    Effect.sync(() => {
      process.exitCode = ExitCode.ok
    })
  )
)

export const event = Command.make("event").pipe(
  Command.withDescription("What happened: to servers and connections, to the fleet, and by whom."),
  Command.withShortDescription("Look back at events, and follow them"),
  Command.withSubcommands([list, follow])
)
