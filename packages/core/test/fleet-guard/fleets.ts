/** Whole fleets at once, straight from rows, and their heartbeats in batches: how one joins is another test's concern. */

import { randomBytes, randomUUID } from "node:crypto"
import * as HeartbeatsSql from "@broker/core/heartbeats/HeartbeatsSql"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"

export interface Member {
  readonly id: ServerId
  bootId: string
  seq: number
}

interface Traits {
  readonly address?: string
  readonly version?: string
  readonly groupId?: string
}

const traitsOf = (of: (index: number) => Traits, index: number) => ({
  public_address: null,
  version: null,
  group_id: null,
  ...Object.fromEntries(
    Object.entries(of(index)).map(([key, value]) => [
      { address: "public_address", version: "version", groupId: "group_id" }[key] ?? key,
      value
    ])
  )
})

/** Writes behind the backs of the services: nobody is there whom an audit entry could name. */
export const unaudited = <A, E, R>(write: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.andThen(sql`select set_config('broker.audit', '', true)`, write))
  )

/** So many servers that were let in and proved their keys, and were never heard. */
export const fleet = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  size: number,
  traits: (index: number) => Traits = () => ({})
) {
  const sql = yield* SqlClient.SqlClient
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const members = Array.from(
    { length: size },
    (): Member => ({ id: ServerId.make(randomUUID()), bootId: randomUUID(), seq: 0 })
  )
  const rows = members.map(({ id }, index) => ({
    id,
    public_key: `\\x${randomBytes(32).toString("hex")}`,
    ...traitsOf(traits, index)
  }))
  for (let from = 0; from < rows.length; from += 500) {
    yield* unaudited(sql`
    with joining as (
      select * from jsonb_to_recordset(${JSON.stringify(rows.slice(from, from + 500))}::text::jsonb)
                 as r (id uuid, public_key bytea, public_address inet, version text, group_id uuid)
    ), joined as (
      insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                           verified_at, version, endpoints, capabilities, tags, labels, public_address, registered_at, group_id)
      select id, ${organizationId}, id::text, id::text, 'approved', ${now}, 'serving', ${now}, public_key,
             ${now}, version, '[]', '{}', '{}', '{}', public_address, ${now}, group_id
        from joining
      returning id
    )
    insert into server_presence (server_id, liveness_since) select id, ${now} from joined`)
  }
  return members
})

/** The next heartbeats of all of them, written as the broker writes a batch. */
export const beats = Effect.fnUntraced(function* (
  members: ReadonlyArray<Member>,
  fields: (member: Member) => Partial<HeartbeatsSql.Beat> = () => ({})
) {
  const statements = HeartbeatsSql.make(yield* SqlClient.SqlClient, yield* ServersPolicy)
  const seenAt = DateTime.toDateUtc(yield* DateTime.now)
  const all = members.map(
    (member): HeartbeatsSql.Beat => ({
      serverId: member.id,
      bootId: member.bootId,
      seq: ++member.seq,
      seenAt,
      address: null,
      skewSeconds: 0,
      intervalSeconds: 30,
      activeConnections: 3,
      metrics: {},
      ...fields(member)
    })
  )
  const lateBefore = DateTime.makeUnsafe(0)
  for (let from = 0; from < all.length; from += 1_000) {
    yield* statements.beat({ beats: all.slice(from, from + 1_000), lateBefore })
  }
})

/** How many stand where. */
export const standing = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ liveness: string; servers: number }>`
    select p.liveness, count(*)::int as servers
      from server_presence p
      join servers s on s.id = p.server_id
     where s.organization_id = ${organizationId}
  group by p.liveness
  order by p.liveness`
  return Object.fromEntries(rows.map(({ liveness, servers }) => [liveness, servers]))
})

/** Moves of the liveness of all of them, as they were recorded. */
export const moves = Effect.fnUntraced(function* (members: ReadonlyArray<Member>) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ serverId: ServerId; after: string; reason: string | null; at: Date }>`
    select server_id, after, reason, at
      from server_transitions
     where ${sql.in(
       "server_id",
       members.map(({ id }) => id)
     )}
       and axis = 'liveness'
  order by id`
  return rows.map((row) => ({ ...row, at: row.at.getTime() }))
})

/** A fleet of its own organization that was just heard. */
export const heardFleet = Effect.fnUntraced(function* (size: number, traits?: (index: number) => Traits) {
  const organizationId = yield* Fixtures.organization
  const members = yield* fleet(organizationId, size, traits)
  yield* Fixtures.pass(0)
  yield* beats(members)
  return { organizationId, members }
})
