/** `broker …` in this process, with what it prints. */
import { NodeServices } from "@effect/platform-node"
import { ConfigProvider, Console, Effect } from "effect"
import { run } from "../../src/cli/Cli.ts"

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export const broker = (args: ReadonlyArray<string>, variables: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const stdout: Array<string> = []
    const stderr: Array<string> = []
    const captured: Console.Console = Object.assign(Object.create(console), {
      log: (...parts: ReadonlyArray<unknown>) => stdout.push(parts.join(" ")),
      error: (...parts: ReadonlyArray<unknown>) => stderr.push(parts.join(" "))
    })
    const code = yield* run(args).pipe(
      Effect.provideService(Console.Console, captured),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord({ ...variables })),
      Effect.provide(NodeServices.layer)
    )
    return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") } satisfies Outcome
  })
