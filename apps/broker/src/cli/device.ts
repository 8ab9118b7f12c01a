import { Argument, Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

const load = () => import("./actions/devices.ts")

const id = Argument.String("ID").pipe(Argument.withDescription("The device's id, as `list` shows it"))

const list = Command.make("list", { user: Flags.user, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ list }) => list(flags))
).pipe(
  Command.withDescription("List all devices of a user, the last seen first."),
  Command.withShortDescription("List a user's devices")
)

const block = Command.make("block", { id, reason: Flags.reason, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ block }) => block(flags))
).pipe(
  Command.withDescription("Shut a device out until it is unblocked. Its live connections are cut."),
  Command.withShortDescription("Shut a device out for now")
)

const unblock = Command.make("unblock", { id, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ unblock }) => unblock(flags))
).pipe(Command.withDescription("Let a blocked device in again."), Command.withShortDescription("Let a device in again"))

const remove = Command.make("remove", { id, dataDir: Flags.dataDir, json: Flags.json }, (flags) =>
  later(load, ({ remove }) => remove(flags))
).pipe(
  Command.withDescription(
    "Forget a device, so that it makes room for another. Its live connections are cut; it may sign in anew."
  ),
  Command.withShortDescription("Forget a device")
)

export const device = Command.make("device").pipe(
  Command.withDescription("The devices that users connect from. A device is registered when it first signs in."),
  Command.withShortDescription("Look after users' devices"),
  Command.withSubcommands([list, block, unblock, remove])
)
