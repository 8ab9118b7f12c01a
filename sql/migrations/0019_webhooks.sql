-- Webhooks: who is told what happens, how that goes, and what was sent (W1).

create table webhooks (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  name            text not null,
  url             text not null,
  types           text[] not null,
  version         integer not null,
  paused_because  text,
  paused_at       timestamptz,
  created_by      text not null,
  -- Whose permissions count for what it is sent; null for the command line.
  owner_id        uuid references admins (id),
  created_at      timestamptz not null,
  -- How it does, moved by deliveries.
  failures_in_row integer not null default 0,
  failing_since   timestamptz,
  rests_until     timestamptz,
  last_problem    text,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  constraint webhooks_types_some check (cardinality(types) > 0),
  constraint webhooks_pause_known check (paused_because in ('admin', 'failing')),
  constraint webhooks_pause_whole check ((paused_because is null) = (paused_at is null)),
  constraint webhooks_rest_or_pause check (rests_until is null or paused_because is null),
  constraint webhooks_failures_whole check (failures_in_row >= 0 and (failures_in_row = 0) = (failing_since is null))
) with (fillfactor = 70);
comment on table webhooks is 'Where events are sent, and how that goes.';
create index webhooks_organization_idx on webhooks (organization_id, id desc);

/* The one that signs, and for a time after a rotation the one before: never more. */
create table webhook_secrets (
  id            uuid primary key,
  webhook_id    uuid not null references webhooks (id) on delete cascade,
  previous      boolean not null,
  hint          text not null,
  sealed_secret bytea not null,
  created_at    timestamptz not null,
  expires_at    timestamptz,
  constraint webhook_secrets_two unique (webhook_id, previous),
  constraint webhook_secrets_previous_ends check (previous = (expires_at is not null))
);
comment on table webhook_secrets is 'What webhooks are signed with, sealed.';
comment on column webhook_secrets.sealed_secret is 'Sealed: unreadable without the encryption key (J6).';

/*
 * What is on its way, and what was. A webhook that is deleted takes its deliveries with it, a bounded number at once:
 * there may be very many, so no foreign key does it. Nor is there one to the organization, which is that of the event:
 * ten thousand rows of one transaction would each look it up and lock it.
 */
create table webhook_deliveries (
  seq             bigint generated always as identity primary key,
  id              uuid not null default uuid_v7(clock_timestamp()),
  organization_id uuid not null,
  webhook_id      uuid not null,
  event_id        uuid not null,
  type            text not null,
  subject_kind    text not null,
  subject_id      uuid not null,
  subject_name    text,
  state           text not null default 'pending',
  attempts        integer not null default 0,
  last_status     integer,
  last_problem    text,
  created_at      timestamptz not null,
  ended_at        timestamptz,
  replay_of       uuid,
  constraint webhook_deliveries_id_uq unique (id),
  constraint webhook_deliveries_state_known check (state in ('pending', 'delivered', 'gave_up')),
  constraint webhook_deliveries_end_whole check ((state = 'pending') = (ended_at is null))
) with (autovacuum_vacuum_scale_factor = 0.02);
comment on table webhook_deliveries is 'Events for webhooks: pending ones, and the log of the others.';
-- With the time, so that whoever looks for a day long ago passes over the others without reading them.
create index webhook_deliveries_webhook_idx on webhook_deliveries (webhook_id, seq, created_at);
create index webhook_deliveries_event_idx on webhook_deliveries (event_id);
create index webhook_deliveries_given_up_idx on webhook_deliveries (webhook_id, seq) where state = 'gave_up';
create index webhook_deliveries_pending_idx on webhook_deliveries (webhook_id, subject_id, seq) where state = 'pending';

create table webhook_attempts (
  id               bigint generated always as identity primary key,
  delivery_seq     bigint not null references webhook_deliveries (seq) on delete cascade,
  webhook_id       uuid not null,
  at               timestamptz not null,
  duration_millis  integer not null,
  status           integer,
  problem          text,
  version          integer not null,
  request_headers  jsonb not null,
  response_headers jsonb not null,
  response_body    text not null
);
comment on table webhook_attempts is 'Each request of a delivery, and what came back.';
create index webhook_attempts_delivery_idx on webhook_attempts (delivery_seq, id);
create index webhook_attempts_at_idx on webhook_attempts using brin (at);

