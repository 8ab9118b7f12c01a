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
  constraint fleet_guards_end_known check (end_kind in ('recovered', 'steady', 'confirmed')),
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

create table maintenance_windows (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  server_id       uuid references servers (id),
  group_id        uuid,
  reason          text not null,
  starts_at       timestamptz not null,
  ends_at         timestamptz not null,
  created_by      text not null,
  created_at      timestamptz not null,
  constraint maintenance_windows_group_fk foreign key (organization_id, group_id)
    references groups (organization_id, id) on delete cascade,
  constraint maintenance_windows_about_one check (server_id is null or group_id is null),
  constraint maintenance_windows_order check (ends_at > starts_at)
);
comment on table maintenance_windows is 'Times in which nobody expects a server, a group or the fleet to be there.';
create index maintenance_windows_organization_idx on maintenance_windows (organization_id, ends_at);
create index maintenance_windows_server_idx on maintenance_windows (server_id) where server_id is not null;
create index maintenance_windows_group_idx on maintenance_windows (group_id) where group_id is not null;

create function in_maintenance(of_organization uuid, of_server uuid, in_group_key text, instant timestamptz)
returns boolean language sql stable
return exists (
  select
    from maintenance_windows w
    left join groups g on g.id = w.group_id
   where w.organization_id = of_organization
     and w.starts_at <= instant
     and w.ends_at > instant
     and (w.server_id = of_server
          or starts_with(in_group_key || '/', g.path_key || '/')
          or (w.server_id is null and w.group_id is null))
);
comment on function in_maintenance is 'Whether a window of the server, of a group that it is in, or of the fleet is open.';

-- How a server stood at an instant: the last move before it.
create index server_transitions_axis_idx on server_transitions (server_id, axis, at, id) include (before, after);

create function seconds_of(times tstzmultirange) returns double precision language sql immutable parallel safe
return (select coalesce(sum(extract(epoch from upper(part) - lower(part))), 0)::double precision from unnest(times) as part);

select audit_table('fleet_guards', 'fleet-guard', 'id', '{seen, held, steady_held, steady_since, ends_at}');
select audit_table('maintenance_windows', 'maintenance-window', 'id', '{}');
