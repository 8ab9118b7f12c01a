/** The broker's services for a command: on the same database, without serving anything. */

import { userInfo } from "node:os"
import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import * as Database from "@broker/core/Database"
import * as DatabaseClock from "@broker/core/database/DatabaseClock"
import { Installation } from "@broker/core/Installation"
import * as Migrations from "@broker/sql"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, type Option } from "effect"
import { locate } from "../BrokerDatabase.ts"
import * as EncryptionKey from "../EncryptionKey.ts"
import * as Settings from "../Settings.ts"
import { version } from "../version.ts"
import { ExitCode } from "./ExitCode.ts"
import { CommandFailed } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import { mustExist } from "./mustExist.ts"
import * as Output from "./Output.ts"
import { quietly } from "./quietly.ts"

export interface Options {
  readonly dataDir: Option.Option<string>
  /** Whether the command makes sense where no broker ever was. */
  readonly mayBegin?: boolean
}

/** Somebody else's database is migrated when somebody says so. */
const refuseOld = Effect.gen(function* () {
  const pending = (yield* Migrations.status).filter(({ state }) => state === "pending")
  if (pending.length === 0) return
  return yield* new CommandFailed({
    code: ExitCode.refused,
    what: `The database is older than this version: ${pending.length} of its migrations are not applied.`,
    remedy: "Run `broker migrate up`, or start a broker of this version."
  })
})

const database = (values: Settings.Values) =>
  Layer.unwrap(
    Effect.map(locate(values, { role: "command", onProgress: Output.note }), ({ isEmbedded, url }) => {
      const options = { url, maxConnections: 2, patience: "2 seconds" } as const
      const checked = Layer.effectDiscard(isEmbedded ? Effect.void : refuseOld).pipe(Layer.provide(NodeServices.layer))
      return Layer.provideMerge(checked, isEmbedded ? Database.migrated(options) : Database.layer(options))
    })
  )

const userName = () => {
  try {
    return userInfo().username
  } catch {
    // A container may run us as a user that the machine does not know.
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}

const actor = Layer.sync(Actor, () =>
  Actor.of({ kind: "command", id: null, name: userName(), address: null, requestId: null })
)

/** Runs a command's body on the services, as whoever typed the command. */
export const onDatabase = <A, E, R>(
  options: Options,
  body: (values: Settings.Values) => Effect.Effect<A, E, R | Core.Services | Actor>
) =>
  Effect.gen(function* () {
    const reading = yield* Settings.read(yield* Flags.settings({ dataDir: options.dataDir }))
    const { values } = reading
    if (options.mayBegin !== true) yield* mustExist(values)
    const services = Core.layer.pipe(
      Layer.provide(Layer.succeed(Installation, { audience: Settings.publicOrigin(values), version })),
      Layer.provideMerge(DatabaseClock.layer),
      // Whoever types a command may be far away from the brokers, who are to have the key.
      Layer.provide(EncryptionKey.layer(values, { mayMake: values.databaseUrl === undefined })),
      Layer.provide(database(values)),
      Layer.provide(Settings.policies(values)),
      Layer.merge(actor)
    )
    return yield* body(values).pipe(Effect.provide(services), Effect.provide(quietly(reading)))
  })