/*
 * The queue: a row for each webhook and subject with something to deliver. What goes is its earliest pending delivery,
 * and nothing else of that subject until it has ended. Whoever adds a delivery or ends one locks the row: so there is one
 * as long as there is a pending delivery.
 */
create table webhook_lanes (
  webhook_id      uuid not null,
  subject_id      uuid not null,
  -- When any node may take it: the next attempt, or the end of a claim that was not renewed.
  due_at          timestamptz not null,
  -- Of the delivery that goes now.
  failures        integer not null default 0,
  first_failed_at timestamptz,
  -- Who is at it.
  claim           uuid,
  primary key (webhook_id, subject_id),
  constraint webhook_lanes_failures_whole check (failures >= 0 and (failures = 0) = (first_failed_at is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table webhook_lanes is 'What is due to be sent, one row per webhook and subject.';
create index webhook_lanes_due_idx on webhook_lanes (webhook_id, due_at);
create index webhook_lanes_failed_idx on webhook_lanes (webhook_id) where failures > 0;
create index webhook_lanes_claimed_idx on webhook_lanes (webhook_id) where claim is not null;

/* What was just published goes to everybody who listens, but to no webhook that it is about. */
create function send_events() returns trigger language plpgsql as $$
declare
  lanes integer;
begin
  -- Who listens is found once per type, not per event.
  with listening as materialized (
    select w.id, w.organization_id, t.type
      from (select distinct organization_id, type from published) t
      join webhooks w on w.organization_id = t.organization_id and t.type = any (w.types)
  ), added as (
    insert into webhook_deliveries (
           organization_id, webhook_id, event_id, type, subject_kind, subject_id, subject_name, created_at)
    select e.organization_id, l.id, e.id, e.type, e.subject_kind, e.subject_id, e.subject_name, e.published_at
      from listening l
      join published e on e.organization_id = l.organization_id and e.type = l.type and e.subject_id <> l.id
     order by e.place, l.id
    returning webhook_id, subject_id, event_id
  )
  insert into webhook_lanes as l (webhook_id, subject_id, due_at)
  -- Due since it happened, so that who waited longer goes first; but at once, whatever somebody's clock says.
  select a.webhook_id, a.subject_id, least(min(e.at), clock_timestamp())
    from added a
    join published e on e.id = a.event_id
   group by a.webhook_id, a.subject_id
   order by a.webhook_id, a.subject_id
  on conflict (webhook_id, subject_id) do update set due_at = l.due_at;
  get diagnostics lanes = row_count;
  if lanes > 0 or exists (select from published where type = 'webhook.test') then
    perform pg_notify('broker', 'webhook-deliveries new');
  end if;
  return null;
end
$$;
comment on function send_events is 'W1: in the transaction that publishes, so that none is forgotten.';

/* How many of the events that wait may be published in one transaction: with 10,000 deliveries at most, whoever listens. */
create function published_at_once(at_most integer) returns integer language sql stable
return (
  with due as (
    select seq, organization_id, type from event_outbox order by seq limit at_most
  ), listening as (
    select t.organization_id, t.type, count(w.id) as webhooks
      from (select distinct organization_id, type from due) t
      left join webhooks w on w.organization_id = t.organization_id and t.type = any (w.types)
     group by t.organization_id, t.type
  )
  select greatest(1, count(*))::integer
    from (select sum(l.webhooks) over (order by d.seq) as deliveries
            from due d
            join listening l on l.organization_id = d.organization_id and l.type = d.type) as sums
   where deliveries <= 10000);

create trigger events_sent after insert on events
  referencing new table as published
  for each statement execute function send_events();

create function tell_webhook_pause() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  values (
    new.organization_id,
    case when new.paused_at is null then 'webhook.resumed' else 'webhook.paused' end,
    'webhook', new.id, new.name,
    jsonb_build_object('webhook', name_of(new.id, new.name))
      || case when new.paused_at is null then '{}' else
           jsonb_build_object(
             'because', new.paused_because,
             'problem', case when new.paused_because = 'failing' then new.last_problem end)
         end,
    coalesce(new.paused_at, clock_timestamp()));
  return null;
end
$$;

create trigger webhooks_pause_told after update on webhooks
  for each row when ((old.paused_at is null) <> (new.paused_at is null))
  execute function tell_webhook_pause();

select audit_table(
  'webhooks', 'webhook', 'id',
  '{failures_in_row, failing_since, rests_until, last_problem, last_success_at, last_failure_at}');
select audit_table('webhook_secrets', 'webhook', 'webhook_id', '{}');
