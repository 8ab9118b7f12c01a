/** The program itself: `broker serve` in a process of its own, which can be killed. */

import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { Redacted } from "effect"
import { type Answer, type Ask, ask, eventually, freePort, type Json } from "./Wire.ts"

/** Tests hammer from one address. */
const unlimited = Object.fromEntries(
  ["API", "SIGN_IN", "REGISTRATION", "DASHBOARD", "PAGES", "HEARTBEATS"].map((name) => [`RATE_LIMIT_${name}`, "0"])
)

const program = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

export interface Serving extends AsyncDisposable {
  readonly url: string
  readonly audience: string
  readonly child: ChildProcess
  /** What it logged, each line with when it was read. */
  readonly log: ReadonlyArray<{ readonly at: number; readonly line: Json }>
  /** When a line was first read, waiting for it if need be. */
  readonly said: (message: string, withinMs?: number) => Promise<number>
  readonly ask: (method: string, path: string, given?: Ask) => Promise<Answer>
  /** The exit code, or the signal. */
  readonly exited: Promise<number | string | null>
  /** From the start of the process to the first answer. */
  readonly startedInMs: number
}

export const serve = async (
  database: Redacted.Redacted,
  environment: Readonly<Record<string, string>> = {},
  patienceMs = 20_000
): Promise<Serving> => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const began = performance.now()
  const child = spawn(process.execPath, [program, "serve", "--port", String(port)], {
    env: {
      PATH: process.env["PATH"],
      DATABASE_URL: Redacted.value(database),
      ENCRYPTION_KEY: TestEncryption.text,
      PUBLIC_URL: "http://broker.test",
      LOG_FORMAT: "json",
      LOG_LEVEL: "debug",
      HEARTBEAT_INTERVAL: "1s",
      SWEEP_INTERVAL: "200ms",
      ...unlimited,
      ...environment
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const exited = new Promise<number | string | null>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal))
  })
  const log: Array<{ readonly at: number; readonly line: Json }> = []
  let rest = ""
  let errors = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (line.startsWith("{")) log.push({ at: performance.now(), line: JSON.parse(line) })
  })
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk
  })
  const isGone = () => child.exitCode !== null || child.signalCode !== null
  const answers = () =>
    ask(url, "GET", "/readyz").then(
      ({ status }) => status === 200,
      () => false
    )
  await eventually(
    "the broker answers",
    async () => {
      if (isGone()) throw new Error(`the broker ended with ${child.exitCode}: ${errors}`)
      return answers()
    },
    { withinMs: patienceMs, everyMs: 10 }
  ).catch((error: unknown) => {
    child.kill("SIGKILL")
    throw error
  })
  const startedInMs = performance.now() - began
  return {
    url,
    audience: environment["PUBLIC_URL"] ?? "http://broker.test",
    child,
    log,
    said: (message, withinMs = 10_000) =>
      eventually(message, () => log.find(({ line }) => line["message"] === message)?.at, { withinMs, everyMs: 5 }),
    ask: (method, path, given) => ask(url, method, path, given),
    exited,
    startedInMs,
    [Symbol.asyncDispose]: async () => {
      if (!isGone()) child.kill("SIGKILL")
      await exited
    }
  }
}
