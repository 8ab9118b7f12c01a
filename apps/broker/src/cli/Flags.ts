/** Flags that several commands take. */
import { Effect, Option } from "effect"
import { Flag, GlobalFlag } from "effect/cli"
import type * as Settings from "../Settings.ts"

/** Where the settings stand, for every command that reads them. */
export const Config = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("File with settings (./broker.yaml if there is one)"),
    Flag.optional
  )
})

export const dataDir = Flag.String("data-dir").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription("Where the broker keeps its data (./data)"),
  Flag.optional
)

export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON, for programs"), Flag.withDefault(false))

/** Whose keys or devices. */
export const user = Flag.String("user").pipe(
  Flag.withMetavar("USER"),
  Flag.withDescription("The user: an id, or a name or e-mail address that nobody else has")
)

/** Of whatever shuts somebody out. */
export const reason = Flag.String("reason").pipe(
  Flag.withMetavar("TEXT"),
  Flag.withDescription("Why, for the history and the audit log"),
  Flag.withDefault("")
)

export const limit = Flag.Int("limit").pipe(
  Flag.withMetavar("N"),
  Flag.withDescription("At most so many (50)"),
  Flag.withDefault(50)
)

/** Of commands that list something that never ends. */
export const list = {
  limit,
  cursor: Flag.String("cursor").pipe(
    Flag.withMetavar("CURSOR"),
    Flag.withDescription("Go on where a page ended"),
    Flag.optional
  ),
  dataDir,
  json
}

/** As typed: the settings check them, together with what stands elsewhere. */
export const port = Flag.String("port").pipe(
  Flag.withAlias("p"),
  Flag.withMetavar("PORT"),
  Flag.withDescription("Port to listen on, 0 for any free one (3000)"),
  Flag.optional
)

export const host = Flag.String("host").pipe(
  Flag.withMetavar("HOST"),
  Flag.withDescription("Address to listen on (127.0.0.1)"),
  Flag.optional
)

/** The words of the built-in `--log-level`, as the setting has them. */
const levels: Record<string, string> = { All: "trace", Fatal: "error", None: "off" }

/** What the command line says of the settings. */
export const settings = Effect.fnUntraced(function* (flags: {
  readonly dataDir?: Option.Option<string>
  readonly port?: Option.Option<string>
  readonly host?: Option.Option<string>
}): Effect.fn.Return<
  Settings.Flags,
  never,
  GlobalFlag.Setting.Identifier<"config"> | GlobalFlag.Setting.Identifier<"log-level">
> {
  const text = (flag: Option.Option<string> = Option.none()) => Option.getOrUndefined(flag)
  const level = Option.getOrUndefined(yield* GlobalFlag.LogLevel)
  return {
    config: text(yield* Config),
    dataDir: text(flags.dataDir),
    port: text(flags.port),
    host: text(flags.host),
    logLevel: level === undefined ? undefined : (levels[level] ?? level)
  }
})
