/** Every statement that touches `bulk_acts` and `bulk_act_servers`. Nothing here decides; it only reads and writes. */
import { AdminId } from "@broker/domain/Admin"
import { BulkAct, BulkActId, BulkAction, Selection } from "@broker/domain/BulkAct"
import { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { GroupId, maxAssigned, ServerId } from "@broker/domain/Server"
import { ServerSearch } from "@broker/domain/ServerSearch"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import * as ServerSearchSql from "../servers/ServerSearchSql.ts"
import { Kept, reasons, toRemove } from "./BulkPlan.ts"

const One = Schema.Struct({ organizationId: OrganizationId, id: BulkActId })

const Now = Schema.DateTimeUtcFromDate

/** Which servers, with the search of a list as it was read. */
const Selected = Schema.Struct({
  organizationId: OrganizationId,
  selection: Schema.toType(Selection),
  search: ServerSearch,
  now: Schema.DateTimeUtc
})
type Selected = typeof Selected.Encoded

const Inserted = Schema.Struct({
  id: BulkActId,
  organizationId: OrganizationId,
  adminId: AdminId,
  adminName: Schema.String,
  address: Schema.NullOr(Schema.String),
  action: Schema.fromJsonString(BulkAction),
  permission: Permission,
  undoes: Schema.NullOr(BulkActId),
  createdAt: Now
})

const Stored = Schema.Struct({
  ...BulkAct.fields,
  /** How many servers had each. */
  problems: Schema.Record(Schema.String, Schema.Int),
  createdAt: Now,
  finishedAt: Schema.NullOr(Now),
  permission: Permission,
  organizationId: OrganizationId
})
export type Stored = typeof Stored.Type

/** An act at work, and whoever started it. */
const Running = Schema.Struct({
  id: BulkActId,
  organizationId: OrganizationId,
  adminId: AdminId,
  adminName: Schema.String,
  address: Schema.NullOr(Schema.String),
  action: BulkAction,
  permission: Permission,
  undoes: Schema.NullOr(BulkActId)
})
export type Running = typeof Running.Type

const Ended = Schema.Struct({
  actId: BulkActId,
  serverId: ServerId,
  now: Now,
  outcome: Schema.Literals(["changed", "same", "failed"]),
  problem: Schema.NullOr(Schema.String),
  before: Schema.NullOr(Schema.fromJsonString(Kept))
})

const { OID } = PgTypes
const texts = (items: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...items], OID.text))
const uuids = (items: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...items], OID.uuid))

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const conditions = ServerSearchSql.make(sql)

  /** Never one of another organization, whatever ids were ticked. */
  const selected = ({ now, organizationId, search, selection }: Selected): Fragment =>
    selection._tag === "Ticked"
      ? sql`organization_id = ${organizationId} and id = any (${uuids(selection.ids)})`
      : sql.and(conditions({ organizationId, query: selection.query, search, now }))

  /** "changes", "same", or why it is not possible, as `BulkPlan.plan` says of one. */
  const verdict = (action: BulkAction): Fragment => {
    const when = (condition: Fragment, same: Fragment = sql`'same'`, otherwise: Fragment = sql`'changes'`) =>
      sql`case when ${condition} then ${same} else ${otherwise} end`
    const unlessRetired = (rest: Fragment) => when(sql`admission = 'retired'`, sql`${reasons.retired}`, rest)
    switch (action._tag) {
      case "Tag": {
        const [add, gone] = [texts(action.add), texts(toRemove(action))]
        return sql`case
          when assigned_tags @> ${add} and not assigned_tags && ${gone} then
            case when declared_tags && ${gone} then ${reasons.declaredTag} else 'same' end
          when (select count(distinct tag) from unnest(assigned_tags || ${add}) as tag where tag <> all (${gone}))
               > ${maxAssigned} then ${reasons.tooManyTags}
          else 'changes' end`
      }
      case "Label": {
        const [set, gone] = [JSON.stringify(action.set), texts(toRemove(action))]
        return sql`case
          when assigned_labels @> ${set}::jsonb and not jsonb_exists_any(assigned_labels, ${gone}) then
            case when jsonb_exists_any(declared_labels, ${gone}) then ${reasons.declaredLabel} else 'same' end
          when (select count(*) from jsonb_object_keys((assigned_labels - ${gone}) || ${set}::jsonb))
               > ${maxAssigned} then ${reasons.tooManyLabels}
          else 'changes' end`
      }
      case "Move":
        return when(sql`group_id is not distinct from ${action.groupId}::uuid`)
      case "SetDuty":
        return unlessRetired(when(sql`duty = ${action.duty}`))
      case "LimitConnections":
        return when(sql`own_connection_limit is not distinct from ${action.limit}::integer`)
      case "Verify":
        return unlessRetired(when(sql`admission = 'suspended'`, sql`${reasons.shutOut}`))
      case "Approve":
        return unlessRetired(when(sql`admission = 'approved'`))
      case "Suspend":
        return unlessRetired(when(sql`admission = 'suspended'`))
      case "Retire":
        return when(sql`admission = 'retired'`)
    }
  }

  const preview = SqlSchema.findAll({
    Request: Schema.Struct({ ...Selected.fields, action: Schema.toType(BulkAction), names: Schema.Int }),
    Result: Schema.Struct({
      verdict: Schema.String,
      servers: Schema.Int,
      connections: Schema.Int,
      names: Schema.Array(Schema.String)
    }),
    execute: ({ action, names, ...which }) => sql`
        select verdict,
               count(*)::int as servers,
               coalesce(sum(live_connections), 0)::int as connections,
               (array_agg(name order by name_key))[1:${sql.literal(String(names))}] as names
          from (select name, name_key, live_connections, ${verdict(action)} as verdict
                  from fleet_servers
                 where ${selected(which)}) as judged
      group by verdict
      order by servers desc, verdict`
  })

  const hasGroup = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: GroupId }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ id, organizationId }) =>
      sql`select id from groups where organization_id = ${organizationId} and id = ${id}`
  })

  const insert = SqlSchema.void({
    Request: Inserted,
    execute: (act) => sql`insert into bulk_acts ${sql.insert({ ...act, state: "running", total: 0 })}`
  })

  /**
   * Notes who is to be changed, as they are found now, in the order of their ids: so many after one of them. Tells how
   * many there were, how many of them change, and which was the last.
   */
  const note = SqlSchema.findOne({
    Request: Schema.Struct({
      ...Selected.fields,
      id: BulkActId,
      action: Schema.toType(BulkAction),
      after: Schema.NullOr(ServerId),
      limit: Schema.Int
    }),
    Result: Schema.Struct({ servers: Schema.Int, changes: Schema.Int, last: Schema.NullOr(ServerId) }),
    execute: ({ action, after, id, limit, ...which }) => sql`
      with found as materialized (
          select id, ${verdict(action)} as verdict
            from fleet_servers
           where ${sql.and([selected(which), ...(after === null ? [] : [sql`id > ${after}::uuid`])])}
        order by id
           limit ${limit}
      ), noted as (
        insert into bulk_act_servers (act_id, server_id) select ${id}::uuid, id from found
      )
      select count(*)::int as servers,
             (count(*) filter (where verdict = 'changes'))::int as changes,
             (array_agg(id order by id desc))[1] as last
        from found`
  })

  /** Those that an act changed, with what to put back; as many at once as those that are noted. */
  const noteChanged = SqlSchema.findOne({
    Request: Schema.Struct({
      id: BulkActId,
      undoes: BulkActId,
      after: Schema.NullOr(ServerId),
      limit: Schema.Int
    }),
    Result: Schema.Struct({ servers: Schema.Int, last: Schema.NullOr(ServerId) }),
    execute: ({ after, id, limit, undoes }) => sql`
      with changed as materialized (
          select server_id, before
            from bulk_act_servers
           where act_id = ${undoes}
             and outcome = 'changed'
             and server_id > coalesce(${after}::uuid, '00000000-0000-0000-0000-000000000000')
        order by server_id
           limit ${limit}
      ), noted as (
        insert into bulk_act_servers (act_id, server_id, before) select ${id}::uuid, server_id, before from changed
      )
      select count(*)::int as servers, (array_agg(server_id order by server_id desc))[1] as last from changed`
  })

  /** An act about nobody has ended already. */
  const setTotal = SqlSchema.void({
    Request: Schema.Struct({ id: BulkActId, total: Schema.Int, now: Now }),
    execute: ({ id, now, total }) => sql`
      update bulk_acts
         set total = ${total},
             state = case when ${total}::integer = 0 then 'done' else state end,
             finished_at = case when ${total}::integer = 0 then ${now}::timestamptz end
       where id = ${id}`
  })

  const columns = sql`
    a.id, a.organization_id, a.action, a.admin_name, a.state, a.stopped_because, a.total, a.changed, a.same, a.failed,
    a.problems, a.permission, a.undoes, a.created_at, a.finished_at,
    (select u.id from bulk_acts u where u.undoes = a.id) as undone_by,
    false as undoable`

  const get = SqlSchema.findOne({
    Request: One,
    Result: Stored,
    execute: ({ id, organizationId }) => sql`
      select ${columns} from bulk_acts a where a.organization_id = ${organizationId} and a.id = ${id}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, limit: Schema.Int }),
    Result: Stored,
    execute: ({ limit, organizationId }) => sql`
        select ${columns}
          from bulk_acts a
         where a.organization_id = ${organizationId}
      order by a.id desc
         limit ${limit}`
  })

  /** Held until the transaction ends by whoever stops or undoes an act. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ id: BulkActId }),
    execute: ({ id, organizationId }) =>
      sql`select id from bulk_acts where organization_id = ${organizationId} and id = ${id} for update`
  })

  /** Those at work, the oldest first. */
  const running = SqlSchema.findAll({
    Request: Schema.Struct({ limit: Schema.Int }),
    Result: Running,
    execute: ({ limit }) => sql`
        select id, organization_id, admin_id, admin_name, host(address) as address, action, permission, undoes
          from bulk_acts
         where state = 'running'
      order by id
         limit ${limit}`
  })

  /** Servers that were not reached yet, those last that could not be. */
  const waiting = SqlSchema.findAll({
    Request: Schema.Struct({ id: BulkActId, limit: Schema.Int }),
    Result: Schema.Struct({ serverId: ServerId }),
    execute: ({ id, limit }) => sql`
        select server_id
          from bulk_act_servers
         where act_id = ${id}
           and outcome is null
      order by tries, server_id
         limit ${limit}`
  })

  /**
   * Held until the transaction ends by whoever takes an act further: whoever stops or undoes it waits for the server
   * that is under way, and sees it. None where the act is at work no more.
   */
  const lockRunning = SqlSchema.findOneOption({
    Request: BulkActId,
    Result: Schema.Struct({ id: BulkActId }),
    execute: (id) => sql`select id from bulk_acts where id = ${id} and state = 'running' for no key update`
  })

  /** None where it was reached already. */
  const take = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: BulkActId, serverId: ServerId }),
    Result: Schema.Struct({ kept: Schema.NullOr(Kept) }),
    execute: ({ id, serverId }) => sql`
      select before as kept
        from bulk_act_servers
       where act_id = ${id}
         and server_id = ${serverId}
         and outcome is null`
  })

  /** What came of a server; the last one ends the act. */
  const end = SqlSchema.void({
    Request: Ended,
    execute: ({ actId, before, now, outcome, problem, serverId }) => sql`
      with ended as (
           update bulk_act_servers
              set outcome = ${outcome}, problem = ${problem}, before = coalesce(${before}::jsonb, before)
            where act_id = ${actId}
              and server_id = ${serverId}
              and outcome is null
        returning outcome, problem
      )
      update bulk_acts a
         set changed = a.changed + (e.outcome = 'changed')::integer,
             same = a.same + (e.outcome = 'same')::integer,
             failed = a.failed + (e.outcome = 'failed')::integer,
             problems = case
               when e.problem is null then a.problems
               else a.problems || jsonb_build_object(e.problem, coalesce((a.problems ->> e.problem)::integer, 0) + 1)
             end,
             state = case when a.changed + a.same + a.failed + 1 = a.total then 'done' else a.state end,
             finished_at = case when a.changed + a.same + a.failed + 1 = a.total then ${now}::timestamptz end
        from ended e
       where a.id = ${actId}`
  })

  /** Another time, then; tells how often it was tried. None where somebody else reached it. */
  const putOff = SqlSchema.findOneOption({
    Request: Schema.Struct({ actId: BulkActId, serverId: ServerId }),
    Result: Schema.Struct({ tries: Schema.Int }),
    execute: ({ actId, serverId }) => sql`
         update bulk_act_servers
            set tries = tries + 1
          where act_id = ${actId}
            and server_id = ${serverId}
            and outcome is null
      returning tries`
  })

  /** Tells whether it was at work. */
  const stop = SqlSchema.findAll({
    Request: Schema.Struct({ id: BulkActId, because: Schema.NullOr(Schema.String), now: Now }),
    Result: Schema.Struct({ id: BulkActId }),
    execute: ({ because, id, now }) => sql`
         update bulk_acts
            set state = 'stopped', stopped_because = ${because}, finished_at = ${now}
          where id = ${id}
            and state = 'running'
      returning id`
  })

  /** Ended before a time. An act goes after the one that put it back. */
  const past = SqlSchema.findAll({
    Request: Schema.Struct({ before: Now, limit: Schema.Int }),
    Result: Schema.Struct({ id: BulkActId }),
    execute: ({ before, limit }) => sql`
        select a.id
          from bulk_acts a
         where a.finished_at < ${before}
           and not exists (select from bulk_acts u where u.undoes = a.id)
      order by a.id
         limit ${limit}`
  })

  /** So many servers of acts. */
  const forget = SqlSchema.void({
    Request: Schema.Struct({ ids: Schema.Array(BulkActId), limit: Schema.Int }),
    execute: ({ ids, limit }) => sql`
      delete from bulk_act_servers
       where ctid = any (array(select ctid from bulk_act_servers where act_id = any (${uuids(ids)}) limit ${limit}))`
  })

  /** Those of the acts that have no servers any more. */
  const remove = SqlSchema.findAll({
    Request: Schema.Array(BulkActId),
    Result: Schema.Struct({ id: BulkActId }),
    execute: (ids) => sql`
         delete from bulk_acts a
          where a.id = any (${uuids(ids)})
            and not exists (select from bulk_act_servers where act_id = a.id)
      returning a.id`
  })

  return {
    preview,
    hasGroup,
    insert,
    note,
    noteChanged,
    setTotal,
    get,
    list,
    lock,
    running,
    waiting,
    lockRunning,
    take,
    end,
    putOff,
    stop,
    past,
    forget,
    remove
  }
})
