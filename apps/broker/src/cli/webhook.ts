import { eventTypes } from "@broker/domain/Event"
import { DeliveryState } from "@broker/domain/Webhook"
import { Argument, Command, Flag } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/webhooks.ts")

const id = Argument.String("ID").pipe(Argument.withDescription("The webhook's id, as `list` shows it"))
const common = { dataDir: Flags.dataDir, json: Flags.json }

const list = Command.make("list", common, (flags) => later(load, ({ list }) => list(flags))).pipe(
  Command.withDescription("List webhooks and how they do, the newest first."),
  Command.withShortDescription("List webhooks")
)

const create = Command.make(
  "create",
  {
    url: Argument.String("URL").pipe(Argument.withDescription("Where to send, such as https://example.com/events")),
    types: Flag.Literals(
      "type",
      eventTypes.filter((type) => type !== "webhook.test")
    ).pipe(Flag.withDescription("What it listens to; repeatable, at least one"), Flag.atLeast(1)),
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("What it is for, to know it again"),
      Flag.optional
    ),
    ...common
  },
  (flags) => later(load, ({ create }) => create(flags))
).pipe(
  Command.withDescription(
    "Have events sent to a URL. The secret that they are signed with is printed once and kept sealed; alone on standard " +
      "output, so that it can be handed on."
  ),
  Command.withShortDescription("Have events sent to a URL"),
  Command.withExamples([
    {
      command:
        "broker webhook create https://example.com/events --type server.liveness_changed --type server.registered --name Pager"
    }
  ])
)

const test = Command.make("test", { id, ...common }, (flags) => later(load, ({ test }) => test(flags))).pipe(
  Command.withDescription("Send a test event to a webhook, and to no other. A broker that runs sends it."),
  Command.withShortDescription("Send a test event")
)

const pause = Command.make("pause", { id, ...common }, (flags) => later(load, ({ pause }) => pause(flags))).pipe(
  Command.withDescription("Send nothing for now. What happens meanwhile waits."),
  Command.withShortDescription("Send nothing for now")
)

const resume = Command.make("resume", { id, ...common }, (flags) => later(load, ({ resume }) => resume(flags))).pipe(
  Command.withDescription("Send again, beginning with what waits, in order. Ends the rest of one that failed, too."),
  Command.withShortDescription("Send again")
)

const deliveries = Command.make(
  "deliveries",
  {
    id,
    states: Flag.Literals("state", DeliveryState.literals).pipe(
      Flag.withDescription("Only such; repeatable"),
      Flag.atLeast(0)
    ),
    ...Flags.list
  },
  (flags) => later(load, ({ deliveries }) => deliveries(flags))
).pipe(
  Command.withDescription("List what a webhook was sent and is to be sent, the newest first."),
  Command.withShortDescription("List what was sent")
)

const remove = Command.make("delete", { id, ...common }, (flags) => later(load, ({ remove }) => remove(flags))).pipe(
  Command.withDescription("Delete a webhook, with what waits for it."),
  Command.withShortDescription("Delete a webhook")
)

export const webhook = Command.make("webhook").pipe(
  Command.withDescription("Where other systems are told what happens."),
  Command.withShortDescription("Manage where events are sent"),
  Command.withSubcommands([list, create, test, pause, resume, deliveries, remove])
)
