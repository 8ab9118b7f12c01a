import { homedir, hostname } from "node:os"
import { join } from "node:path"
import { Config, Effect, Option } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { ExitCode } from "./ExitCode.ts"
import { later } from "./later.ts"

const url = Flag.String("url").pipe(
  Flag.withMetavar("URL"),
  Flag.withDescription("Address of the broker, such as https://broker.example (BROKER_URL)"),
  Flag.withFallbackConfig(Config.String("BROKER_URL"))
)

const key = Flag.Redacted("key").pipe(
  Flag.withMetavar("KEY"),
  Flag.withDescription(
    "Registration key, needed for the first start only (BROKER_KEY). Others on this machine can read a command line: rather use --key-file"
  ),
  Flag.withFallbackConfig(Config.Redacted("BROKER_KEY")),
  Flag.optional
)

const keyFile = Flag.String("key-file").pipe(
  Flag.withMetavar("FILE"),
  Flag.withDescription("File that holds the registration key"),
  Flag.optional
)

const name = Flag.String("name").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Name of the server, unique in the fleet (the name of this machine)"),
  Flag.withDefault(Effect.sync(hostname))
)

const stateDir = Flag.String("state-dir").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription("Where this one server keeps its key pair and its token (BROKER_STATE_DIR, ~/.broker-agent)"),
  Flag.withFallbackConfig(Config.String("BROKER_STATE_DIR")),
  Flag.withDefault(
    // A container may run us as a user without a home.
    Effect.try({
      try: () => join(homedir(), ".broker-agent"),
      catch: () => new CliError.MissingOption({ option: "state-dir" })
    })
  )
)

const tags = Flag.String("tag").pipe(
  Flag.withMetavar("TAG"),
  Flag.withDescription("A free word; repeatable"),
  Flag.atLeast(0)
)

const labels = Flag.KeyValuePair("label").pipe(
  Flag.withMetavar("KEY=VALUE"),
  Flag.withDescription("A label; repeatable"),
  Flag.withDefault({})
)

const endpointForm = /^([^:]+):\/\/(?:\[([^\]]+)\]|([^:/[\]]+)):(\d+)$/

const endpoints = Flag.String("endpoint").pipe(
  Flag.withMetavar("PROTOCOL://HOST:PORT"),
  Flag.withDescription("Where clients reach this server, such as webrtc://203.0.113.7:51820; repeatable"),
  Flag.filterMap(
    (text) => {
      const [, protocol, ipv6, host = ipv6, port] = endpointForm.exec(text) ?? []
      return protocol === undefined || host === undefined
        ? Option.none()
        : Option.some({ protocol, host, port: Number(port) })
    },
    () => "PROTOCOL://HOST:PORT"
  ),
  Flag.atLeast(0)
)

const capabilities = Flag.String("capability").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Something that it can do, such as vpn or lan; repeatable"),
  Flag.atLeast(0)
)

const location = Flag.String("location").pipe(
  Flag.withMetavar("LATITUDE,LONGITUDE"),
  Flag.withDescription("Where it stands, such as 50.11,8.68"),
  Flag.filterMap(
    (text) => {
      const [latitude = NaN, longitude = NaN, ...more] = text.split(",").map((degrees) => Number(degrees.trim() || NaN))
      return Number.isNaN(latitude + longitude) || more.length > 0
        ? Option.none()
        : Option.some({ latitude, longitude })
    },
    () => "LATITUDE,LONGITUDE"
  ),
  Flag.optional
)

const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print each event as a line of JSON, for programs"),
  Flag.withDefault(false)
)

export const agent = Command.make(
  "agent",
  { url, key, keyFile, name, stateDir, tags, labels, endpoints, capabilities, location, json },
  (flags) =>
    later(
      () => import("./actions/agent.ts"),
      ({ agent }) => agent(flags)
    )
).pipe(
  Command.withDescription(
    "Make this machine a server of a fleet: register it, report its life and answer challenges, until it is stopped. " +
      "Needs nothing but the network and a directory of its own, where it keeps its key pair and its token, so that " +
      "only the first start needs a registration key.\n\n" +
      "A broker that is away, or an admin who suspends the server, never ends it: it goes on trying. It ends with " +
      `${ExitCode.ok} when it is stopped by a signal, with ${ExitCode.refused} when the broker refuses the server for ` +
      "good (registration refused, server retired, token no longer known and no key to register with), and with " +
      `${ExitCode.usage} when an option is wrong or the directory cannot be used (such as a key pair that others may ` +
      `read). Starting it again with nothing changed helps after none of these: with systemd, say ` +
      `RestartPreventExitStatus=${ExitCode.usage} ${ExitCode.refused}.`
  ),
  Command.withShortDescription("Make this machine a server of a fleet"),
  Command.withExamples([
    {
      command: "broker agent --url https://broker.example --key-file ./registration.key --name fra-1",
      description: "The first start"
    },
    { command: "broker agent --url https://broker.example", description: "Any later one" },
    {
      command:
        "broker agent --url https://broker.example --tag eu --label rack=b2 --capability vpn --endpoint webrtc://203.0.113.7:51820",
      description: "With what the server offers, and where"
    }
  ])
)
