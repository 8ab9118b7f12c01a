/** Servers as far as discovery looks at them, put into the database as they are to be. */

import { randomUUID } from "node:crypto"
import type { OrganizationId } from "@broker/domain/Organization"
import { nameKey, ServerId } from "@broker/domain/Server"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export interface Row {
  readonly name: string
  readonly admission?: string
  readonly liveness?: string
  readonly duty?: string
  readonly isVerified?: boolean
  readonly tags?: ReadonlyArray<string>
  readonly labels?: Record<string, string>
  /** What admins say of it. */
  readonly assignedTags?: ReadonlyArray<string>
  readonly assignedLabels?: Record<string, string>
  readonly groupId?: string | null
  readonly capabilities?: Record<string, object>
  readonly version?: string | null
  readonly location?: { readonly latitude: number; readonly longitude: number } | null
  readonly live?: number
  readonly limit?: number
  /** Minutes after the first of them all. */
  readonly seen?: number
}

const filled = (row: Row) => ({
  admission: "approved",
  liveness: "online",
  duty: "serving",
  isVerified: true,
  tags: [],
  labels: {},
  assignedTags: [],
  assignedLabels: {},
  groupId: null,
  capabilities: {},
  version: "1.0.0",
  location: null,
  live: 0,
  limit: 1_000,
  seen: 0,
  ...row,
  nameKey: nameKey(row.name)
})

const write = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  rows: ReadonlyArray<Row & { readonly id: string }>
) {
  const sql = yield* SqlClient.SqlClient
  const given = sql`
    given as (
      select (row ->> 'id')::uuid as id, row,
             array(select jsonb_array_elements_text(row -> 'tags')) as tags,
             array(select jsonb_array_elements_text(row -> 'assignedTags')) as assigned_tags,
             '2026-01-01T00:00:00.123456Z'::timestamptz + make_interval(mins => (row ->> 'seen')::int) as seen
        from jsonb_array_elements(${JSON.stringify(rows.map((row) => ({ ...filled(row), id: row.id })))}::jsonb) as row
    )`
  yield* sql`
    with ${given}
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         verified_at, version, endpoints, capabilities, tags, labels, location, registered_at,
                         connection_limit, group_id, assigned_tags, assigned_labels)
    select id, ${organizationId}::uuid, row ->> 'name', row ->> 'nameKey', row ->> 'admission', now(), row ->> 'duty', now(),
           sha256(id::text::bytea), case when (row ->> 'isVerified')::boolean then now() end, row ->> 'version', '[]',
           row -> 'capabilities', tags, row -> 'labels', nullif(row -> 'location', 'null'), now(), (row ->> 'limit')::int,
           (row ->> 'groupId')::uuid, assigned_tags, row -> 'assignedLabels'
      from given
        on conflict (id) do update
       set name = excluded.name, name_key = excluded.name_key, admission = excluded.admission, duty = excluded.duty,
           verified_at = excluded.verified_at, version = excluded.version, capabilities = excluded.capabilities,
           tags = excluded.tags, labels = excluded.labels, location = excluded.location,
           connection_limit = excluded.connection_limit, group_id = excluded.group_id,
           assigned_tags = excluded.assigned_tags, assigned_labels = excluded.assigned_labels`
  yield* sql`
    with ${given}
    insert into server_presence (server_id, liveness, liveness_since, last_seen_at)
    select id, row ->> 'liveness', now(), seen from given
        on conflict (server_id) do update set liveness = excluded.liveness, last_seen_at = excluded.last_seen_at`
  yield* sql`
    with ${given}
    update server_loads l set live = (row ->> 'live')::int from given where l.server_id = given.id`
})

/** Puts servers into an organization, and tells their ids. */
export const put = Effect.fnUntraced(function* (organizationId: OrganizationId, rows: ReadonlyArray<Row>) {
  const placed = rows.map((row) => ({ ...row, id: ServerId.make(randomUUID()) }))
  yield* write(organizationId, placed)
  return placed.map(({ id }) => id)
})

/** Makes a server what it would be, had it been put so. */
export const rewrite = (organizationId: OrganizationId, id: ServerId, row: Row) =>
  write(organizationId, [{ ...row, id }])
