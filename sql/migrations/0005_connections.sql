-- Who may connect where, and who is connected now. The state machine, the limits and the counts are kept here, so that
-- no race and no mistake of a program gets past them (C1, C2).

alter table servers
  add column connection_limit integer not null default 1000,
  add constraint servers_connection_limit_range check (connection_limit between 0 and 1000000);

create table server_loads (
  server_id        uuid primary key references servers (id) on delete cascade,
  organization_id  uuid not null references organizations (id),
  live             integer not null default 0,
  connection_limit integer not null,
  load             double precision not null generated always as (
    case when connection_limit = 0 then 1 else least(1, live::double precision / connection_limit) end) stored,
  constraint server_loads_not_negative check (live >= 0)
) with (fillfactor = 70);
comment on table server_loads is 'How many intents and active connections each server has, kept by the connections themselves, and what share of its limit that is.';
create index server_loads_load_idx on server_loads (organization_id, load, server_id);

insert into server_loads (server_id, organization_id, connection_limit)
select id, organization_id, connection_limit from servers;

create function begin_server_load() returns trigger language plpgsql as $$
begin
  insert into server_loads (server_id, organization_id, connection_limit)
  values (new.id, new.organization_id, new.connection_limit);
  return null;
end
$$;

create trigger servers_have_load after insert on servers
  for each row execute function begin_server_load();

create function limit_server_load() returns trigger language plpgsql as $$
begin
  update server_loads set connection_limit = new.connection_limit where server_id = new.id;
  return null;
end
$$;

create trigger servers_limit_load after update of connection_limit on servers
  for each row when (old.connection_limit is distinct from new.connection_limit)
  execute function limit_server_load();

create table cuts (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  reason          text not null,
  subject_kind    text not null,
  subject_id      uuid not null,
  subject_name    text not null,
  ordered_by      text not null,
  ordered_at      timestamptz not null,
  constraint cuts_subject_known check (subject_kind in ('connection', 'personal-key', 'device', 'user', 'server'))
);
comment on table cuts is 'Each act that cut connections: one revocation, one disconnect (C6).';
create index cuts_organization_idx on cuts (organization_id, id desc);
create index cuts_subject_idx on cuts (subject_id, id desc);

create sequence cut_seq as bigint;
comment on sequence cut_seq is 'Drawn under a lock on the server, so that the cursor of a server never runs ahead of an order.';

create table connections (
  id                  uuid primary key,
  organization_id     uuid not null references organizations (id),
  status              text not null default 'intent',

  -- As they were called then: history survives their deletion (C7). A server is never deleted.
  user_id             uuid not null,
  user_name           text not null,
  personal_key_id     uuid not null,
  personal_key_name   text not null,
  device_id           uuid not null,
  device_name         text not null,
  platform            text not null,
  server_id           uuid not null references servers (id),
  server_name         text not null,
  server_group        text,

  client_address      inet,
  idempotency_key     text,
  created_at          timestamptz not null,
  expires_at          timestamptz not null,
  grant_expires_at    timestamptz not null,
  active_at           timestamptz,
  stale_since         timestamptz,
  ended_at            timestamptz,
  ended_by            text,
  end_reason          text,

  -- The two sides of the ledger: bytes as each side counts them.
  client_opened_at    timestamptz,
  client_reported_at  timestamptz,
  client_ended_at     timestamptz,
  client_reason       text,
  client_rx_bytes     bigint,
  client_tx_bytes     bigint,
  server_reported_at  timestamptz,
  server_ended_at     timestamptz,
  server_reason       text,
  server_rx_bytes     bigint,
  server_tx_bytes     bigint,
  rtt_ms              double precision,
  loss_ratio          double precision,
  verdict             text,
  settled_at          timestamptz,

  cut_id              uuid references cuts (id),
  cut_seq             bigint,
  cut_confirmed_at    timestamptz,

  constraint connections_status_known check (status in ('intent', 'active', 'ended', 'expired', 'refused')),
  constraint connections_status_times check (
    case status
      when 'intent' then active_at is null and ended_at is null
      when 'active' then active_at is not null and ended_at is null
      when 'ended' then active_at is not null and ended_at is not null
      else active_at is null and ended_at is not null
    end),
  constraint connections_end_is_explained check (
    (ended_at is null) = (end_reason is null) and (ended_at is null) = (ended_by is null)),
  constraint connections_ended_by_known check (ended_by in ('client', 'server', 'broker', 'admin')),
  constraint connections_reason_size check (char_length(end_reason) between 1 and 128),
  -- C7: durations are never negative.
  constraint connections_order check (expires_at > created_at and active_at >= created_at and ended_at >= coalesce(active_at, created_at)),
  constraint connections_stale_is_active check (stale_since is null or status = 'active'),
  constraint connections_counters check (
    client_rx_bytes >= 0 and client_tx_bytes >= 0 and server_rx_bytes >= 0 and server_tx_bytes >= 0
    and rtt_ms >= 0 and loss_ratio between 0 and 1),
  constraint connections_verdict_known check (verdict in ('confirmed', 'client_only', 'server_only', 'byte_mismatch')),
  constraint connections_verdict_of_ended check (verdict is null or status = 'ended'),
  constraint connections_cut_whole check ((cut_id is null) = (cut_seq is null) and (cut_confirmed_at is null or cut_id is not null))
) with (fillfactor = 70);
comment on table connections is 'One use of one server by one device: intent, active, ended.';
create index connections_organization_idx on connections (organization_id, id desc);
create index connections_live_idx on connections (organization_id, id desc) where status in ('intent', 'active');
create index connections_user_idx on connections (user_id, id desc);
create index connections_device_idx on connections (device_id, id desc);
create index connections_idempotency_idx on connections (device_id, idempotency_key, id desc) where idempotency_key is not null;
create index connections_server_idx on connections (server_id, id desc);
create index connections_key_live_idx on connections (personal_key_id) where status in ('intent', 'active');
create index connections_device_live_idx on connections (device_id) where status in ('intent', 'active');
create index connections_user_live_idx on connections (user_id) where status in ('intent', 'active');
create index connections_server_live_idx on connections (server_id) where status in ('intent', 'active');
create index connections_intents_idx on connections (expires_at) where status = 'intent';
create index connections_stale_idx on connections (stale_since) where stale_since is not null;
create index connections_unsettled_idx on connections (ended_at) where status = 'ended' and settled_at is null;
create index connections_unconfirmed_idx on connections (server_id) where status = 'ended' and settled_at is null and server_ended_at is null;
create index connections_cuts_open_idx on connections (server_id, cut_seq) where cut_seq is not null and cut_confirmed_at is null;
create index connections_cut_idx on connections (cut_id) where cut_id is not null;
create index connections_ended_idx on connections (ended_at) where ended_at is not null;

