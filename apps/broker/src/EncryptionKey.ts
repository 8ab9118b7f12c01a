/** The encryption key that the settings name, or else the one that the broker keeps in its data directory (J6). */
import { randomUUID } from "node:crypto"
import { link, mkdir, open, readFile, rm } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { EncryptionKeys, EncryptionKeyUnavailable, firstKey, keyIds } from "@broker/core/crypto/Encryption"
import { keySize } from "@broker/core/crypto/Sealed"
import { Secrets } from "@broker/core/crypto/Secrets"
import { Effect, Layer, Option, Redacted, Schema } from "effect"
import type { Values } from "./Settings.ts"
import * as Kind from "./settings/Kind.ts"

/** Where the broker keeps a key of its own. */
export const keyFile = ({ dataDir }: Pick<Values, "dataDir">) => join(resolve(dataDir), "encryption-key")

/** The file is there, and no key can be had from it: it is never overwritten. */
export class EncryptionKeyFileUnusable extends Schema.TaggedError<EncryptionKeyFileUnusable>()(
  "EncryptionKeyFileUnusable",
  { path: Schema.String, reason: Schema.String }
) {
  override get message() {
    return `The encryption key cannot be had from ${this.path}: ${this.reason}.`
  }
}

const unusable = (path: string) => (error: unknown) =>
  new EncryptionKeyFileUnusable({ path, reason: error instanceof Error ? error.message : String(error) })

const isCode = (code: string) => (error: unknown) => error instanceof Error && "code" in error && error.code === code

/** The key in the file; none where there is no file. */
const kept = Effect.fnUntraced(function* (path: string) {
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (error) => error
  }).pipe(
    Effect.asSome,
    Effect.catchIf(isCode("ENOENT"), () => Effect.succeedNone),
    Effect.mapError(unusable(path))
  )
  if (Option.isNone(text)) return Option.none()
  const bytes = Kind.parseEncryptionKey(text.value.trim())
  if (Option.isSome(bytes)) return Option.some(Redacted.make(bytes.value, { label: "secret" }))
  return yield* new EncryptionKeyFileUnusable({ path, reason: `it does not hold ${Kind.encryptionKey.allowed}` })
})

/** Written whole or not at all, and never over another: what is sealed under a key is lost with it. */
const writeOnce = async (path: string, text: string) => {
  await mkdir(dirname(path), { recursive: true })
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, "wx", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
    await link(draft, path)
  } finally {
    await file.close()
    await rm(draft, { force: true })
  }
  const directory = await open(dirname(path), "r")
  await directory.sync().finally(() => directory.close())
}

const make = Effect.fnUntraced(function* (path: string) {
  const secrets = yield* Secrets
  const bytes = yield* secrets.bytes(keySize)
  yield* Effect.tryPromise({
    try: () => writeOnce(path, `${Kind.formatEncryptionKey(bytes)}\n`),
    catch: unusable(path)
  })
  return Redacted.make(bytes, { label: "secret" })
}, Effect.provide(Secrets.layer))

/** A fresh key, and its name. */
export const generate = Effect.gen(function* () {
  const secrets = yield* Secrets
  const current = Redacted.make(yield* secrets.bytes(keySize), { label: "secret" })
  const [id = ""] = keyIds({ current, former: [] })
  return { id, text: Kind.formatEncryptionKey(Redacted.value(current)) }
}).pipe(Effect.provide(Secrets.layer))

/**
 * The keys that are there, without making any. What stands in the file beside the setting is a former key, so that a
 * broker that kept its own can be given one.
 */
export const find = Effect.fn("EncryptionKey.find")(function* (
  values: Pick<Values, "dataDir" | "encryptionKey" | "previousEncryptionKeys">
) {
  const inFile = yield* kept(keyFile(values))
  const previous = values.previousEncryptionKeys === undefined ? [] : Redacted.value(values.previousEncryptionKeys)
  const former = previous.map((bytes) => Redacted.make(bytes, { label: "secret" }))
  return values.encryptionKey === undefined
    ? { current: inFile, former }
    : { current: Option.some(values.encryptionKey), former: [...former, ...Option.toArray(inFile)] }
})

const none = Effect.fail(new EncryptionKeyUnavailable({ needed: [], held: [] }))

/**
 * The keys of a broker on the database that is provided. Where there is none, and the database needs none yet, one is
 * made and kept in the data directory if that may be.
 */
export const layer = (values: Values, { mayMake }: { readonly mayMake: boolean }) =>
  Layer.effect(
    EncryptionKeys,
    Effect.gen(function* () {
      const { current, former } = yield* find(values)
      if (Option.isSome(current)) return { current: current.value, former }
      const path = keyFile(values)
      const begin: Effect.Effect<
        Redacted.Redacted<Uint8Array>,
        EncryptionKeyUnavailable | EncryptionKeyFileUnusable
      > = mayMake ? make(path) : none
      const made = yield* firstKey(begin).pipe(
        Effect.tap(() =>
          values.databaseUrl === undefined
            ? Effect.logInfo("Made an encryption key: keep a copy of it apart from the data", { file: path })
            : Effect.logWarning("Made an encryption key: set ENCRYPTION_KEY to it on every broker of this database", {
                file: path
              })
        ),
        Effect.catchTag("EncryptionKeyUnavailable", (unavailable) =>
          // Another process with this data directory was faster.
          Effect.flatMap(kept(path), (key) =>
            Option.match(key, {
              onNone: () =>
                Effect.fail(
                  new EncryptionKeyUnavailable({
                    needed: unavailable.needed,
                    held: former.flatMap((key) => keyIds({ current: key, former: [] }))
                  })
                ),
              onSome: Effect.succeed
            })
          )
        ),
        Effect.catchTag("SchemaError", Effect.die)
      )
      return { current: made, former }
    })
  )
