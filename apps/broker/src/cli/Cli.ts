/** The command `broker`: what there is, and what happens with the outcome of it. */
import { Cause, Console, Effect, Exit, Layer, Logger, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { version } from "../version.ts"
import { admin } from "./admin.ts"
import { agent } from "./agent.ts"
import { apiToken } from "./apiToken.ts"
import { audit } from "./audit.ts"
import { config } from "./config.ts"
import { connect } from "./connect.ts"
import { connection } from "./connection.ts"
import { demo } from "./demo.ts"
import { device } from "./device.ts"
import { doctor } from "./doctor.ts"
import { ExitCode, meanings } from "./ExitCode.ts"
import { encryption } from "./encryption.ts"
import { event } from "./event.ts"
import * as Flags from "./Flags.ts"
import { fleet } from "./fleet.ts"
import { group } from "./group.ts"
import { inventory } from "./inventory.ts"
import { later } from "./later.ts"
import { maintenance } from "./maintenance.ts"
import { migrate } from "./migrate.ts"
import { personalKey } from "./personalKey.ts"
import { registrationKey } from "./registrationKey.ts"
import { report } from "./report.ts"
import { role } from "./role.ts"
import { serve } from "./serve.ts"
import { server } from "./server.ts"
import { user } from "./user.ts"
import { webhook } from "./webhook.ts"

const exitCodes = meanings.map(([code, meaning]) => `${String(code).padStart(3)}  ${meaning}`).join("\n")

/** Only what was asked for goes to standard output; a wrong command line gets its answer on the other. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag === "Version") return Console.log(event.version)
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const problems = event.errors.map(({ message }) => message)
    return Console.error(`${problems.join("\n")}\n\nSee \`${event.commandPath.join(" ")} --help\`.`)
  }
}

/** Not the wizard: whoever needs to be asked reads the help. */
export const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]

const services = Layer.mergeAll(
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns }),
  Layer.succeed(Logger.LogToStderr, true)
)

/** Commands that run until they are told to stop: to be stopped is no failure of theirs. */
const untilStopped = <Name extends string, Input, Context, E, R>(
  command: Command.Command<Name, Input, Context, E, R>
) =>
  Command.provideEffectDiscard(
    command,
    Effect.sync(() => {
      process.exitCode = ExitCode.ok
    })
  )

export const broker = Command.make("broker").pipe(
  Command.withDescription(
    "Control plane for fleets of peer-to-peer gateways.\n\n" +
      "Commands work beside a running broker and without one; they find it by the same settings: flags, environment, " +
      `broker.yaml, defaults, in this order.\n\nEXIT CODES\n${exitCodes}`
  ),
  Command.withSubcommands([
    { group: "Run", commands: [untilStopped(serve), untilStopped(demo), untilStopped(agent), untilStopped(connect)] },
    {
      group: "Manage",
      commands: [
        admin,
        role,
        apiToken,
        registrationKey,
        group,
        inventory,
        server,
        fleet,
        maintenance,
        user,
        personalKey,
        device,
        connection,
        event,
        webhook,
        report
      ]
    },
    { group: "Operate", commands: [doctor, audit, config, migrate, encryption] }
  ]),
  Command.withGlobalFlags([Flags.Config])
)

const codeOf = (cause: Cause.Cause<unknown>): Effect.Effect<number> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  const error = Cause.squash(cause)
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    return Effect.succeed(error.errors.length > 0 ? ExitCode.usage : ExitCode.ok)
  }
  // Has been told already, by the runner.
  if (error instanceof Error && CliError.getUserMessage(error) !== undefined) {
    return Effect.succeed(Runtime.getErrorExitCode(error))
  }
  return later(
    () => import("./Failure.ts"),
    ({ tell }) => tell(cause)
  )
}

/** Flags whose values may begin with a minus: south and west, an order turned round, a tag that is taken back. */
const signed = new Set(["--location", "--near", "--sort", "--tag"])

/** The parser takes whatever begins with a minus for flags, unless it is joined to the flag before it. */
const joinSigned = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const joined: Array<string> = []
  for (const arg of args) {
    const flag = joined.at(-1) ?? ""
    if (signed.has(flag) && /^-[^-]/.test(arg)) joined[joined.length - 1] = `${flag}=${arg}`
    else joined.push(arg)
  }
  return joined
}

/** Runs a command line to its end. Succeeds with the exit code, whatever came of it. */
export const run = (args: ReadonlyArray<string>) =>
  Command.runWith(broker, { version, renderErrors: true })(joinSigned(args)).pipe(
    Effect.exit,
    Effect.flatMap((exit) => (Exit.isSuccess(exit) ? Effect.succeed<number>(ExitCode.ok) : codeOf(exit.cause))),
    Effect.provide(services)
  )
