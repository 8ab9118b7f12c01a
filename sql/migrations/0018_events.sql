-- What happened, as others read it: written by the rows that moved, in the transaction that moved them (W1).

/* A UUID of version 7: the milliseconds of an instant, then chance (RFC 9562). */
create function uuid_v7(instant timestamptz) returns uuid language sql volatile
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from instant) * 1000)::bigint) from 3)
            from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;

/*
 * Events of transactions, committed or not. Numbers are given when a row is written, which is not when it is committed:
 * nobody reads them but `publish_events`. Two changes of one subject wait for each other's lock before they come here,
 * so that the later one has the greater number.
 *
 * Only triggers of rows that name their organization write here, so none is named that is not there; a foreign key
 * would have every transaction lock the row of its organization.
 */
create table event_outbox (
  seq             bigint generated always as identity primary key,
  -- Of one that somebody has to know beforehand; the others get theirs with their place, which spares the transaction.
  id              uuid,
  organization_id uuid not null,
  type            text not null,
  subject_kind    text not null,
  subject_id      uuid not null,
  subject_name    text,
  data            jsonb not null,
  at              timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table event_outbox is 'Events until publish_events gives them their place.';

/*
 * The feed. A place is given once the event is committed, by one transaction at a time: whoever has read up to a place
 * has read all before it, and nothing is ever put in between.
 */
create table events (
  place           bigint not null,
  id              uuid not null,
  organization_id uuid not null,
  type            text not null,
  subject_kind    text not null,
  subject_id      uuid not null,
  subject_name    text,
  data            jsonb not null,
  at              timestamptz not null,
  published_at    timestamptz not null,
  primary key (organization_id, place),
  constraint events_id_uq unique (id),
  constraint events_type_form check (type ~ '^[a-z_]+\.[a-z_]+$')
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.05);
comment on table events is 'What happened, in the order in which readers may rely on it.';
-- Readers name types: the feed goes by place, and who looks back by time.
create index events_type_idx on events (organization_id, type, place);
create index events_subject_idx on events (organization_id, subject_id, type, place);
create index events_time_idx on events (organization_id, type, at, place);

create sequence event_places as bigint;

create table event_horizons (
  organization_id uuid primary key references organizations (id),
  place           bigint not null
);
comment on table event_horizons is 'Up to which place events were past their time, and are gone.';

/* Gives so many events their places, the oldest first; tells how many. Of two at once, one has nothing to do. */
create function publish_events(at_most integer) returns integer language plpgsql as $$
declare
  published integer;
begin
  if not pg_try_advisory_xact_lock(hashtext('publish_events')) then
    return 0;
  end if;
  -- Fewer where each of them has many webhooks to go to.
  at_most := published_at_once(at_most);
  with due as (
    select seq from event_outbox order by seq limit at_most
  ), taken as (
    delete from event_outbox o using due where o.seq = due.seq returning o.*
  )
  insert into events (place, id, organization_id, type, subject_kind, subject_id, subject_name, data, at, published_at)
  select nextval('event_places'), coalesce(id, uuid_v7(clock_timestamp())), organization_id, type, subject_kind, subject_id,
         subject_name, data, at, clock_timestamp()
    from (select * from taken order by seq) as ordered;
  get diagnostics published = row_count;
  return published;
end
$$;

create function name_of(id uuid, name text) returns jsonb language sql stable parallel safe
return jsonb_build_object('id', id, 'name', name);

create function tell_server_transition() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  select s.organization_id,
         case when new.axis = 'admission' and new.before is null then 'server.registered' else 'server.' || new.axis || '_changed' end,
         'server', s.id, s.name,
         jsonb_build_object(
           'server', name_of(s.id, s.name), 'group', g.path,
           'before', new.before, 'after', new.after, 'reason', new.reason),
         new.at
    from servers s
    left join groups g on g.id = s.group_id
   where s.id = new.server_id;
  return null;
end
$$;

create trigger server_transitions_told after insert on server_transitions
  for each row when (new.axis <> 'liveness') execute function tell_server_transition();

/* As before, and told at once: whole fleets move at a time, and what it takes to tell is at hand here. */
create or replace function record_liveness_transition() returns trigger language plpgsql as $$
declare
  server record;
begin
  select s.organization_id, s.name, s.admission, (select g.path from groups g where g.id = s.group_id) as path
    into server
    from servers s
   where s.id = new.server_id;
  insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
  values (
    server.organization_id, new.server_id, 'liveness', old.liveness, new.liveness, new.liveness_reason,
    new.liveness_since);
  -- Nobody waits for a retired one to be heard.
  if server.admission <> 'retired' then
    insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
    values (
      server.organization_id, 'server.liveness_changed', 'server', new.server_id, server.name,
      jsonb_build_object(
        'server', jsonb_build_object('id', new.server_id, 'name', server.name), 'group', server.path,
        'before', old.liveness, 'after', new.liveness, 'reason', new.liveness_reason),
      new.liveness_since);
  end if;
  return null;
end
$$;

create function tell_server_update() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  select new.organization_id, 'server.updated', 'server', new.id, new.name,
         jsonb_build_object(
           'server', name_of(new.id, new.name),
           'group', (select path from groups where id = new.group_id),
           'changed', (
             select jsonb_agg(field order by field)
               from (values
                 ('name', old.name is distinct from new.name),
                 ('version', old.version is distinct from new.version),
                 ('endpoints', old.endpoints is distinct from new.endpoints),
                 ('capabilities', old.capabilities is distinct from new.capabilities),
                 ('tags', (old.tags, old.assigned_tags) is distinct from (new.tags, new.assigned_tags)),
                 ('labels', (old.labels, old.assigned_labels) is distinct from (new.labels, new.assigned_labels)),
                 ('group', old.group_id is distinct from new.group_id),
                 ('location', old.location is distinct from new.location),
                 ('connectionLimit', old.connection_limit is distinct from new.connection_limit),
                 ('publicKey', old.public_key is distinct from new.public_key)
               ) as fields (field, differs)
              where differs)),
         clock_timestamp();
  return null;
end
$$;

create trigger servers_update_told after update on servers
  for each row when (
    (old.name, old.version, old.endpoints, old.capabilities, old.tags, old.assigned_tags, old.labels, old.assigned_labels,
     old.group_id, old.location, old.connection_limit, old.public_key)
    is distinct from
    (new.name, new.version, new.endpoints, new.capabilities, new.tags, new.assigned_tags, new.labels, new.assigned_labels,
     new.group_id, new.location, new.connection_limit, new.public_key))
  execute function tell_server_update();

create function tell_connection() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  values (
    new.organization_id,
    'connection.' || case
      when tg_op = 'INSERT' then 'created'
      when old.status is distinct from new.status then case new.status when 'active' then 'started' else new.status end
      else 'settled'
    end,
    'connection', new.id, null,
    jsonb_build_object(
      'user', name_of(new.user_id, new.user_name),
      'device', name_of(new.device_id, new.device_name),
      'server', name_of(new.server_id, new.server_name),
      'group', new.server_group,
      'status', new.status,
      'createdAt', new.created_at,
      'startedAt', new.active_at,
      'endedAt', new.ended_at,
      'endedBy', new.ended_by,
      'reason', new.end_reason,
      'rxBytes', coalesce(new.client_rx_bytes, new.server_tx_bytes),
      'txBytes', coalesce(new.client_tx_bytes, new.server_rx_bytes),
      'verdict', new.verdict),
    case
      when tg_op = 'INSERT' then new.created_at
      when old.status is not distinct from new.status then new.settled_at
      else coalesce(new.ended_at, new.active_at)
    end);
  return null;
end
$$;

create trigger connections_created_told after insert on connections
  for each row execute function tell_connection();
create trigger connections_moved_told after update on connections
  for each row when (old.status <> new.status or (old.settled_at is null and new.settled_at is not null))
  execute function tell_connection();

create function tell_fleet_guard() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, data, at)
  values (
    new.organization_id,
    case when new.ended_at is null then 'fleet_guard.began' else 'fleet_guard.ended' end,
    'fleet-guard', new.id,
    jsonb_build_object(
      'expected', new.expected, 'seen', new.seen,
      -- As it begins, nobody is held yet: those who are silent will be.
      'held', case when new.ended_at is null then greatest(new.held, new.expected - new.seen) else new.held end,
      'cause', new.cause, 'causeDetail', new.cause_detail,
      'end', new.end_kind, 'endedBy', new.ended_by),
    coalesce(new.ended_at, new.began_at));
  return null;
