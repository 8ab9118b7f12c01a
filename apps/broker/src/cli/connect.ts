import type { Place } from "@broker/domain/Discovery"
import { Config, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { ExitCode } from "./ExitCode.ts"
import { later } from "./later.ts"
import * as networkFlags from "./networkFlags.ts"

const key = Flag.Redacted("key").pipe(
  Flag.withMetavar("KEY"),
  Flag.withDescription(
    "Personal key (BROKER_PERSONAL_KEY). Others on this machine can read a command line: rather use the variable, or --key-file"
  ),
  Flag.withFallbackConfig(Config.Redacted("BROKER_PERSONAL_KEY")),
  Flag.optional
)

const keyFile = Flag.String("key-file").pipe(
  Flag.withMetavar("FILE"),
  Flag.withDescription("File that holds the personal key"),
  Flag.optional
)

const server = Flag.String("server").pipe(
  Flag.withMetavar("ID"),
  Flag.withDescription("The server to connect to, by its id. Otherwise the broker chooses one that fits"),
  Flag.optional
)

const near = Flag.String("near").pipe(
  Flag.withMetavar("LATITUDE,LONGITUDE"),
  Flag.withDescription(
    "The nearest server to a place, such as 50.11,8.68. `me` is wherever the request comes from: while that is not " +
      "known, the server with the least load"
  ),
  Flag.filterMap(
    (text): Option.Option<Place> => (text === "me" ? Option.some("me") : networkFlags.coordinates(text)),
    () => "LATITUDE,LONGITUDE, or me"
  ),
  Flag.optional
)

const tags = Flag.String("tag").pipe(
  Flag.withMetavar("TAG"),
  Flag.withDescription("A tag that the server must have; repeatable"),
  Flag.atLeast(0)
)

const capabilities = Flag.String("capability").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Something that it must be able to do, such as vpn; repeatable"),
  Flag.atLeast(0)
)

const stateDir = networkFlags.stateDir({
  description: "Where this device keeps its fingerprint and its key pair",
  directory: ".broker-client",
  variable: "BROKER_CLIENT_STATE_DIR"
})

const lasting = Flag.String("for").pipe(
  Flag.withMetavar("TIME"),
  Flag.withDescription("End after a time, such as 30s or 5m. Otherwise Ctrl-C ends it"),
  Flag.optional
)

export const connect = Command.make(
  "connect",
  {
    url: networkFlags.url,
    key,
    keyFile,
    server,
    near,
    tags,
    capabilities,
    stateDir,
    lasting,
    json: networkFlags.json
  },
  (flags) =>
    later(
      () => import("./actions/connect.ts"),
      ({ connect }) => connect(flags)
    )
).pipe(
  Command.withDescription(
    "A client for demonstrations: signs in with a personal key, lets the broker choose a server, hands its grant to a " +
      "demonstration gateway (`broker agent --listen`), and reports made-up traffic until it is stopped, when it ends " +
      "the connection. A server without such a gateway is told of nobody: the connection then stays an intent until it " +
      "expires. A client of your own is written with @broker/client, or plain HTTP.\n\n" +
      `It ends with ${ExitCode.ok} when it is stopped, with ${ExitCode.refused} when the broker or the gateway refuses ` +
      `it, or ends the connection, with ${ExitCode.usage} when an option is wrong or the directory cannot be used, and ` +
      `with ${ExitCode.unreachable} when the broker does not answer for half a minute.`
  ),
  Command.withShortDescription("Connect to a server as a client, for demonstrations"),
  Command.withExamples([
    {
      command: "broker connect --url https://broker.example --key-file ./personal.key --near 50.11,8.68",
      description: "To the nearest server"
    },
    {
      command: "broker connect --url http://localhost:3000 --tag eu --capability vpn --for 30s",
      description: "For half a minute, with the key in BROKER_PERSONAL_KEY"
    }
  ])
)
