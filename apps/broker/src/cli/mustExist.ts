import { Effect, FileSystem } from "effect"
import { embeddedDirectory } from "../BrokerDatabase.ts"
import type * as Settings from "../Settings.ts"
import { ExitCode } from "./ExitCode.ts"
import { CommandFailed } from "./Failure.ts"

/** A command that only looks must not leave a database behind in whatever directory it was typed. */
export const mustExist = Effect.fnUntraced(function* (values: Settings.Values) {
  if (values.databaseUrl !== undefined) return
  const fs = yield* FileSystem.FileSystem
  if (yield* Effect.orElseSucceed(fs.exists(embeddedDirectory(values)), () => false)) return
  return yield* new CommandFailed({
    code: ExitCode.refused,
    what: `There is no broker's data in ${values.dataDir}.`,
    remedy: "Name its directory with --data-dir, or its database with DATABASE_URL; or start one with `broker serve`."
  })
})