end
$$;

create trigger fleet_guards_began_told after insert on fleet_guards
  for each row execute function tell_fleet_guard();
create trigger fleet_guards_ended_told after update on fleet_guards
  for each row when (old.ended_at is null and new.ended_at is not null)
  execute function tell_fleet_guard();

create function tell_security_event() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  select new.organization_id, 'security_event.raised',
         case when s.id is null then 'organization' else 'server' end,
         coalesce(s.id, new.organization_id), s.name,
         jsonb_build_object(
           'kind', new.kind, 'severity', new.severity,
           'server', case when s.id is not null then name_of(s.id, s.name) end,
           'address', host(new.address), 'details', new.details),
         new.at
    from (select 1) as always
    left join servers s on s.id = new.server_id;
  return null;
end
$$;

create trigger security_events_told after insert on security_events
  for each row execute function tell_security_event();

create function tell_audit_entries() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
    select e.organization_id, 'audit.recorded',
           case when e.subject_id is null then 'organization' else e.subject_kind end,
           coalesce(e.subject_id, e.organization_id), e.details ->> 'name',
           jsonb_build_object(
             'entry', e.seq,
             'action', e.action,
             'actor', jsonb_build_object('kind', e.actor_kind, 'id', e.actor_id, 'name', e.actor_name),
             'subjectKind', e.subject_kind,
             'details', e.details),
           e.at
      from sealed e
     where e.seq is not null and e.outcome = 'done' and e.organization_id is not null and e.subject_kind <> 'audit-log'
  order by e.organization_id, e.seq;
  return null;
end
$$;

-- When they are sealed, which is the only change that there is of them, at commit: so they come in the order of the
-- chain. What was refused changed nothing, and to look at the log is no news to others.
create trigger audit_entries_told after update on audit_entries referencing new table as sealed
  for each statement execute function tell_audit_entries();

-- The list of events has views of its own.
alter table saved_views drop constraint saved_views_page_known;
alter table saved_views add constraint saved_views_page_known check (page in ('servers', 'events'));
