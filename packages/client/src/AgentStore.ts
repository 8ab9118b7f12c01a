/** What an agent keeps on its machine: its key pair, and what makes a restart go without a registration key. */
import { Secret } from "@broker/domain/Credential"
import { description, PublicKey, ServerId } from "@broker/domain/Server"
import { Context, Effect, type FileSystem, Layer, Option, Path, Schema } from "effect"
import * as KeyPair from "./KeyPair.ts"
import * as PrivateFile from "./PrivateFile.ts"

/** What a server says of itself. */
export const Description = Schema.Struct(description)
export type Description = typeof Description.Type

/** The server that an agent is. */
export const Membership = Schema.Struct({
  /** The broker that the token is for: it is never sent to another one. */
  url: Schema.String,
  serverId: ServerId,
  name: Schema.String,
  /** Of the key pair that it registered with, or changed to: another one would fail its next challenge, and suspend it. */
  publicKey: PublicKey,
  token: Secret,
  /** As last told to the broker. */
  description: Description
})
export type Membership = typeof Membership.Type

const MembershipText = Schema.fromJsonString(Membership)
const decode = Schema.decodeEffect(MembershipText)
const encode = Schema.encodeEffect(MembershipText)

export type FileError = PrivateFile.ExposedFile | PrivateFile.UnusableFile

export class AgentStore extends Context.Service<
  AgentStore,
  {
    /** Made on first use. */
    readonly keyPair: Effect.Effect<KeyPair.KeyPair, FileError>
    /** The one that is to take its place (V4), made on first use and kept until it does. */
    readonly nextKeyPair: Effect.Effect<KeyPair.KeyPair, FileError>
    /** The same, where there is one. */
    readonly pendingKeyPair: Effect.Effect<Option.Option<KeyPair.KeyPair>, FileError>
    /** Puts it in the place of the one so far, which is gone then. */
    readonly adoptNext: Effect.Effect<void, FileError>
    /** Gives it up. */
    readonly dropNext: Effect.Effect<void, FileError>
    readonly membership: Effect.Effect<Option.Option<Membership>, FileError>
    readonly save: (membership: Membership) => Effect.Effect<void, FileError>
  }
>()("@broker/client/AgentStore") {
  /** Keeps `key.pem`, `next-key.pem` and `server.json` in a directory of the agent's own. */
  static readonly layer = (directory: string) =>
    Layer.effect(
      AgentStore,
      Effect.gen(function* () {
        const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
        const { join } = yield* Path.Path
        const path = join(directory, "server.json")
        const keyPath = join(directory, "key.pem")
        const nextPath = join(directory, "next-key.pem")

        const read = (text: string) =>
          Effect.mapError(
            decode(text),
            () => new PrivateFile.UnusableFile({ path, reason: "it is damaged; remove it to register again" })
          )

        return AgentStore.of({
          keyPair: Effect.provide(KeyPair.load(keyPath), files),
          nextKeyPair: Effect.provide(KeyPair.load(nextPath), files),
          pendingKeyPair: Effect.provide(KeyPair.find(nextPath), files),
          adoptNext: Effect.provide(PrivateFile.move(nextPath, keyPath), files),
          dropNext: Effect.provide(PrivateFile.remove(nextPath), files),
          membership: Effect.flatMap(
            Effect.provide(PrivateFile.read(path), files),
            Option.match({ onNone: () => Effect.succeedNone, onSome: (text) => Effect.asSome(read(text)) })
          ),
          save: (membership) =>
            Effect.flatMap(Effect.orDie(encode(membership)), (text) =>
              Effect.provide(PrivateFile.write(path, text), files)
            )
        })
      })
    )
}
