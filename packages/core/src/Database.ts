/**
 * The connections to PostgreSQL: one pool for everything, a small one beside it
 * for heartbeats, and a listener for signals.
 */

import * as Migrations from "@broker/sql"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Layer, Option, type Redacted, Schema, String } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql"
import * as PgLink from "./database/PgLink.ts"
import { Signals } from "./database/Signals.ts"
import * as SqlFailure from "./database/SqlFailure.ts"

export interface DatabaseOptions {
  readonly url: Redacted.Redacted
  /** Of the main pool, 15 when left out. Two more are for heartbeats and one for signals. */
  readonly maxConnections?: number
  /** How long to wait for a database that is not there yet, 10 seconds when left out. */
  readonly patience?: Duration.Input
  /**
   * What becomes of a change that matters and has no audit entry (A6): it is refused, or the database writes the entry.
   * Refused when left out, as everything here says who did it.
   */
  readonly unaudited?: "refused" | "written"
}

/**
 * The pool for group commits of heartbeats, and for nothing else: it answers
 * before the write is on disk, so that a power cut may lose the last of them.
 */
export class BeatSql extends Context.Service<BeatSql, SqlClient.SqlClient>()("@broker/core/Database/BeatSql") {}

/** The server is a PostgreSQL the statements here do not run on. */
export class DatabaseUnsupported extends Schema.TaggedError<DatabaseUnsupported>()("DatabaseUnsupported", {
  version: Schema.String
}) {
  override get message() {
    return `The database is PostgreSQL ${this.version}; the broker needs 15 or newer`
  }
}

const oldest = 150_000
const statementTimeout = Duration.seconds(5)

/** Longer than any statement may take, so that only a dead link is ever that silent. */
const silence = Duration.millis(5_500)

/** A session that stalls gives up its locks and its connection by itself. */
const startupParameters = {
  statement_timeout: `${Duration.toMillis(statementTimeout)}`,
  lock_timeout: "2000",
  idle_in_transaction_session_timeout: "5000",
  TimeZone: "UTC",
  jit: "off"
}

/**
 * SQL speaks snake_case and the domain camelCase; the client translates both
 * ways. Not inside JSON, whose keys may be anybody's.
 */
const pool = (options: DatabaseOptions): PgClient.PgPoolConfig => ({
  url: options.url,
  applicationName: "broker",
  maxConnections: options.maxConnections ?? 15,
  connectTimeout: "2 seconds",
  startupParameters: {
    ...startupParameters,
    ...(options.unaudited === "written" ? {} : { "broker.audit": "required" })
  },
  transformQueryNames: String.camelToSnake,
  transformResultNames: String.snakeToCamel,
  transformJson: false
})

/** Own sockets for each pool: what one of them hears says nothing about the other's server. */
const watched = (config: PgClient.PgPoolConfig, url: Redacted.Redacted): PgClient.PgPoolConfig =>
  Option.match(PgLink.target(url), {
    onNone: () => config,
    onSome: (target) => ({ ...config, stream: PgLink.make(target, silence).stream })
  })

const main = (options: DatabaseOptions) => PgClient.layer(watched(pool(options), options.url))

const beat = (options: DatabaseOptions) =>
  Layer.effect(
    BeatSql,
    Effect.suspend(() =>
      PgClient.make(
        watched(
          {
            ...pool(options),
            applicationName: "broker-beat",
            maxConnections: 2,
            startupParameters: { ...pool(options).startupParameters, synchronous_commit: "off" }
          },
          options.url
        )
      )
    )
  ).pipe(Layer.provide(Reactivity.layer))

const supported = Effect.fnUntraced(function* (patience: Duration.Input) {
  const sql = yield* SqlClient.SqlClient
  const isTooOld = yield* sql`
    select current_setting('server_version') as version
     where current_setting('server_version_num')::integer < ${oldest}`.pipe(
    Effect.tapError((error) => Effect.logWarning("The database does not answer yet", { reason: error.message })),
    SqlFailure.retryIdempotent(patience)
  )
  const [row] = isTooOld
  if (row !== undefined) return yield* new DatabaseUnsupported({ version: `${row["version"]}` })
})

/** The pools on a database whose schema is taken as it is. */
export const layer = (options: DatabaseOptions) =>
  Layer.mergeAll(Signals.layer, beat(options), Layer.effectDiscard(supported(options.patience ?? "10 seconds"))).pipe(
    Layer.provideMerge(main(options))
  )

/** Migrations take their time, so they run on a connection without the limits of the pools. */
const unlimited = (options: DatabaseOptions) =>
  PgClient.layer({
    ...pool(options),
    applicationName: "broker-migrations",
    maxConnections: 1,
    keepAlive: "10 seconds",
    startupParameters: { TimeZone: "UTC" }
  })

/** The pools, with the schema brought up to date before anyone queries it. */
export const migrated = (options: DatabaseOptions) => {
  const up = Layer.effectDiscard(Effect.andThen(supported(options.patience ?? "10 seconds"), Migrations.up)).pipe(
    Layer.provide([unlimited(options), NodeServices.layer])
  )
  return layer(options).pipe(Layer.provide(up))
}