create function refuse_connection(rule text, message text) returns void language plpgsql as $$
begin
  raise exception '%', message using errcode = 'check_violation', constraint = rule, table = 'connections';
end
$$;

/*
 * Whoever may end the connection (a revocation, a suspension) changes one of the rows that are locked here, so either
 * it is seen here, or it sees the new connection. Locks are taken in one order everywhere: user, key, device, server.
 * Each statement of a function sees what was committed before it, so the counts are exact under the locks (C2).
 */
create function admit_connection() returns trigger language plpgsql as $$
declare
  a_user   users;
  a_key    personal_keys;
  a_device devices;
  a_server servers;
begin
  select * into a_user from users where id = new.user_id and organization_id = new.organization_id for share;
  if a_user.state is distinct from 'active' then
    perform refuse_connection('connections_user_active', 'the user may not connect');
  end if;
  select * into a_key from personal_keys where id = new.personal_key_id and user_id = new.user_id for no key update;
  if a_key.id is null or a_key.revoked_at is not null or a_key.expires_at <= new.created_at then
    perform refuse_connection('connections_key_valid', 'the personal key is not valid');
  end if;
  select * into a_device from devices where id = new.device_id and user_id = new.user_id for no key update;
  if a_device.id is null or a_device.blocked_at is not null then
    perform refuse_connection('connections_device_allowed', 'the device is blocked');
  end if;
  select * into a_server from servers where id = new.server_id and organization_id = new.organization_id for share;
  if a_server.id is null or not exists (select from fleet where id = new.server_id and available) then
    perform refuse_connection('connections_server_available', 'the server is not available');
  end if;
  if (select count(*) from connections
       where personal_key_id = new.personal_key_id and status in ('intent', 'active')) >= a_key.connection_limit then
    perform refuse_connection('connections_key_limit', 'the personal key has as many connections as it may have');
  end if;
  if (select count(*) from connections
       where device_id = new.device_id and status in ('intent', 'active')) >= a_device.connection_limit then
    perform refuse_connection('connections_device_limit', 'the device has as many connections as it may have');
  end if;
  update server_loads
     set live = live + 1
   where server_id = new.server_id and live < connection_limit;
  if not found then
    perform refuse_connection('connections_server_limit', 'the server has as many connections as it may have');
  end if;
  new.user_name := a_user.name;
  new.personal_key_name := a_key.name;
  new.device_name := a_device.name;
  new.platform := a_device.platform;
  new.server_name := a_server.name;
  return new;
end
$$;

create trigger connections_admitted before insert on connections
  for each row execute function admit_connection();

create function refuse_connection_move() returns trigger language plpgsql as $$
begin
  perform refuse_connection('connections_moves', format('a connection that is %s cannot become %s', old.status, new.status));
  return null;
end
$$;
comment on function refuse_connection_move is 'C1: intent → active → ended, intent → expired or refused; the first end is final, and so is its reason.';

create trigger connections_moves before update on connections
  for each row when (
    (old.status <> new.status and (old.status, new.status) not in (
      ('intent', 'active'), ('active', 'ended'), ('intent', 'expired'), ('intent', 'refused')))
    or (old.ended_at is not null and (old.ended_at, old.end_reason, old.ended_by)
        is distinct from (new.ended_at, new.end_reason, new.ended_by))
    or (old.active_at is not null and old.active_at is distinct from new.active_at)
    or (old.id, old.organization_id, old.user_id, old.personal_key_id, old.device_id, old.server_id, old.created_at)
        is distinct from
       (new.id, new.organization_id, new.user_id, new.personal_key_id, new.device_id, new.server_id, new.created_at))
  execute function refuse_connection_move();

