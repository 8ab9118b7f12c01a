/** The statements that send events on: taking up what is due, and writing down what came of it. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { WebhookId } from "@broker/domain/Webhook"
import { PgTypes } from "@effect/sql-pg"
import { Duration, Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { WebhooksPolicy } from "./WebhooksPolicy.ts"

const { OID } = PgTypes
const Now = Schema.DateTimeUtcFromDate
const MaybeNow = Schema.NullOr(Now)

/** A subject of a webhook with something to deliver. */
export const Lane = Schema.Struct({ webhookId: WebhookId, subjectId: Uuid })
export type Lane = typeof Lane.Type

/** A lane that a node took up, under a claim that only that node knows. */
const Claim = Schema.Struct({ ...Lane.fields, claim: Uuid })

/** What goes next in a lane. */
export const Next = Schema.Struct({
  seq: Schema.BigInt,
  organizationId: OrganizationId,
  eventId: Uuid,
  type: Schema.String,
  createdAt: Now,
  ownerId: Schema.NullOr(AdminId),
  /** Whether the webhook listens to its type: not to a test, nor to what it listened to before. */
  isHeard: Schema.Boolean,
  url: Schema.String,
  version: Schema.Int,
  /** Null where the event is gone, or has no place yet. */
  event: Schema.NullOr(Schema.Unknown),
  /** Whether the event still waits for its place. */
  isComing: Schema.Boolean,
  failures: Schema.Int,
  firstFailedAt: MaybeNow
})
export type Next = typeof Next.Type

/** How a webhook does. */
export const Circuit = Schema.Struct({
  name: Schema.String,
  failuresInRow: Schema.Int,
  failingSince: MaybeNow,
  restsUntil: MaybeNow,
  pausedAt: MaybeNow
})
export type Circuit = typeof Circuit.Type

const Sealed = Schema.Struct({ id: Uuid, sealedSecret: Schema.Uint8Array })

const ids = (values: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...values], OID.uuid))

/** An event as it goes out. */
export const told = `
  json_build_object(
    'id', e.id, 'type', e.type, 'version', 1, 'at', e.at, 'place', e.place::text,
    'subject', json_build_object('kind', e.subject_kind, 'id', e.subject_id, 'name', e.subject_name),
    'data', e.data)`

