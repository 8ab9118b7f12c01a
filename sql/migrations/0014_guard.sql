-- What keeps the picture of the fleet true: the guard against silence that is nobody's fault, and announced maintenance.

create table fleet_guards (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  began_at        timestamptz not null,
  ended_at        timestamptz,
  end_kind        text,
  ended_by        text,
  expected        integer not null,
  seen            integer not null,
  held            integer not null,
  cause           text not null,
  cause_detail    text,
  -- The number held since when nothing moved, and when that was.
  steady_held     integer not null,
  steady_since    timestamptz not null,
  ends_at         timestamptz not null,
  constraint fleet_guards_end_known check (end_kind in ('recovered', 'steady', 'confirmed', 'expired')),
  constraint fleet_guards_ended_whole check ((ended_at is null) = (end_kind is null)),
  constraint fleet_guards_order check (ended_at >= began_at),
  constraint fleet_guards_confirmed_by check ((ended_by is not null) = (end_kind is not distinct from 'confirmed')),
  constraint fleet_guards_cause_known check (cause in ('broker', 'network', 'group', 'version', 'unclear')),
  constraint fleet_guards_counts check (expected >= 0 and held >= 0 and seen between 0 and expected)
) with (fillfactor = 70);
comment on table fleet_guards is 'When much of a fleet fell silent at once, and what was held as unknown for it (H6).';
-- However many nodes see the silence, one guard holds.
create unique index fleet_guards_open_uq on fleet_guards (organization_id) where ended_at is null;
create index fleet_guards_organization_idx on fleet_guards (organization_id, began_at desc);

-- Who was given up on just before a guard began is held after all, and what it carries is in doubt no more (C5).
create or replace function doubt_connections() returns trigger language plpgsql as $$
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
  elsif new.liveness in ('online', 'degraded', 'unknown') then
    update connections
       set stale_since = null
     where server_id = new.server_id and status = 'active' and stale_since is not null;
  end if;
  return null;
end
$$;

create table maintenance_windows (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  server_id       uuid references servers (id),
  -- Stays when the group is gone: what was in it then had this window.
  group_id        uuid,
  group_path      text,
  reason          text not null,
  starts_at       timestamptz not null,
  ends_at         timestamptz not null,
  created_by      text not null,
  created_at      timestamptz not null,
  constraint maintenance_windows_about_one check (server_id is null or group_id is null),
  constraint maintenance_windows_group_named check ((group_id is null) = (group_path is null)),
  constraint maintenance_windows_order check (ends_at > starts_at)
);
comment on table maintenance_windows is 'Times in which nobody expects a server, a group or the fleet to be there.';
comment on column maintenance_windows.group_path is 'What the group was called when the window was announced.';
create index maintenance_windows_organization_idx on maintenance_windows (organization_id, ends_at);
create index maintenance_windows_ends_idx on maintenance_windows (ends_at);
create index maintenance_windows_server_idx on maintenance_windows (server_id) where server_id is not null;
create index maintenance_windows_group_idx on maintenance_windows (group_id) where group_id is not null;

create function name_window_group() returns trigger language plpgsql as $$
begin
  select path into new.group_path
    from groups
   where organization_id = new.organization_id and id = new.group_id
     for key share;
  if not found then
    raise exception 'the group of a maintenance window is not there'
      using errcode = 'foreign_key_violation', constraint = 'maintenance_windows_group_fk', table = 'maintenance_windows';
  end if;
  return new;
end
$$;

create trigger maintenance_windows_group before insert on maintenance_windows
  for each row when (new.group_id is not null)
  execute function name_window_group();

create function open_windows(instant timestamptz)
returns table (organization_id uuid, server_id uuid, group_id uuid) language sql stable
begin atomic
  select w.organization_id, w.server_id, below.id
    from maintenance_windows w
    left join groups top on top.id = w.group_id
    left join groups below
      on below.organization_id = top.organization_id
     and starts_with(below.path_key || '/', top.path_key || '/')
   where w.starts_at <= instant
     and w.ends_at > instant
     and (w.group_id is null or below.id is not null);
end;
comment on function open_windows is 'Whom windows are about that are open: a server, a group, each group below it too, or, with neither, a whole fleet.';

-- The moves of a server on an axis, in their order.
create index server_transitions_axis_idx on server_transitions (server_id, axis, at, id) include (before, after);

create function seconds_of(times tstzmultirange) returns double precision language sql immutable parallel safe
return (select coalesce(sum(extract(epoch from upper(part) - lower(part))), 0)::double precision from unnest(times) as part);

create function micros(span interval) returns bigint language sql immutable parallel safe
return (extract(epoch from span) * 1000000)::bigint;

-- Written so that it is worked into the statement: it is asked of every move of a fleet.
create function counted_until(instant timestamptz, beginning timestamptz, edges timestamptz[], passed bigint[])
returns bigint language sql immutable parallel safe
return micros(instant - beginning)
     - case
         when width_bucket(instant, edges) = 0 then 0
         else passed[width_bucket(instant, edges)]
              + case
                  when width_bucket(instant, edges) % 2 = 1 then micros(instant - edges[width_bucket(instant, edges)])
                  else 0
                end
       end;
comment on function counted_until is 'The time from a beginning to an instant in microseconds, without periods that lie after the beginning: where each begins and ends, and how much of them has passed by then.';

select audit_table('fleet_guards', 'fleet-guard', 'id', '{seen, held, steady_held, steady_since, ends_at}');
select audit_table('maintenance_windows', 'maintenance-window', 'id', '{group_path}');
