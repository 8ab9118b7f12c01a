import { Effect, Layer, Option } from "effect"
import * as Logging from "../../Logging.ts"
import * as Serving from "../../Serving.ts"
import * as Settings from "../../Settings.ts"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"

/** The link is for the operator's eyes: it is not part of the log. */
const invite = (link: string) =>
  Output.note("", ...Output.box(["Nobody can sign in yet. Create the first admin here:", "", link]), "")

const welcome = Effect.fnUntraced(function* (values: Settings.Values, { origin, port }: Serving.Address) {
  yield* Effect.logInfo("The broker is ready", { url: origin, host: values.host, port })
  const link = yield* Serving.firstAdmin(values, origin)
  if (Option.isSome(link)) yield* invite(link.value)
})

export const serve = Effect.fnUntraced(function* (flags: Parameters<typeof Flags.settings>[0]) {
  const { values } = yield* Settings.read(yield* Flags.settings(flags))
  const address = yield* Serving.address(values)
  const serving = Layer.effectDiscard(welcome(values, address)).pipe(Layer.provide(Serving.layer(values, address)))
  return yield* Layer.launch(serving).pipe(Effect.provide(Logging.fromSettings(values, process.stdout)))
})