export const make = Effect.fnUntraced(function* (policy: typeof WebhooksPolicy.Service) {
  const sql = yield* SqlClient.SqlClient

  const lease = (now: Date, duration: Duration.Duration) =>
    sql`${now}::timestamptz + ${durationText(duration)}::interval`

  /**
   * Takes up lanes that are due, fairly: of each webhook as many as it may have under way, of a resting one a single one.
   * What another node is just taking is passed over.
   */
  const claim = SqlSchema.findAll({
    Request: Schema.Struct({ claim: Uuid, now: Now, limit: Schema.Int }),
    Result: Schema.Struct({ ...Lane.fields, isTrial: Schema.Boolean }),
    execute: ({ claim, limit, now }) => sql`
      with ready as materialized (
             select w.id, w.rests_until is not null as is_trial,
                    case when w.rests_until is null then ${policy.perWebhook}::int - under_way.lanes else 1 end as room
               from webhooks w
               cross join lateral (
                      select from webhook_lanes where webhook_id = w.id and due_at <= ${now} limit 1) due
               cross join lateral (
                      select count(*)::int as lanes
                        from webhook_lanes
                       where webhook_id = w.id and claim is not null and due_at > ${now}) under_way
              where w.paused_at is null
                and (w.rests_until is null or w.rests_until <= ${now})
           order by random()
              limit ${limit}),
           picked as (
             select l.webhook_id, l.subject_id, r.is_trial
               from ready r
               cross join lateral (
                        select webhook_id, subject_id
                          from webhook_lanes
                         where webhook_id = r.id and due_at <= ${now}
                      order by due_at
                         limit greatest(r.room, 0)
                           for update skip locked) l
              limit ${limit})
         update webhook_lanes l
            set claim = ${claim}, due_at = ${lease(now, policy.lease)}
           from picked p
          where l.webhook_id = p.webhook_id and l.subject_id = p.subject_id
      returning l.webhook_id, l.subject_id, p.is_trial`
  })

  /** Of those that rest, one node tries one lane: the others were later, and give theirs back. */
  const beginTrials = SqlSchema.findAll({
    Request: Schema.Struct({ webhookIds: Schema.Array(WebhookId), now: Now }),
    Result: Schema.Struct({ id: WebhookId }),
    execute: ({ now, webhookIds }) => sql`
         update webhooks
            set rests_until = ${now}::timestamptz + ${durationText(policy.timeout)}::interval + ${durationText(policy.lease)}::interval
          where id in (
                  select id from webhooks
                   where id = any(${ids(webhookIds)}) and rests_until <= ${now} and paused_at is null
                order by id
                     for update)
      returning id`
  })

  /** Says that the node is still at it: false where it took too long, and somebody else has it now. */
  const renew = SqlSchema.findAll({
    Request: Schema.Struct({ ...Claim.fields, now: Now }),
    Result: Schema.Struct({ subjectId: Uuid }),
    execute: ({ claim, now, subjectId, webhookId }) => sql`
         update webhook_lanes
            set due_at = ${lease(now, policy.lease)}
          where webhook_id = ${webhookId} and subject_id = ${subjectId} and claim = ${claim}
      returning subject_id`
  })

  /** Gives a lane back, to be taken up again at that time. */
  const release = SqlSchema.void({
    Request: Schema.Struct({ ...Claim.fields, dueAt: Now }),
    execute: ({ claim, dueAt, subjectId, webhookId }) => sql`
      update webhook_lanes
         set claim = null, due_at = ${dueAt}
       where webhook_id = ${webhookId} and subject_id = ${subjectId} and claim = ${claim}`
  })

  /** The earliest delivery of a lane that is pending. None where there is none, or the webhook is paused or gone. */
  const next = SqlSchema.findOneOption({
    Request: Schema.Struct(Claim.fields),
    Result: Next,
    execute: ({ claim, subjectId, webhookId }) => sql`
           select d.seq, d.organization_id, d.event_id, d.type, d.created_at, w.owner_id, d.type = any (w.types) as is_heard, w.url, w.version, l.failures, l.first_failed_at,
                  case when e.id is not null then ${sql.literal(told)} end as event,
                  e.id is null and exists (select from event_outbox o where o.id = d.event_id) as is_coming
             from webhook_lanes l
             join webhooks w on w.id = l.webhook_id and w.paused_at is null
             join lateral (
                    select * from webhook_deliveries
                     where webhook_id = l.webhook_id and subject_id = l.subject_id and state = 'pending'
                  order by seq
                     limit 1) d on true
        left join events e on e.id = d.event_id
            where l.webhook_id = ${webhookId} and l.subject_id = ${subjectId} and l.claim = ${claim}`
  })

  /** The secrets that are valid, the one of now first. */
  const secrets = SqlSchema.findAll({
    Request: Schema.Struct({ webhookId: WebhookId, now: Now }),
    Result: Sealed,
    execute: ({ now, webhookId }) => sql`
        select id, sealed_secret
          from webhook_secrets
         where webhook_id = ${webhookId} and (expires_at is null or expires_at > ${now})
      order by previous`
  })

  /** Locks a lane for as long as the transaction lasts; none where it is somebody else's by now. */
  const hold = SqlSchema.findOneOption({
    Request: Schema.Struct(Claim.fields),
    Result: Schema.Struct({ failures: Schema.Int, firstFailedAt: MaybeNow }),
    execute: ({ claim, subjectId, webhookId }) => sql`
      select failures, first_failed_at
        from webhook_lanes
       where webhook_id = ${webhookId} and subject_id = ${subjectId} and claim = ${claim}
         for update`
  })

  const attempted = SqlSchema.void({
    Request: Schema.Struct({
      seq: Schema.BigInt,
      at: Now,
      durationMillis: Schema.Int,
      status: Schema.NullOr(Schema.Int),
      problem: Schema.NullOr(Schema.String),
      version: Schema.Int,
      requestHeaders: Schema.String,
      responseHeaders: Schema.String,
      responseBody: Schema.String
    }),
    execute: (attempt) => sql`
      insert into webhook_attempts
        (delivery_seq, webhook_id, at, duration_millis, status, problem, version, request_headers, response_headers,
         response_body)
      select seq, webhook_id, ${attempt.at}, ${attempt.durationMillis}::int, ${attempt.status}::int, ${attempt.problem}::text,
             ${attempt.version}::int, ${attempt.requestHeaders}::jsonb, ${attempt.responseHeaders}::jsonb,
             ${attempt.responseBody}
        from webhook_deliveries
       where seq = ${attempt.seq}
         for key share`
  })

  /** What came of a try; `state` is what the delivery is from now on. */
  const tried = SqlSchema.void({
    Request: Schema.Struct({
      seq: Schema.BigInt,
      state: Schema.Literals(["pending", "delivered", "gave_up"]),
      attempts: Schema.Int,
      status: Schema.NullOr(Schema.Int),
      problem: Schema.NullOr(Schema.String),
      endedAt: MaybeNow
    }),
    execute: ({ attempts, endedAt, problem, seq, state, status }) => sql`
      update webhook_deliveries
         set state = ${state}, attempts = attempts + ${attempts}, last_status = ${status}, last_problem = ${problem},
             ended_at = ${endedAt}
       where seq = ${seq}`
  })

  /** Whether there is more in a lane. */
  const hasMore = SqlSchema.findAll({
    Request: Lane,
    Result: Schema.Struct({ seq: Schema.BigInt }),
    execute: ({ subjectId, webhookId }) => sql`
        select seq from webhook_deliveries
         where webhook_id = ${webhookId} and subject_id = ${subjectId} and state = 'pending'
      order by seq
         limit 1`
  })

  /** The next delivery of the lane has its own tries. The node stays with it, or gives it back. */
  const advance = SqlSchema.void({
    Request: Schema.Struct({ ...Lane.fields, claim: Schema.NullOr(Uuid), now: Now }),
    execute: ({ claim, now, subjectId, webhookId }) => sql`
      update webhook_lanes
         set failures = 0, first_failed_at = null, claim = ${claim}::uuid,
             due_at = case when ${claim}::uuid is null then ${now} else ${lease(now, policy.lease)} end
       where webhook_id = ${webhookId} and subject_id = ${subjectId}`
  })

  const postpone = SqlSchema.void({
    Request: Schema.Struct({ ...Lane.fields, now: Now, dueAt: Now }),
    execute: ({ dueAt, now, subjectId, webhookId }) => sql`
      update webhook_lanes
         set failures = failures + 1, first_failed_at = coalesce(first_failed_at, ${now}), claim = null, due_at = ${dueAt}
       where webhook_id = ${webhookId} and subject_id = ${subjectId}`
  })

  const removeLane = SqlSchema.void({
    Request: Lane,
    execute: ({ subjectId, webhookId }) =>
      sql`delete from webhook_lanes where webhook_id = ${webhookId} and subject_id = ${subjectId}`
  })

  /** It works: written down once a second at most, as all that a webhook delivers would wait for this row. */
  const succeeded = SqlSchema.findOneOption({
    Request: Schema.Struct({ webhookId: WebhookId, now: Now }),
    Result: Schema.Struct({ rested: Schema.Boolean }),
    execute: ({ now, webhookId }) => sql`
      with before as (
        select id, rests_until is not null as rested
          from webhooks
         where id = ${webhookId}
           and (failures_in_row > 0 or rests_until is not null
                or last_success_at is null or last_success_at < ${now}::timestamptz - interval '1 second')
           for no key update
      )
         update webhooks w
            set failures_in_row = 0, failing_since = null, rests_until = null,
                last_success_at = greatest(w.last_success_at, ${now})
           from before b
          where w.id = b.id
      returning b.rested`
  })

  /** What was under way when it went to rest tells nothing new, so that only trials make rests longer. */
  const failed = SqlSchema.findOneOption({
    Request: Schema.Struct({ webhookId: WebhookId, now: Now, problem: Schema.String, isTrial: Schema.Boolean }),
    Result: Circuit,
    execute: ({ isTrial, now, problem, webhookId }) => sql`
         update webhooks
            set failures_in_row = failures_in_row + case when rests_until is null or ${isTrial} then 1 else 0 end,
                failing_since = coalesce(failing_since, ${now}),
                last_failure_at = greatest(last_failure_at, ${now}), last_problem = ${problem}
          where id = ${webhookId}
      returning name, failures_in_row, failing_since, rests_until, paused_at`
  })

  const rest = SqlSchema.void({
    Request: Schema.Struct({ webhookId: WebhookId, until: MaybeNow }),
    execute: ({ until, webhookId }) =>
      sql`update webhooks set rests_until = ${until}::timestamptz where id = ${webhookId} and paused_at is null`
  })

  const pause = SqlSchema.findOneOption({
    Request: Schema.Struct({ webhookId: WebhookId, problem: Schema.String, now: Now }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ now, problem, webhookId }) => sql`
         update webhooks
            set paused_because = 'failing', paused_at = ${now}, rests_until = null, last_problem = ${problem}
          where id = ${webhookId} and paused_at is null
      returning name`
  })

  /** The target answers again: what waits because of it need not wait longer. */
  const recover = SqlSchema.void({
    Request: Schema.Struct({ webhookId: WebhookId, now: Now }),
    execute: ({ now, webhookId }) => sql`
      update webhook_lanes l
         set due_at = ${now}
        from (select webhook_id, subject_id
                from webhook_lanes
               where webhook_id = ${webhookId} and failures > 0 and claim is null and due_at > ${now}
            order by subject_id
                 for update skip locked) w
       where l.webhook_id = w.webhook_id and l.subject_id = w.subject_id`
  })

  /** Locks lanes, so that nobody adds to them; in one order, as whoever publishes does. */
  const lockLanes = SqlSchema.findAll({
    Request: Schema.Struct({ lanes: Schema.Array(Lane) }),
    Result: Lane,
    execute: ({ lanes }) => sql`
        select l.webhook_id, l.subject_id
          from webhook_lanes l
          join unnest(${ids(lanes.map(({ webhookId }) => webhookId))}, ${ids(lanes.map(({ subjectId }) => subjectId))})
               as o (webhook_id, subject_id) on l.webhook_id = o.webhook_id and l.subject_id = o.subject_id
      order by l.webhook_id, l.subject_id
           for update of l`
  })

  const removeEmpty = SqlSchema.void({
    Request: Schema.Struct({ lanes: Schema.Array(Lane) }),
    execute: ({ lanes }) => sql`
      delete from webhook_lanes l
       using unnest(${ids(lanes.map(({ webhookId }) => webhookId))}, ${ids(lanes.map(({ subjectId }) => subjectId))})
             as o (webhook_id, subject_id)
       where l.webhook_id = o.webhook_id and l.subject_id = o.subject_id
         and not exists (
               select from webhook_deliveries d
                where d.webhook_id = l.webhook_id and d.subject_id = l.subject_id and d.state = 'pending')`
  })

  /** The oldest that are past their time, whatever became of them. */
  const pruneDeliveries = SqlSchema.findAll({
    Request: Schema.Struct({ before: Now, limit: Schema.Int }),
    Result: Schema.Struct({ ...Lane.fields, state: Schema.String }),
    execute: ({ before, limit }) => sql`
      with oldest as (
        select seq, created_at from webhook_deliveries order by seq limit ${limit}
      )
         delete from webhook_deliveries d
          using oldest o
          where d.seq = o.seq and o.created_at < ${before}
      returning d.webhook_id, d.subject_id, d.state`
  })

  /** What deleted webhooks left behind; found by a step for each webhook that has deliveries. */
  const pruneOrphans = SqlSchema.findOne({
    Request: Schema.Struct({ limit: Schema.Int }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ limit }) => sql`
      with recursive owners as (
        (select webhook_id from webhook_deliveries order by webhook_id limit 1)
        union all
        select (select d.webhook_id from webhook_deliveries d where d.webhook_id > o.webhook_id order by d.webhook_id limit 1)
          from owners o
         where o.webhook_id is not null
      ), orphans as (
        select d.seq
          from owners o
          join webhook_deliveries d on d.webhook_id = o.webhook_id
         where not exists (select from webhooks w where w.id = o.webhook_id)
         limit ${limit}
      ), gone as (
        delete from webhook_deliveries d using orphans o where d.seq = o.seq returning 1
      )
      select count(*)::int as gone from gone`
  })

  const pruneOrphanLanes = SqlSchema.findOne({
    Request: Schema.Struct({ limit: Schema.Int }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ limit }) => sql`
      with recursive owners as (
        (select webhook_id from webhook_lanes order by webhook_id limit 1)
        union all
        select (select l.webhook_id from webhook_lanes l where l.webhook_id > o.webhook_id order by l.webhook_id limit 1)
          from owners o
         where o.webhook_id is not null
      ), orphans as (
        select l.webhook_id, l.subject_id
          from owners o
          join webhook_lanes l on l.webhook_id = o.webhook_id
         where not exists (select from webhooks w where w.id = o.webhook_id)
         limit ${limit}
      ), gone as (
        delete from webhook_lanes l
         using orphans o
         where l.webhook_id = o.webhook_id and l.subject_id = o.subject_id
        returning 1
      )
      select count(*)::int as gone from gone`
  })

  return {
    claim,
    beginTrials,
    renew,
    release,
    next,
    secrets,
    hold,
    attempted,
    tried,
    hasMore,
    advance,
    postpone,
    removeLane,
    succeeded,
    failed,
    rest,
    pause,
    recover,
    pruneDeliveries,
    pruneOrphans,
    pruneOrphanLanes,
    lockLanes,
    removeEmpty
  }
})

/** As PostgreSQL reads an interval. */
const durationText = (duration: Duration.Duration) => `${Math.round(Duration.toMillis(duration))} milliseconds`
