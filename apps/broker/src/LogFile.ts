/** A log file that starts anew at a size and at an age. */

import { basename, dirname, extname, sep } from "node:path"
import { Duration, Effect } from "effect"
import { createStream, type RotatingFileStream } from "rotating-file-stream"

export interface Options {
  readonly path: string
  readonly maxSize: number
  readonly maxAge: Duration.Duration
  /** How many old files are kept. */
  readonly count: number
}

export interface LogFile {
  readonly write: (line: string) => void
}

/** What may wait for a slow disk; lines beyond it are dropped rather than kept in memory. */
const maxWaiting = 4 * 1024 ** 2

/** How long to leave a file alone that could not be written. */
const retryAfter = Duration.toMillis("10 seconds")

/** `broker-2026-11-22T10-00-00Z.log`, beside `broker.log`. */
const nameOf = (path: string) => {
  const extension = extname(path)
  const stem = basename(path, extension)
  return (time: number | Date | null, index = 1) => {
    if (time === null) return basename(path)
    const at = new Date(time).toISOString().slice(0, 19).replaceAll(":", "-")
    return `${stem}-${at}Z${index > 1 ? `.${index}` : ""}${extension}`
  }
}

const interval = (age: Duration.Duration) => {
  const minutes = Duration.toMinutes(age)
  if (minutes % 1440 === 0) return `${minutes / 1440}d`
  return minutes % 60 === 0 ? `${minutes / 60}h` : `${minutes}m`
}

/** Writes until the scope closes. A file that fails is told of on stderr and tried again; the broker goes on. */
export const make = (options: Options) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let stream: RotatingFileStream | undefined
      let dropped = 0
      let notBefore = 0

      const open = () => {
        const opened = createStream(nameOf(options.path), {
          path: `${dirname(options.path)}${sep}`,
          size: `${options.maxSize}B`,
          interval: interval(options.maxAge),
          intervalUTC: true,
          initialRotation: true,
          maxFiles: options.count,
          history: `.${basename(options.path)}.history`,
          mode: 0o640
        })
        opened.on("error", (error) => {
          if (stream === opened) stream = undefined
          notBefore = Date.now() + retryAfter
          process.stderr.write(`The log file ${options.path} cannot be written: ${error.message}\n`)
        })
        return opened
      }

      const write = (line: string) => {
        if (stream === undefined && Date.now() >= notBefore) stream = open()
        if (stream === undefined || stream.writableLength > maxWaiting) {
          dropped++
          return
        }
        if (dropped > 0) {
          const time = new Date().toISOString()
          stream.write(`${JSON.stringify({ time, level: "warn", message: "Lines were lost", lines: dropped })}\n`)
          dropped = 0
        }
        stream.write(line)
      }

      const close = Effect.callback<void>((resume) => {
        if (stream === undefined) return resume(Effect.void)
        stream.once("close", () => resume(Effect.void))
        stream.end()
      }).pipe(Effect.timeoutOption("2 seconds"))

      return { write, close }
    }),
    ({ close }) => close
  ).pipe(Effect.map(({ write }): LogFile => ({ write })))
