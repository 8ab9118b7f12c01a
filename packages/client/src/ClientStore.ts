/** What a client keeps on its machine: who the device is, so that the broker knows it again. */
import { Fingerprint } from "@broker/domain/Device"
import { Context, Effect, type FileSystem, Layer, Option, Path, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import * as KeyPair from "./KeyPair.ts"
import * as PrivateFile from "./PrivateFile.ts"

/** One installation of a client. */
export interface Identity {
  readonly fingerprint: string
  /** What grants are bound to. */
  readonly keyPair: KeyPair.KeyPair
}

const DeviceText = Schema.fromJsonString(Schema.Struct({ fingerprint: Fingerprint }))
const decode = Schema.decodeEffect(DeviceText)
const encode = Schema.encodeEffect(DeviceText)

export type FileError = PrivateFile.ExposedFile | PrivateFile.UnusableFile

export class ClientStore extends Context.Service<
  ClientStore,
  {
    /** Made on first use. */
    readonly identity: Effect.Effect<Identity, FileError>
  }
>()("@broker/client/ClientStore") {
  /** Keeps `key.pem` and `device.json` in a directory of the client's own. */
  static readonly layer = (directory: string) =>
    Layer.effect(
      ClientStore,
      Effect.gen(function* () {
        const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
        const random = yield* SecureRandom.SecureRandom
        const { join } = yield* Path.Path
        const path = join(directory, "device.json")

        const fingerprint = Effect.gen(function* () {
          const text = yield* PrivateFile.read(path)
          if (Option.isSome(text)) {
            return (yield* Effect.mapError(
              decode(text.value),
              () => new PrivateFile.UnusableFile({ path, reason: "it is damaged; remove it to be a new device" })
            )).fingerprint
          }
          const fingerprint = yield* random.uuidV7()
          yield* PrivateFile.write(path, yield* Effect.orDie(encode({ fingerprint })))
          return fingerprint
        })

        return ClientStore.of({
          identity: Effect.provide(
            Effect.all({ fingerprint, keyPair: KeyPair.load(join(directory, "key.pem")) }),
            files
          )
        })
      })
    )
}
