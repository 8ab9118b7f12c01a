/** Files that only their owner may read: the key pair, and the token beside it. */
import { Effect, FileSystem, Option, Path, type PlatformError, Schema } from "effect"

/** Far above what such a file holds. */
const maxBytes = 64 * 1024

const shellWord = (path: string) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`)

/** Who could read it may have copied it, so it is refused rather than mended in silence. */
export class ExposedFile extends Schema.TaggedError<ExposedFile>()("ExposedFile", {
  path: Schema.String,
  mode: Schema.Int
}) {
  override get message() {
    const mode = this.mode.toString(8).padStart(4, "0")
    return `${this.path} is open to other users of this machine (mode ${mode}): run \`chmod 600 ${shellWord(this.path)}\``
  }
}

export class UnusableFile extends Schema.TaggedError<UnusableFile>()("UnusableFile", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path} cannot be used: ${this.reason}`
  }
}

/** Windows has no mode bits: every file looks open to all. */
const hasModes = process.platform !== "win32"

const unusable = (path: string) => (error: PlatformError.PlatformError) =>
  Effect.fail(new UnusableFile({ path, reason: error.message }))

/** The text of a file, or none where there is no file. */
export const read = Effect.fn("PrivateFile.read")(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* Effect.orElseSucceed(fs.exists(path), () => true))) return Option.none<string>()

  return yield* Effect.gen(function* () {
    const file = yield* fs.open(path)
    const { mode } = yield* file.stat
    if (hasModes && (mode & 0o077) !== 0) return yield* new ExposedFile({ path, mode: mode & 0o777 })
    const bytes = yield* file.readAlloc(maxBytes)
    return Option.some(Option.match(bytes, { onNone: () => "", onSome: (read) => new TextDecoder().decode(read) }))
  }).pipe(Effect.scoped, Effect.catchTag("PlatformError", unusable(path)))
})

/** Replaces a file at once and for good: a crash or a power cut leaves the old text or the new, never half of it. */
export const write = Effect.fn("PrivateFile.write")(function* (path: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const { dirname } = yield* Path.Path
  const next = `${path}.next`

  yield* Effect.gen(function* () {
    yield* fs.makeDirectory(dirname(path), { recursive: true, mode: 0o700 })
    yield* fs.remove(next, { force: true })
    yield* Effect.scoped(
      Effect.gen(function* () {
        const file = yield* fs.open(next, { flag: "wx", mode: 0o600 })
        yield* file.writeAll(new TextEncoder().encode(text))
        yield* file.sync
      })
    )
    yield* fs.rename(next, path)
  }).pipe(Effect.catchTag("PlatformError", unusable(path)))
})

/** Puts a file in the place of another, at once. */
export const move = Effect.fn("PrivateFile.move")(function* (from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.catchTag(fs.rename(from, to), "PlatformError", unusable(to))
})

/** Removes a file, if there is one. */
export const remove = Effect.fn("PrivateFile.remove")(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.catchTag(fs.remove(path, { force: true }), "PlatformError", unusable(path))
})
