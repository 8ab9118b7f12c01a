/**
 * What the broker says while it works: for people on a terminal, as JSON lines elsewhere, and into a file if one is set.
 *
 * A line is `time`, `level`, `message`, then what the line was annotated with (`requestId` for one) and what was logged
 * beside the message. Secrets are `Redacted` where they are known to be secrets; what slipped into a text by way of
 * somebody else's error message is struck out here.
 */

import type { Writable } from "node:stream"
import { Cause, Effect, Formatter, Layer, Logger, type LogLevel, Predicate, References } from "effect"
import type { Values } from "./Settings.ts"

export interface Options {
  readonly level: Values["logLevel"]
  readonly format: Values["logFormat"]
  /** Where lines go: a service's are its output, a command's are not. */
  readonly to: Pick<Writable, "write"> & { readonly isTTY?: boolean | undefined }
  readonly file?:
    | {
        readonly path: string
        readonly maxSize: number
        readonly maxAge: Values["logFileMaxAge"]
        readonly count: number
      }
    | undefined
}

type Line = {
  readonly time: string
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

const levels: Record<Values["logLevel"], LogLevel.LogLevel> = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  off: "None"
}

const credential = /(brk_(?:reg|srv|usr|ses|api)_)[A-Za-z0-9_-]{8,}/g
const password = /(\w+:\/\/[^\s:/@"]*:)[^\s@"]+@/g

/** Strikes out credentials by their spelling, and passwords in addresses. */
export const withoutSecrets = (text: string) => text.replace(credential, "$1…").replace(password, "$1…@")

/**
 * Characters that a terminal obeys, or that turn the text after them round, as they are written in JSON: whoever chose a
 * name must not move the cursor of whoever reads the log.
 */
const visible = (text: string) =>
  text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isObject(value) && Object.getPrototypeOf(value) === Object.prototype

const line = Logger.make(({ cause, date, fiber, logLevel, message }): Line => {
  const parts = Array.isArray(message) ? message : [message]
  const texts: Array<string> = []
  const fields: Record<string, unknown> = { ...fiber.getRef(References.CurrentLogAnnotations) }
  for (const part of parts) {
    if (isPlain(part)) Object.assign(fields, part)
    else texts.push(typeof part === "string" ? part : part instanceof Error ? `${part}` : Formatter.format(part))
  }
  for (const [label, since] of fiber.getRef(References.CurrentLogSpans)) fields[label] = date.getTime() - since
  if (cause.reasons.length > 0) fields["cause"] = Cause.pretty(cause)
  // What was logged can't pass for what the broker says of the line itself.
  return { ...fields, time: date.toISOString(), level: logLevel.toLowerCase(), message: texts.join(" ") }
})

const ordered = ({ level, message, time, ...fields }: Line) => ({ time, level, message, ...fields })

const toJson = (line: Line) => `${visible(withoutSecrets(Formatter.formatJson(ordered(line)) ?? ""))}\n`

const colours: Record<string, string> = { trace: "90", debug: "34", info: "32", warn: "33", error: "31", fatal: "41" }

const paint = (isColoured: boolean) => (code: string, text: string) =>
  isColoured ? `\u001b[${code}m${text}\u001b[0m` : text

const field = (value: unknown) => {
  if (typeof value === "string") return /^[^\s"=]+$/.test(value) ? visible(value) : visible(JSON.stringify(value))
  return visible(Formatter.formatJson(value) ?? String(value))
}

/** One line, and the cause below it. The time is the reader's. */
const toText = (isColoured: boolean) => {
  const colour = paint(isColoured)
  return ({ cause, level, message, time, ...fields }: Line) => {
    const at = new Date(time)
    const clock = [at.getHours(), at.getMinutes(), at.getSeconds()]
      .map((part) => String(part).padStart(2, "0"))
      .join(":")
    const beside = Object.entries(fields)
      .map(([name, value]) => ` ${colour("90", `${name}=${field(value)}`)}`)
      .join("")
    const below = typeof cause === "string" ? `\n${visible(cause).replace(/^/gm, "    ")}` : ""
    const label = colour(colours[level] ?? "37", level.toUpperCase().padEnd(5))
    return withoutSecrets(
      `${colour("90", clock)} ${label} ${visible(message).replaceAll("\n", "\\n")}${beside}${below}\n`
    )
  }
}

export const layer = (options: Options) => {
  const isTerminal = options.to.isTTY === true
  const isPretty = options.format === "pretty" || (options.format === "auto" && isTerminal)
  const format = isPretty ? toText(isTerminal && process.env["NO_COLOR"] === undefined) : toJson
  const toStream = Logger.map(line, (line) => void options.to.write(format(line)))
  const { file } = options
  const toFile =
    file === undefined
      ? []
      : [
          Effect.gen(function* () {
            // Few set a file, and nobody else needs to load what rotates it.
            const LogFile = yield* Effect.promise(() => import("./LogFile.ts"))
            const { write } = yield* LogFile.make(file)
            return Logger.map(line, (line) => write(toJson(line)))
          })
        ]
  return Layer.merge(
    Logger.layer([toStream, ...toFile]),
    Layer.succeed(References.MinimumLogLevel, levels[options.level])
  )
}

/** By the settings. Standard output is the service's log; a command's results stand there, so it logs to the other. */
export const fromSettings = (values: Values, to: Options["to"]) =>
  layer({
    level: values.logLevel,
    format: values.logFormat,
    to,
    file:
      values.logFile === undefined
        ? undefined
        : {
            path: values.logFile,
            maxSize: values.logFileMaxSize,
            maxAge: values.logFileMaxAge,
            count: values.logFileCount
          }
  })
