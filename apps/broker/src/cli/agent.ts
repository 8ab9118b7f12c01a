import { hostname } from "node:os"
import { Config, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { isLoopback } from "../Loopback.ts"
import { ExitCode } from "./ExitCode.ts"
import { later } from "./later.ts"
import * as networkFlags from "./networkFlags.ts"

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

const stateDir = networkFlags.stateDir({
  description: "Where this one server keeps its key pair and its token",
  directory: ".broker-agent",
  variable: "BROKER_STATE_DIR"
})

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
  Flag.filterMap(networkFlags.coordinates, () => "LATITUDE,LONGITUDE"),
  Flag.optional
)

const listen = Flag.String("listen").pipe(
  Flag.withMetavar("HOST:PORT"),
  Flag.withDescription(
    "For demonstrations: take connections of `broker connect` over plain HTTP on this machine, such as 127.0.0.1:4000, or port 0 for any free one"
  ),
  Flag.filterMap(
    (text) => {
      const [, ipv6, host = ipv6, port] = /^(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(text) ?? []
      return host === undefined || !isLoopback(host) || Number(port) > 65_535
        ? Option.none()
        : Option.some({ host, port: Number(port) })
    },
    () => "HOST:PORT, on the loopback"
  ),
  Flag.optional
)

export const agent = Command.make(
  "agent",
  {
    url: networkFlags.url,
    key,
    keyFile,
    name,
    stateDir,
    tags,
    labels,
    endpoints,
    capabilities,
    location,
    listen,
    json: networkFlags.json
  },
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
      `RestartPreventExitStatus=${ExitCode.usage} ${ExitCode.refused}.\n\n` +
      "By itself it carries no traffic: that is the gateway's part, which checks grants and reports connections by " +
      "@broker/client or plain HTTP. With --listen it plays one for demonstrations, on this machine only: it takes " +
      "grants by POST /connect, counts bytes that it is told of, and is an endpoint of the protocol `demo`, which " +
      "`broker connect` looks for."
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
    },
    {
      command: "broker agent --url http://localhost:3000 --name demo-1 --listen 127.0.0.1:0",
      description: "As a demonstration gateway, for `broker connect`"
    }
  ])
)
