/** The statements of webhooks, their secrets, and the log of what they were sent. Nothing here decides. */
import { AdminId } from "@broker/domain/Admin"
import { EventId, EventPlace } from "@broker/domain/Event"
import { OrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { DeliveryState, WebhookDeliveryId, WebhookId, WebhookPause, WebhookSecret } from "@broker/domain/Webhook"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import * as DeliveriesSql from "./DeliveriesSql.ts"

const Now = Schema.DateTimeUtcFromDate
const MaybeNow = Schema.NullOr(Now)
const One = Schema.Struct({ organizationId: OrganizationId, id: WebhookId })

/** A webhook as it stands in the table. A later release may have put types there that this one does not know. */
export const Row = Schema.Struct({
  id: WebhookId,
  name: Schema.String,
  url: Schema.String,
  types: Schema.Array(Schema.String),
  version: Schema.Int,
  pausedBecause: Schema.NullOr(WebhookPause),
  pausedAt: MaybeNow,
  restsUntil: MaybeNow,
  failuresInRow: Schema.Int,
  failingSince: MaybeNow,
  lastProblem: Schema.NullOr(Schema.String),
  lastSuccessAt: MaybeNow,
  lastFailureAt: MaybeNow,
  pending: Schema.Int,
  createdBy: Schema.String,
  createdAt: Now,
  secrets: Schema.Array(WebhookSecret)
})
export type Row = typeof Row.Type

const Webhook = Schema.Struct({
  ...One.fields,
  name: Schema.String,
  url: Schema.String,
  types: Schema.Array(Schema.String),
  version: Schema.Int,
  createdBy: Schema.String,
  ownerId: Schema.NullOr(AdminId),
  createdAt: Now
})

const DeliveryRow = Schema.Struct({
  seq: Schema.BigInt,
  id: WebhookDeliveryId,
  webhookId: WebhookId,
  eventId: EventId,
  type: Schema.String,
  subjectKind: Schema.String,
  subjectId: Uuid,
  subjectName: Schema.NullOr(Schema.String),
  state: DeliveryState,
  attempts: Schema.Int,
  nextAttemptAt: MaybeNow,
  lastStatus: Schema.NullOr(Schema.Int),
  lastProblem: Schema.NullOr(Schema.String),
  createdAt: Now,
  endedAt: MaybeNow,
  replayOf: Schema.NullOr(WebhookDeliveryId)
})
export type DeliveryRow = typeof DeliveryRow.Type

const AttemptRow = Schema.Struct({
  at: Now,
  durationMillis: Schema.Int,
  status: Schema.NullOr(Schema.Int),
  problem: Schema.NullOr(Schema.String),
  version: Schema.Int,
  requestHeaders: Schema.Record(Schema.String, Schema.String),
  responseHeaders: Schema.Record(Schema.String, Schema.String),
  responseBody: Schema.String,
  event: Schema.NullOr(Schema.Unknown)
})
export type AttemptRow = typeof AttemptRow.Type

const Range = Schema.Struct({
  ...One.fields,
  types: Schema.Array(Schema.String),
  after: Schema.NullOr(EventPlace),
  upTo: Schema.NullOr(EventPlace),
  from: MaybeNow,
  to: MaybeNow,
  now: Now,
  limit: Schema.Int
})

const texts = (values: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...values], PgTypes.OID.text))

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const select = (now: Date) => sql`
       select w.id, w.name, w.url, w.types, w.version, w.paused_because, w.paused_at, w.rests_until, w.failures_in_row,
              w.failing_since, w.last_problem, w.last_success_at, w.last_failure_at, w.created_by, w.created_at,
              p.pending, s.secrets
         from webhooks w
         cross join lateral (
                select count(*)::int as pending
                  from (select from webhook_deliveries
                         where webhook_id = w.id and state = 'pending'
                         limit 1001) d) p
         cross join lateral (
                select coalesce(
                         json_agg(
                           json_build_object('hint', hint, 'createdAt', created_at, 'expiresAt', expires_at)
                           order by previous),
                         '[]') as secrets
                  from webhook_secrets
                 where webhook_id = w.id and (expires_at is null or expires_at > ${now})) s`

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      before: Schema.NullOr(WebhookId),
      limit: Schema.Int,
      now: Now
    }),
    Result: Row,
    execute: ({ before, limit, now, organizationId }) => sql`
      ${select(now)}
         where w.organization_id = ${organizationId} and (${before}::uuid is null or w.id < ${before}::uuid)
      order by w.id desc
         limit ${limit}`
  })

  const get = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: Row,
    execute: ({ id, now, organizationId }) =>
      sql`${select(now)} where w.organization_id = ${organizationId} and w.id = ${id}`
  })

  /** Until the transaction ends, nobody else changes it. */
  const hold = SqlSchema.findOneOption({
    Request: One,
    Result: Schema.Struct({
      name: Schema.String,
      url: Schema.String,
      types: Schema.Array(Schema.String),
      ownerId: Schema.NullOr(AdminId)
    }),
    execute: ({ id, organizationId }) => sql`
      select name, url, types, owner_id from webhooks where organization_id = ${organizationId} and id = ${id} for update`
  })

  const count = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Schema.Struct({ webhooks: Schema.Int }),
    execute: (organizationId) =>
      sql`select count(*)::int as webhooks from webhooks where organization_id = ${organizationId}`
  })

  const insert = SqlSchema.void({
    Request: Webhook,
    execute: (webhook) => sql`
      insert into webhooks (id, organization_id, name, url, types, version, created_by, owner_id, created_at)
      values (${webhook.id}, ${webhook.organizationId}, ${webhook.name}, ${webhook.url}, ${texts(webhook.types)},
              ${webhook.version}, ${webhook.createdBy}, ${webhook.ownerId}::uuid, ${webhook.createdAt})`
  })

  const update = SqlSchema.void({
    Request: Schema.Struct({
      id: WebhookId,
      name: Schema.String,
      url: Schema.String,
      types: Schema.Array(Schema.String),
      version: Schema.NullOr(Schema.Int)
    }),
    execute: ({ id, name, types, url, version }) => sql`
      update webhooks
         set name = ${name}, url = ${url}, types = ${texts(types)}, version = coalesce(${version}::int, version)
       where id = ${id}`
  })

  const pause = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, now, organizationId }) => sql`
         update webhooks
            set paused_because = 'admin', paused_at = ${now}, rests_until = null
          where organization_id = ${organizationId} and id = ${id} and paused_at is null
      returning name`
  })

  /** Whose permissions count from now on for what it is sent. */
  const own = SqlSchema.void({
    Request: Schema.Struct({ id: WebhookId, ownerId: Schema.NullOr(AdminId) }),
    execute: ({ id, ownerId }) => sql`update webhooks set owner_id = ${ownerId}::uuid where id = ${id}`
  })

  /**
   * What waits after failures is due now, and has all its tries again. Whoever holds the webhook held these before it
   * (`Holds.webhook`), as deliveries lock them so; one that failed since then is about to be tried anyway.
   */
  const wake = SqlSchema.void({
    Request: Schema.Struct({ id: WebhookId, now: Now }),
    execute: ({ id, now }) => sql`
      update webhook_lanes l
         set due_at = ${now}, failures = 0, first_failed_at = null
        from (select webhook_id, subject_id
                from webhook_lanes
               where webhook_id = ${id} and failures > 0 and claim is null
                 for update skip locked) f
       where l.webhook_id = f.webhook_id and l.subject_id = f.subject_id`
  })

  const resume = SqlSchema.findOneOption({
    Request: One,
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, organizationId }) => sql`
         update webhooks
            set paused_because = null, paused_at = null, rests_until = null, failures_in_row = 0, failing_since = null
          where organization_id = ${organizationId} and id = ${id}
            and (paused_at is not null or rests_until is not null or failures_in_row > 0)
      returning name`
  })

  /** It leads elsewhere now: how it did says nothing any more. */
  const forgive = SqlSchema.void({
    Request: WebhookId,
    execute: (id) =>
      sql`update webhooks set rests_until = null, failures_in_row = 0, failing_since = null where id = ${id}`
  })

  const remove = SqlSchema.findOneOption({
    Request: One,
    Result: Schema.Struct({ name: Schema.String, url: Schema.String }),
    execute: ({ id, organizationId }) => sql`
         delete from webhooks where organization_id = ${organizationId} and id = ${id}
      returning name, url`
  })

  const insertSecret = SqlSchema.void({
    Request: Schema.Struct({
      id: Uuid,
      webhookId: WebhookId,
      hint: Schema.String,
      sealedSecret: Schema.Uint8Array,
      now: Now
    }),
    execute: ({ hint, id, now, sealedSecret, webhookId }) => sql`
      insert into webhook_secrets (id, webhook_id, previous, hint, sealed_secret, created_at)
      values (${id}, ${webhookId}, false, ${hint}, ${sealedSecret}, ${now})`
  })

  const removePreviousSecret = SqlSchema.void({
    Request: WebhookId,
    execute: (webhookId) => sql`delete from webhook_secrets where webhook_id = ${webhookId} and previous`
  })

  const retireSecret = SqlSchema.void({
    Request: Schema.Struct({ webhookId: WebhookId, expiresAt: Now }),
    execute: ({ expiresAt, webhookId }) => sql`
      update webhook_secrets set previous = true, expires_at = ${expiresAt} where webhook_id = ${webhookId} and not previous`
  })

  /** Tells of a test in the feed, like of anything that happens. */
  const tell = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, eventId: Uuid, name: Schema.String, now: Now }),
    execute: ({ eventId, id, name, now, organizationId }) => sql`
      insert into event_outbox (id, organization_id, type, subject_kind, subject_id, subject_name, data, at)
      values (${eventId}, ${organizationId}, 'webhook.test', 'webhook', ${id}, ${name},
              jsonb_build_object('webhook', name_of(${id}::uuid, ${name}::text)), ${now})`
  })

  const deliverTest = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, eventId: Uuid, name: Schema.String, now: Now }),
    Result: Schema.Struct({ id: WebhookDeliveryId }),
    execute: ({ eventId, id, name, now, organizationId }) => sql`
      insert into webhook_deliveries
             (organization_id, webhook_id, event_id, type, subject_kind, subject_id, subject_name, created_at)
      values (${organizationId}, ${id}, ${eventId}, 'webhook.test', 'webhook', ${id}, ${name}, ${now})
      returning id`
  })

  /** Somebody looks after a lane from now on, if nobody does yet. */
  const open = SqlSchema.void({
    Request: Schema.Struct({ ...DeliveriesSql.Lane.fields, now: Now }),
    execute: ({ now, subjectId, webhookId }) => sql`
      insert into webhook_lanes as l (webhook_id, subject_id, due_at)
      values (${webhookId}, ${subjectId}, ${now})
      on conflict (webhook_id, subject_id) do update set due_at = l.due_at`
  })

  const delivery = sql`
       select d.seq, d.id, d.webhook_id, d.event_id, d.type, d.subject_kind, d.subject_id, d.subject_name, d.state,
              d.attempts, d.last_status, d.last_problem, d.created_at, d.ended_at, d.replay_of,
              case when d.state = 'pending' and f.seq = d.seq then l.due_at end as next_attempt_at
         from webhook_deliveries d
    left join webhook_lanes l on d.state = 'pending' and l.webhook_id = d.webhook_id and l.subject_id = d.subject_id
    left join lateral (
                select e.seq from webhook_deliveries e
                 where e.webhook_id = d.webhook_id and e.subject_id = d.subject_id and e.state = 'pending'
              order by e.seq
                 limit 1) f on d.state = 'pending'`

  const deliveries = SqlSchema.findAll({
    Request: Schema.Struct({
      webhookId: WebhookId,
      states: Schema.Array(DeliveryState),
      types: Schema.Array(Schema.String),
      subjectId: Schema.NullOr(Uuid),
      eventId: Schema.NullOr(Uuid),
      from: MaybeNow,
      to: MaybeNow,
      before: Schema.NullOr(Schema.BigInt),
      limit: Schema.Int
    }),
    Result: DeliveryRow,
    execute: ({ before, eventId, from, limit, states, subjectId, to, types, webhookId }) => sql`
      ${delivery}
         where ${sql.and([
           sql`d.webhook_id = ${webhookId}`,
           ...(states.length === 0 ? [] : [sql.in("d.state", states)]),
           ...(types.length === 0 ? [] : [sql.in("d.type", types)]),
           ...(subjectId === null ? [] : [sql`d.subject_id = ${subjectId}`]),
           ...(eventId === null ? [] : [sql`d.event_id = ${eventId}`]),
           ...(from === null ? [] : [sql`d.created_at >= ${from}`]),
           ...(to === null ? [] : [sql`d.created_at < ${to}`]),
           ...(before === null ? [] : [sql`d.seq < ${before}`])
         ])}
      order by d.seq desc
         limit ${limit}`
  })

  const findDelivery = SqlSchema.findOneOption({
    Request: Schema.Struct({ webhookId: WebhookId, id: WebhookDeliveryId }),
    Result: DeliveryRow,
    execute: ({ id, webhookId }) => sql`${delivery} where d.webhook_id = ${webhookId} and d.id = ${id}`
  })

  const attempts = SqlSchema.findAll({
    Request: Schema.Struct({ seq: Schema.BigInt }),
    Result: AttemptRow,
    execute: ({ seq }) => sql`
        select a.at, a.duration_millis, a.status, a.problem, a.version, a.request_headers, a.response_headers,
               a.response_body, case when e.id is not null then ${sql.literal(DeliveriesSql.told)} end as event
          from webhook_attempts a
          join webhook_deliveries d on d.seq = a.delivery_seq
     left join events e on e.id = d.event_id
         where a.delivery_seq = ${seq}
      order by a.id
         limit 200`
  })

  /** Once more, as a delivery of its own. None where the event is gone. */
  const repeat = SqlSchema.findOneOption({
    Request: Schema.Struct({ seq: Schema.BigInt, now: Now }),
    Result: Schema.Struct({ subjectId: Uuid }),
    execute: ({ now, seq }) => sql`
      insert into webhook_deliveries
             (organization_id, webhook_id, event_id, type, subject_kind, subject_id, subject_name, created_at, replay_of)
      select d.organization_id, d.webhook_id, d.event_id, d.type, d.subject_kind, d.subject_id, d.subject_name, ${now}, d.id
        from webhook_deliveries d
        join events e on e.id = d.event_id
       where d.seq = ${seq}
      returning subject_id`
  })

  const range = ({ after, from, id, organizationId, to, types, upTo }: typeof Range.Encoded, limit: number) => sql`
      select e.id, e.place, e.organization_id, e.type, e.subject_kind, e.subject_id, e.subject_name
        from events e
       where ${sql.and([
         sql`e.organization_id = ${organizationId}`,
         sql`e.type = any(${texts(types)})`,
         sql`e.subject_id <> ${id}`,
         ...(after === null ? [] : [sql`e.place > ${after}::bigint`]),
         ...(upTo === null ? [] : [sql`e.place <= ${upTo}::bigint`]),
         ...(from === null ? [] : [sql`e.at >= ${from}`]),
         ...(to === null ? [] : [sql`e.at < ${to}`])
       ])}
    order by e.place
       limit ${limit}`

  /** What happened in a range, in its order; with lanes for all of it. */
  const repeatRange = SqlSchema.findOne({
    Request: Range,
    Result: Schema.Struct({ deliveries: Schema.Int, more: Schema.Boolean, next: Schema.NullOr(EventPlace) }),
    execute: ({ limit, ...which }) => sql`
      with found as materialized (${range({ ...which, limit }, limit + 1)}),
           taken as (select * from found order by place limit ${limit}),
           added as (
        insert into webhook_deliveries
               (organization_id, webhook_id, event_id, type, subject_kind, subject_id, subject_name, created_at, replay_of)
             select t.organization_id, ${which.id}, t.id, t.type, t.subject_kind, t.subject_id, t.subject_name,
                    ${which.now},
                    (select d.id from webhook_deliveries d
                      where d.event_id = t.id and d.webhook_id = ${which.id} order by d.seq limit 1)
               from taken t
           order by t.place
          returning subject_id),
           opened as (
        insert into webhook_lanes as l (webhook_id, subject_id, due_at)
             select distinct ${which.id}::uuid, subject_id, ${which.now}::timestamptz from added order by 2
        on conflict (webhook_id, subject_id) do update set due_at = l.due_at
          returning 1)
      select (select count(*)::int from added) as deliveries,
             (select count(*) from found) > ${limit}::int as more,
             (select max(place)::text from taken) as next`
  })

  /** How many that would be; one more than the limit where there are more. */
  const countRange = SqlSchema.findOne({
    Request: Range,
    Result: Schema.Struct({ events: Schema.Int }),
    execute: (which) => sql`select count(*)::int as events from (${range(which, which.limit + 1)}) e`
  })

  const isKept = SqlSchema.findOne({
    Request: EventId,
    Result: Schema.Struct({ kept: Schema.Boolean }),
    execute: (id) => sql`select exists (select from events where id = ${id}) as kept`
  })

  /** Attempts since an instant, by what came of them. */
  const figures = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, since: Now }),
    Result: Schema.Struct({ webhookId: WebhookId, delivered: Schema.Int, failed: Schema.Int }),
    execute: ({ organizationId, since }) => sql`
        select a.webhook_id,
               count(*) filter (where a.problem is null)::int as delivered,
               count(*) filter (where a.problem is not null)::int as failed
          from webhook_attempts a
          join webhooks w on w.id = a.webhook_id and w.organization_id = ${organizationId}
         where a.at >= ${since}
      group by a.webhook_id`
  })

  /** Of those that rest or that the broker paused, the one that fails for the longest time first. */
  const failing = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, limit: Schema.Int }),
    Result: Schema.Struct({
      id: WebhookId,
      name: Schema.String,
      isPaused: Schema.Boolean,
      failingSince: MaybeNow,
      lastProblem: Schema.NullOr(Schema.String)
    }),
    execute: ({ limit, organizationId }) => sql`
        select id, name, paused_at is not null as is_paused, failing_since, last_problem
          from webhooks
         where organization_id = ${organizationId}
           and (paused_because = 'failing' or rests_until is not null)
      order by failing_since nulls last, id
         limit ${limit}`
  })

  return {
    list,
    get,
    hold,
    own,
    count,
    insert,
    update,
    pause,
    wake,
    resume,
    forgive,
    remove,
    insertSecret,
    removePreviousSecret,
    retireSecret,
    tell,
    deliverTest,
    open,
    deliveries,
    findDelivery,
    attempts,
    repeat,
    repeatRange,
    countRange,
    isKept,
    figures,
    failing
  }
})