create function connection_verdict(c connections) returns text language sql immutable
return case
  when c.client_ended_at is not null and c.server_ended_at is not null then
    -- What one side sent, the other received. Both count at their own moment, so a twentieth or 64 KiB is no mismatch.
    case
      when abs(c.client_rx_bytes - c.server_tx_bytes) > greatest(65536, greatest(c.client_rx_bytes, c.server_tx_bytes) / 20)
        or abs(c.client_tx_bytes - c.server_rx_bytes) > greatest(65536, greatest(c.client_tx_bytes, c.server_rx_bytes) / 20)
      then 'byte_mismatch'
      else 'confirmed'
    end
  when c.client_ended_at is not null then 'client_only'
  when c.server_ended_at is not null then 'server_only'
  -- Neither told the end: whoever spoke at all, and the server did when it reported the connection active.
  when c.client_reported_at is not null and c.server_reported_at is null then 'client_only'
  else 'server_only'
end;

create function judge_connection() returns trigger language plpgsql as $$
begin
  if new.client_ended_at is not null and new.server_ended_at is not null then
    new.settled_at := coalesce(new.settled_at, greatest(new.ended_at, new.client_ended_at, new.server_ended_at));
  end if;
  if new.settled_at is not null then
    new.verdict := connection_verdict(new);
  end if;
  return new;
end
$$;
comment on function judge_connection is 'An ended connection is judged when both sides told its end, or when the broker waits no longer; late news judges it anew.';

create trigger connections_judged before update on connections
  for each row when (new.status = 'ended')
  execute function judge_connection();

create function lighten_servers() returns trigger language plpgsql as $$
begin
  -- In one order, so that two who end connections of the same servers never wait for each other in a ring.
  perform 1
     from server_loads l
    where l.server_id in (select o.server_id
                            from old_rows o
                            join new_rows n on n.id = o.id
                           where o.status in ('intent', 'active') and n.status not in ('intent', 'active'))
    order by l.server_id
      for no key update;
  update server_loads l
     set live = l.live - gone.connections
    from (select o.server_id, count(*)::integer as connections
            from old_rows o
            join new_rows n on n.id = o.id
           where o.status in ('intent', 'active') and n.status not in ('intent', 'active')
           group by o.server_id) as gone
   where l.server_id = gone.server_id;
  return null;
end
$$;

create trigger connections_lighten_servers after update on connections
  referencing old table as old_rows new table as new_rows
  for each statement execute function lighten_servers();

/* C5: what a server carried is in doubt while it is offline, and certain again when it is back. */
create function doubt_connections() returns trigger language plpgsql as $$
begin
  -- In the order of their ids, as whoever else moves several of them.
  perform 1
     from connections
    where server_id = new.server_id and status = 'active'
    order by id
      for no key update;
  if new.liveness = 'offline' then
    update connections
       set stale_since = greatest(new.liveness_since, active_at)
     where server_id = new.server_id and status = 'active' and stale_since is null;
  elsif new.liveness in ('online', 'degraded') then
    update connections
       set stale_since = null
     where server_id = new.server_id and status = 'active' and stale_since is not null;
  end if;
  return null;
end
$$;

create trigger server_presence_doubts_connections after update of liveness on server_presence
  for each row when (old.liveness is distinct from new.liveness and (new.liveness = 'offline' or old.liveness = 'offline'))
  execute function doubt_connections();

create view ledger as
select c.id, c.organization_id, c.status, c.user_id, c.user_name, c.personal_key_id, c.personal_key_name, c.device_id,
       c.device_name, c.platform, c.server_id, c.server_name, c.server_group, c.client_address, c.created_at,
       c.expires_at, c.grant_expires_at, c.active_at, c.stale_since, c.ended_at, c.ended_by, c.end_reason,
       -- As the client sees it: what it received is what the server sent.
       coalesce(c.server_tx_bytes, c.client_rx_bytes)::float8 as rx_bytes,
       coalesce(c.server_rx_bytes, c.client_tx_bytes)::float8 as tx_bytes,
       c.rtt_ms, c.loss_ratio,
       c.client_opened_at, c.client_reported_at, c.client_ended_at, c.client_reason,
       c.client_rx_bytes::float8 as client_rx_bytes, c.client_tx_bytes::float8 as client_tx_bytes,
       c.server_reported_at, c.server_ended_at, c.server_reason,
       c.server_rx_bytes::float8 as server_rx_bytes, c.server_tx_bytes::float8 as server_tx_bytes,
       c.verdict, c.settled_at,
       cuts.ordered_at as cut_ordered_at, cuts.ordered_by as cut_ordered_by, c.cut_confirmed_at,
       c.cut_id, c.idempotency_key
  from connections c
  left join cuts on cuts.id = c.cut_id;
comment on view ledger is 'Connections with both sides of their account.';
