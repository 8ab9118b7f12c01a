/** Files that commands read and write. */
import * as Fs from "node:fs"
import { finished } from "node:stream/promises"
import { Effect, Stream } from "effect"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"
import * as Output from "../Output.ts"

const unusable = (file: string) => (cause: unknown) =>
  new CommandFailed({
    code: ExitCode.usage,
    what: `${file} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: "Check the name, and whether you may read or write there."
  })

export const readText = (file: string) =>
  Effect.try({ try: () => Fs.readFileSync(file, "utf8"), catch: unusable(file) })

/** Written as it comes: it may be larger than the memory. */
const writeTo = <E, R>(parts: Stream.Stream<string | Uint8Array, E, R>, to: NodeJS.WritableStream) =>
  Stream.runForEach(parts, (part) =>
    Effect.callback<void>((resume) => {
      if (to.write(part)) resume(Effect.void)
      else to.once("drain", () => resume(Effect.void))
    })
  )

export const print = <E, R>(parts: Stream.Stream<string | Uint8Array, E, R>) => writeTo(parts, process.stdout)

/** A file that must not be there yet, and is nobody else's to read. */
export const writeNew = Effect.fnUntraced(function* <E, R>(
  file: string,
  parts: Stream.Stream<string | Uint8Array, E, R>
) {
  const descriptor = yield* Effect.try({ try: () => Fs.openSync(file, "wx", 0o600), catch: unusable(file) })
  const target = Fs.createWriteStream(file, { fd: descriptor })
  yield* writeTo(parts, target)
  target.end()
  yield* Effect.tryPromise({ try: () => finished(target), catch: unusable(file) })
  yield* Output.note(`Wrote ${file}.`)
})
