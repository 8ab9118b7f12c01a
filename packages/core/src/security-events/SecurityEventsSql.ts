/** The statements of security events. */
import { OrganizationId } from "@broker/domain/Organization"
import { SecurityEvent, SecurityEventId, SecurityEventKind, SecurityEventsQuery } from "@broker/domain/SecurityEvent"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Of the kinds that this version knows: a newer node may have found something else. */
  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      ...SecurityEventsQuery.fields,
      organizationId: OrganizationId,
      before: Schema.NullOr(SecurityEventId)
    }),
    Result: Schema.Struct({ ...SecurityEvent.fields, at: Schema.DateTimeUtcFromDate }),
    execute: ({ before, kinds, limit, organizationId, serverId, severities }) => sql`
         select e.id::text as id, e.at, e.kind, e.severity, host(e.address) as address, e.details,
                case when s.id is not null then json_build_object('id', s.id, 'name', s.name) end as server
           from security_events e
      left join servers s on s.id = e.server_id
          where ${sql.and([
            sql`e.organization_id = ${organizationId}`,
            sql.in("e.kind", kinds.length === 0 ? SecurityEventKind.literals : kinds),
            ...(severities.length === 0 ? [] : [sql.in("e.severity", severities)]),
            ...(serverId === null ? [] : [sql`e.server_id = ${serverId}::uuid`]),
            ...(before === null ? [] : [sql`e.id < ${before}::bigint`])
          ])}
       order by e.id desc
          limit ${limit}`
  })

  return { list }
})
