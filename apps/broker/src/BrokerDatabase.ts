/** The database that the settings name: one of your own, or the one the broker brings along. */

import { join, resolve } from "node:path"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import { Effect, type Redacted } from "effect"
import type { Values } from "./Settings.ts"

/** Where the embedded PostgreSQL of a data directory lives. */
export const embeddedDirectory = (values: Values) => join(resolve(values.dataDir), "postgres")

export interface Located {
  readonly url: Redacted.Redacted
  readonly isEmbedded: boolean
}

/** Its address; an embedded one runs for as long as the scope lives, whoever started it. */
export const locate = Effect.fnUntraced(function* (values: Values, options: Omit<EmbeddedPostgres.Options, "dataDir">) {
  if (values.databaseUrl !== undefined) return { url: values.databaseUrl, isEmbedded: false } satisfies Located
  const { url } = yield* EmbeddedPostgres.acquire({ ...options, dataDir: embeddedDirectory(values) })
  return { url, isEmbedded: true } satisfies Located
})
