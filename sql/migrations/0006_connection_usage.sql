-- What connections come to, in quarters of an hour: the largest unit that begins with every day of every time zone (C7).

create table connection_usage (
  quarter         timestamptz not null,
  organization_id uuid not null,
  server_id       uuid not null,
  user_id         uuid not null,
  device_id       uuid not null,
  platform        text not null,
  server_group    text,
  -- For when user and connections are gone.
  user_name       text not null,
  -- Connections that began in this quarter, so that each counts once.
  opened          integer not null,
  seconds         double precision not null,
  rx_bytes        double precision not null,
  tx_bytes        double precision not null,
  constraint connection_usage_uq unique nulls not distinct (
    organization_id, quarter, server_id, user_id, device_id, platform, server_group),
  constraint connection_usage_quarter_even check (extract(epoch from quarter)::bigint % 900 = 0),
  constraint connection_usage_not_negative check (opened >= 0 and seconds >= 0 and rx_bytes >= 0 and tx_bytes >= 0)
) with (fillfactor = 70);
comment on table connection_usage is 'Roll-up of connections. A quarter is always written whole from the connections that touch it, so writing it again changes nothing.';

create table connection_usage_due (
  id              bigint generated always as identity primary key,
  organization_id uuid not null references organizations (id),
  span            tstzrange not null
);
comment on table connection_usage_due is 'Quarters to be rolled up: a connection that touches them began, ended or was told anew. Only ever added to, so that nobody waits for anybody here.';

create table connection_usage_progress (
  is_only        boolean primary key default true,
  counted_until  timestamptz not null default '-infinity',
  complete_until timestamptz not null default '-infinity',
  frozen_until   timestamptz not null default '-infinity',
  constraint connection_usage_progress_only check (is_only)
);
comment on table connection_usage_progress is 'Until when live connections are counted, until when all is, and before when quarters stay as they are, because connections of then may be deleted.';

insert into connection_usage_progress default values;

create function note_connection_usage() returns trigger language plpgsql as $$
begin
  insert into connection_usage_due (organization_id, span)
  select n.organization_id,
         -- However many connections and however long, few ranges.
         unnest(range_agg(tstzrange(
           date_bin('15 minutes', n.active_at, 'epoch'),
           date_bin('15 minutes', coalesce(n.ended_at, n.active_at), 'epoch') + interval '15 minutes')))
    from new_rows n
    join old_rows o on o.id = n.id
   where n.active_at is not null
     and (o.status <> n.status
          or (n.status = 'ended'
              and (o.client_rx_bytes, o.client_tx_bytes, o.server_rx_bytes, o.server_tx_bytes)
                  is distinct from (n.client_rx_bytes, n.client_tx_bytes, n.server_rx_bytes, n.server_tx_bytes)))
   group by n.organization_id;
  return null;
end
$$;

create trigger connections_note_usage after update on connections
  referencing old table as old_rows new table as new_rows
  for each statement execute function note_connection_usage();

create extension if not exists btree_gist;
create index connections_time_idx on connections using gist (organization_id, tstzrange(active_at, ended_at, '[]'))
  where active_at is not null;
create index connections_created_at_idx on connections (organization_id, created_at);
