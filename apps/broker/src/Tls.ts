/** A certificate and its key from files, read anew when they change. */

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { basename, dirname } from "node:path"
import { createSecureContext } from "node:tls"
import { DateTime, Duration, Effect, FileSystem, Option, Schema, Stream } from "effect"

export interface Files {
  readonly cert: string
  readonly key: string
}

/** What TLS needs, found to fit together. */
export interface Pair {
  readonly cert: Uint8Array
  readonly key: Uint8Array
  readonly expiresAt: DateTime.Utc
  /** Tells this pair from another. */
  readonly digest: string
}

/** What a listener is opened with, and what comes later. */
export interface Source {
  readonly pair: Pair
  readonly changes: Stream.Stream<Pair>
}

/** The files cannot be used, in a sentence. */
export class TlsUnusable extends Schema.TaggedError<TlsUnusable>()("TlsUnusable", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

const unusable = (reason: string) => () => new TlsUnusable({ reason })

const read = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.readFile(file),
    ({ reason }) => new TlsUnusable({ reason: `${file} cannot be read (${reason._tag}).` })
  )
})

const privateKey = (key: Uint8Array): KeyObject => createPrivateKey(Buffer.from(key))

/** Reads both files, and says what is wrong with them. The key stands in no message. */
export const load = Effect.fn("Tls.load")(function* (files: Files) {
  const cert = yield* read(files.cert)
  const key = yield* read(files.key)
  const certificate = yield* Effect.try({
    try: () => new X509Certificate(cert),
    catch: unusable(`${files.cert} is no certificate in PEM.`)
  })
  const secret = yield* Effect.try({
    try: () => privateKey(key),
    catch: unusable(`${files.key} is no private key in PEM without a passphrase.`)
  })
  if (!certificate.checkPrivateKey(secret)) {
    return yield* new TlsUnusable({
      reason: `${files.key} is not the key of ${files.cert}. The server's own certificate comes first in its file.`
    })
  }
  yield* Effect.try({
    try: () => createSecureContext({ cert: Buffer.from(cert), key: Buffer.from(key) }),
    catch: (error) =>
      new TlsUnusable({
        reason: `${files.cert} and ${files.key} cannot be used: ${error instanceof Error ? error.message : "unknown"}.`
      })
  })
  const digest = createHash("sha256").update(cert).update(key).digest("base64url")
  return { cert, key, digest, expiresAt: DateTime.makeUnsafe(certificate.validToDate) } satisfies Pair
})

/** Not every file system tells of changes, and links of links are not watched. */
const lookEvery = Duration.seconds(10)

/** Both files are written one after the other. */
const settleFor = Duration.millis(250)

/** The pairs that take the place of a first one. A file that is broken is told once, and changes nothing. */
const changes = (files: Files, first: Pair) =>
  Stream.unwrap(
    Effect.map(FileSystem.FileSystem, (fs) => {
      let current = first.digest
      let told = ""
      const look = load(files).pipe(
        Effect.map((pair) => {
          told = ""
          if (pair.digest === current) return Option.none<Pair>()
          current = pair.digest
          return Option.some(pair)
        }),
        Effect.catch(({ message }) => {
          if (message === told) return Effect.succeedNone
          told = message
          return Effect.as(
            Effect.logError("The new certificate cannot be used; the former one stays", { reason: message }),
            Option.none<Pair>()
          )
        }),
        Effect.provideService(FileSystem.FileSystem, fs)
      )
      // Mounted secrets change by a link beside the files.
      const names = new Set([basename(files.cert), basename(files.key), "..data"])
      const hints = [...new Set([dirname(files.cert), dirname(files.key)])].map((directory) =>
        fs.watch(directory).pipe(
          Stream.filter(({ path }) => names.has(basename(path))),
          Stream.map(() => undefined),
          Stream.catch(() => Stream.empty)
        )
      )
      return Stream.mergeAll([Stream.tick(lookEvery), ...hints], { concurrency: "unbounded" }).pipe(
        Stream.debounce(settleFor),
        Stream.mapEffect(() => look),
        Stream.filter(Option.isSome),
        Stream.map(({ value }) => value)
      )
    })
  )

/** The pair in the files, and those that will be. */
export const open = Effect.fn("Tls.open")(function* (files: Files) {
  const fs = yield* FileSystem.FileSystem
  const pair = yield* load(files)
  const now = yield* DateTime.now
  if (DateTime.isLessThan(pair.expiresAt, now)) {
    yield* Effect.logWarning("The certificate is over", { expiredAt: DateTime.formatIso(pair.expiresAt) })
  }
  return {
    pair,
    changes: changes(files, pair).pipe(Stream.provideService(FileSystem.FileSystem, fs))
  } satisfies Source
})
