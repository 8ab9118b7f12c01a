/** `broker …` in this process, with what it prints. */
import { TestBroker } from "@broker/testing/TestBroker"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { NodeServices } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { ConfigProvider, Console, Effect, Redacted } from "effect"
import { run } from "../../src/cli/Cli.ts"
import { ExitCode } from "../../src/cli/ExitCode.ts"

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A database of a test is sealed under the key of tests, unless the test says otherwise. */
const withKey = (variables: Readonly<Record<string, string>>) =>
  "DATABASE_URL" in variables ? { ENCRYPTION_KEY: TestEncryption.text, ...variables } : variables

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
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord({ ...withKey(variables) })),
      Effect.provide(NodeServices.layer)
    )
    return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") } satisfies Outcome
  })

/** The same beside a running broker. */
export const onDatabase = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const { database } = yield* TestBroker
  return yield* broker(args, { DATABASE_URL: Redacted.value(database) })
})

/** The result of a command that must succeed, with nothing but JSON on its output. */
export const json = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const { code, stderr, stdout } = yield* onDatabase(...args, "--json")
  assert.strictEqual(code, ExitCode.ok, stderr)
  return JSON.parse(stdout)
})
