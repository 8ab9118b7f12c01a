/**
 * Outlives a test run by a moment: once the run's end of the pipe is closed, be
 * it by `kill -9`, what it left of its PostgreSQL is stopped and removed.
 */

import { existsSync } from "node:fs"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import { Effect } from "effect"

const dataDir = process.argv[2]

process.stdin.on("close", () => {
  if (dataDir !== undefined && existsSync(dataDir)) Effect.runFork(EmbeddedPostgres.discard(dataDir))
})
process.stdin.resume()
