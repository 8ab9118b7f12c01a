/** The process of a command: what it is given, how it is stopped, and what it ends with. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit } from "effect"
import { run } from "./Cli.ts"
import { ExitCode } from "./ExitCode.ts"

/** A reader that went away, such as `head`, is no reason to die. */
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

/** The first signal asks to stop; another one, unless it is the same that came twice, insists. */
const insistAfter = 1_000
let asked = Number.POSITIVE_INFINITY
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    const now = performance.now()
    if (now - asked > insistAfter) process.exit(ExitCode.interrupted)
    asked = Math.min(asked, now)
  })
}

const program = Effect.provide(run(process.argv.slice(2)), NodeServices.layer)

NodeRuntime.runMain(program, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    if (Exit.isSuccess(exit)) return onExit(typeof exit.value === "number" ? exit.value : ExitCode.ok)
    onExit(typeof process.exitCode === "number" ? process.exitCode : ExitCode.interrupted)
  }
})
