/** Connections for analytics, written as they come, without the people and the gateways that they would need. */
import { randomUUID } from "node:crypto"
import { Analytics } from "@broker/core/analytics/Analytics"
import type { AnalyticsQuery } from "@broker/domain/Analytics"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import type { Connection } from "./UsageModel.ts"

/** Who may connect is not asked here: these connections are history. */
const unasked = Layer.effectDiscard(
  SqlClient.SqlClient.use((sql) => sql`alter table connections disable trigger connections_admitted`)
)

export const layer = Analytics.layer.pipe(Layer.provideMerge(unasked), Layer.provideMerge(TestDatabase.layer))

/** Forgets what was made of connections. */
export const forgetUsage = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`truncate connection_usage, connection_usage_due`
  yield* sql`
    update connection_usage_progress
       set counted_until = '-infinity', complete_until = '-infinity', frozen_until = '-infinity'`
})

/** Forgets all connections, too. */
export const forget = Effect.andThen(
  SqlClient.SqlClient.use((sql) => sql`truncate connections`),
  forgetUsage
)

/** A server, with room for whatever comes. */
export const server = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  const key = Buffer.from(`${id}${id}`.slice(0, 32))
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         endpoints, capabilities, tags, labels, registered_at)
    values (${id}, ${defaultOrganizationId}, ${name}, ${id}, 'approved', now(), 'serving', now(), ${key},
            '[]', '{}', '{}', '{}', now())`
  yield* sql`update server_loads set live = 1000000 where server_id = ${id}`
  return id
})

/** Someone to look up. */
export const user = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`
    insert into users (id, organization_id, name, name_key, state_since, created_at)
    values (${id}, ${defaultOrganizationId}, ${name}, ${name}, now(), now())`
  return id
})

/** A connection of somebody to somewhere, of a time in UTC. */
export const connection = (
  activeAt: string,
  endedAt: string | null,
  fields: Partial<Connection> & Pick<Connection, "server">
): Connection => ({
  user: randomUUID(),
  device: randomUUID(),
  group: null,
  platform: "linux",
  rxBytes: 0,
  txBytes: 0,
  ...fields,
  activeAt: Date.parse(activeAt),
  endedAt: endedAt === null ? null : Date.parse(endedAt)
})

/** A connection that a server reported active. */
export const open = Effect.fnUntraced(function* (connection: Connection) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  const { activeAt, device, group, platform, server, user } = connection
  const at = new Date(activeAt)
  yield* sql`
    insert into connections (id, organization_id, user_id, user_name, personal_key_id, personal_key_name, device_id,
                             device_name, platform, server_id, server_name, server_group, created_at, expires_at,
                             grant_expires_at)
    values (${id}, ${defaultOrganizationId}, ${user}, 'Grace', ${randomUUID()}, 'key', ${device}, 'laptop', ${platform},
            ${server}, 'server', ${group}, ${at}, ${new Date(activeAt + 60_000)}, ${new Date(activeAt + 120_000)})`
  yield* sql`update connections set status = 'active', active_at = ${at} where id = ${id}`
  return id
})

/** Its end, as the server told it. */
export const end = Effect.fnUntraced(function* (
  id: string,
  at: number,
  { rxBytes, txBytes }: Pick<Connection, "rxBytes" | "txBytes">,
  reason = "closed"
) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    update connections
       set status = 'ended', ended_at = ${new Date(at)}, ended_by = 'server', end_reason = ${reason},
           server_ended_at = ${new Date(at)}, server_tx_bytes = ${rxBytes}::bigint, server_rx_bytes = ${txBytes}::bigint
     where id = ${id}`
})

/** The whole life of a connection. */
export const ended = Effect.fnUntraced(function* (connection: Connection, reason?: string) {
  const id = yield* open(connection)
  if (connection.endedAt !== null) yield* end(id, connection.endedAt, connection, reason)
  return id
})

/** Rolls up what there is, as of a moment. */
export const rollUpAt = Effect.fnUntraced(function* (now: number) {
  yield* TestClock.setTime(now)
  return yield* Analytics.use(({ rollUp }) => rollUp)
})

/** Rolls up until nothing is left to do: one run takes on no more than a day. */
export const caughtUpAt = Effect.fnUntraced(function* (now: number) {
  const sql = yield* SqlClient.SqlClient
  while (true) {
    yield* rollUpAt(now)
    const [left] = yield* sql`
      select 1 from connection_usage_progress where complete_until < ${new Date(now)}`
    if (left === undefined) return
  }
})

/** A report of the default organization: hours in UTC, by user, of all. */
export const report = (query: Pick<AnalyticsQuery, "from" | "to"> & Partial<AnalyticsQuery>) =>
  Analytics.use((analytics) =>
    analytics.report(defaultOrganizationId, {
      timeZone: "UTC",
      step: "hour",
      by: "user",
      serverId: null,
      userId: null,
      deviceId: null,
      platform: null,
      ...query
    })
  )

export const instant = (at: string | number) => DateTime.makeUnsafe(at)

/** All that was rolled up, for comparison. */
export const usage = SqlClient.SqlClient.use(
  (sql) => sql`
    select quarter, server_id, user_id, device_id, platform, server_group, opened, seconds, rx_bytes, tx_bytes
      from connection_usage
     order by 1, 2, 3, 4, 5, 6`
)

/** Every quarter that any connection touches is due. */
export const allDue = SqlClient.SqlClient.use(
  (sql) => sql`
    insert into connection_usage_due (organization_id, span)
    select organization_id, tstzrange(date_bin('15 minutes', active_at, 'epoch'),
                                      date_bin('15 minutes', coalesce(ended_at, active_at), 'epoch') + interval '15 minutes')
      from connections
     where active_at is not null`
)

/** An intent that its server refused. */
export const refused = Effect.fnUntraced(function* (at: Date, server: string) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`
    insert into connections (id, organization_id, user_id, user_name, personal_key_id, personal_key_name, device_id,
                             device_name, platform, server_id, server_name, server_group, created_at, expires_at,
                             grant_expires_at)
    values (${id}, ${defaultOrganizationId}, ${randomUUID()}, 'Grace', ${randomUUID()}, 'key', ${randomUUID()}, 'laptop',
            'linux', ${server}, 'server', null, ${at}, ${new Date(at.getTime() + 60_000)},
            ${new Date(at.getTime() + 120_000)})`
  yield* sql`
    update connections
       set status = 'refused', ended_at = ${at}, ended_by = 'server', end_reason = 'server_refused'
     where id = ${id}`
  return id
})
