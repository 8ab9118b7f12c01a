-- What servers are put into order by: groups with their policy, and the tags and labels that admins give.

create table groups (
  id                         uuid primary key,
  organization_id            uuid not null references organizations (id),
  parent_id                  uuid,
  name                       text not null,
  name_key                   text not null,
  -- What the group itself says; null where it leaves that to the groups above.
  heartbeat_interval_seconds double precision,
  verification_period_seconds double precision,
  connection_limit           integer,
  -- What holds in it, kept by settle_groups.
  path                       text not null default '',
  path_key                   text not null default '',
  depth                      smallint not null default 0,
  effective_heartbeat_interval_seconds double precision,
  effective_verification_period_seconds double precision,
  effective_connection_limit integer,
  created_at                 timestamptz not null,
  constraint groups_organization_uq unique (organization_id, id),
  constraint groups_parent_fk foreign key (organization_id, parent_id) references groups (organization_id, id),
  constraint groups_name_form check (name <> '' and name !~ '/' and name_key !~ '/'),
  constraint groups_heartbeat_interval_range check (heartbeat_interval_seconds between 1 and 3600),
  constraint groups_verification_period_range check (verification_period_seconds between 60 and 2592000),
  constraint groups_connection_limit_range check (connection_limit between 0 and 1000000)
);
comment on table groups is 'Folders of servers. A server is in one at most; what a group leaves open, the one above it says.';
create unique index groups_name_uq on groups (organization_id, parent_id, name_key) nulls not distinct;

alter table registration_keys
  add column group_id uuid,
  add constraint registration_keys_group_fk foreign key (organization_id, group_id) references groups (organization_id, id),
  -- B6: it is for a server that is in a group already, or in none.
  add constraint registration_keys_replacement_bare check (replaces_server_id is null or group_id is null);

-- The index goes with the column, and the triggers that name it go before.
drop trigger audit_updated on servers;
drop index servers_tags_idx;

create function merge_tags(declared text[], assigned text[]) returns text[] language sql immutable parallel safe
return case
  when assigned = '{}' then declared
  else assigned || array(select tag from unnest(declared) with ordinality as of (tag, place) where tag <> all (assigned) order by place)
end;
comment on function merge_tags is 'What a server says of itself, and what admins say of it.';

alter table servers
  drop column facets,
  add column group_id uuid,
  add column assigned_tags text[] not null default '{}',
  add column assigned_labels jsonb not null default '{}',
  alter column connection_limit drop not null,
  alter column connection_limit drop default,
  add constraint servers_group_fk foreign key (organization_id, group_id) references groups (organization_id, id);
alter table servers
  add column facets text[] not null generated always as (
    facets(tags || assigned_tags, labels || assigned_labels, capabilities)) stored;
comment on column servers.group_id is 'No path beside it: a group has another name in no time, however many servers are in it.';
comment on column servers.tags is 'What the server says. What admins say stands in assigned_tags, so that neither takes back what the other said.';
comment on column servers.connection_limit is 'Its own; null where its group, or the default, says how many.';

create index servers_facets_idx on servers using gin (organization_id, facets) with (fastupdate = off);
create index servers_discovery_facets_idx on servers using gin (organization_id, facets) with (fastupdate = off)
  where admission = 'approved' and verified and duty = 'serving';
create index servers_group_idx on servers (group_id, id);
create index servers_version_idx on servers (organization_id, version_key, id);

create function effective_connection_limit(own integer, of_group uuid) returns integer language plpgsql as $$
declare
  said integer := own;
begin
  if own is null and of_group is not null then
    -- Whoever changes the group's has come before, or finds this server.
    select g.effective_connection_limit into said from groups g where g.id = of_group for share;
  end if;
  return coalesce(said, 1000);
end
$$;
comment on function effective_connection_limit is 'A server''s own, or its group''s, which stays so until the transaction ends.';

create or replace function begin_server_load() returns trigger language plpgsql as $$
begin
  insert into server_loads (server_id, organization_id, connection_limit)
  values (new.id, new.organization_id, effective_connection_limit(new.connection_limit, new.group_id));
  return null;
end
$$;

create or replace function limit_server_load() returns trigger language plpgsql as $$
begin
  update server_loads
     set connection_limit = effective_connection_limit(new.connection_limit, new.group_id)
   where server_id = new.id;
  return null;
end
$$;

-- Nobody chose it so far: that many is what servers had unless somebody said otherwise.
update servers set connection_limit = null where connection_limit = 1000;

create trigger servers_grouped_load after update of group_id on servers
  for each row when (old.group_id is distinct from new.group_id)
  execute function limit_server_load();

create function join_group() returns trigger language plpgsql as $$
begin
  select group_id into new.group_id from registration_keys where id = new.registration_key_id;
  return new;
end
$$;
comment on function join_group is 'J4: brokers of the release before let servers in, and know nothing of groups.';

create trigger servers_join_group before insert on servers
  for each row when (new.group_id is null and new.registration_key_id is not null)
  execute function join_group();

create function settle_groups() returns trigger language plpgsql as $$
declare
  concerned uuid[];
  limited   uuid[];
  lost      text;
begin
  if pg_trigger_depth() > 1 then
    return null;
  end if;
  -- One after the other: of two moves at once, each may be right, and both of them a ring.
  select array_agg(distinct organization_id) into concerned from changed;
  perform 1 from organizations where id = any (concerned) order by id for no key update;
  with recursive tree as (
    select id, name as path, name_key as path_key, 1 as depth,
           heartbeat_interval_seconds, verification_period_seconds, connection_limit
      from groups
     where organization_id = any (concerned)
       and parent_id is null
     union all
    select g.id, t.path || '/' || g.name, t.path_key || '/' || g.name_key, t.depth + 1,
           coalesce(g.heartbeat_interval_seconds, t.heartbeat_interval_seconds),
           coalesce(g.verification_period_seconds, t.verification_period_seconds),
           coalesce(g.connection_limit, t.connection_limit)
      from groups g
      join tree t on t.id = g.parent_id
     where t.depth < 9
  ), settled as (
    update groups g
       set path = t.path,
           path_key = t.path_key,
           depth = t.depth,
           effective_heartbeat_interval_seconds = t.heartbeat_interval_seconds,
           effective_verification_period_seconds = t.verification_period_seconds,
           effective_connection_limit = t.connection_limit
      from tree t
      join groups former on former.id = t.id
     where t.id = g.id
       and (g.path, g.path_key, g.depth, g.effective_heartbeat_interval_seconds,
            g.effective_verification_period_seconds, g.effective_connection_limit)
           is distinct from
           (t.path, t.path_key, t.depth::smallint, t.heartbeat_interval_seconds, t.verification_period_seconds,
            t.connection_limit)
    returning g.id, former.effective_connection_limit is distinct from g.effective_connection_limit as is_limited
  )
  select array_agg(id) into limited from settled where is_limited;
  with recursive tree as (
    select id, 1 as depth from groups where organization_id = any (concerned) and parent_id is null
     union all
    select g.id, t.depth + 1 from groups g join tree t on t.id = g.parent_id where t.depth < 9
  )
  select coalesce(max(case when t.depth > 8 then 'groups_depth' end), max(case when t.id is null then 'groups_no_ring' end))
    into lost
    from groups g
    left join tree t on t.id = g.id
   where g.organization_id = any (concerned);
  if lost is not null then
    raise exception 'groups stand under each other in a ring, or more than 8 deep'
      using errcode = 'check_violation', constraint = lost, table = 'groups';
  end if;
  if limited is not null then
    -- In one order, as lighten_servers has it.
    perform 1
       from server_loads l
       join servers s on s.id = l.server_id
       join groups g on g.id = s.group_id
      where s.group_id = any (limited)
        and s.connection_limit is null
        and l.connection_limit <> coalesce(g.effective_connection_limit, 1000)
      order by l.server_id
        for no key update of l;
    update server_loads l
       set connection_limit = coalesce(g.effective_connection_limit, 1000)
      from servers s
      join groups g on g.id = s.group_id
     where l.server_id = s.id
       and s.group_id = any (limited)
       and s.connection_limit is null
       and l.connection_limit <> coalesce(g.effective_connection_limit, 1000);
  end if;
  return null;
end
$$;
comment on function settle_groups is 'What a group says holds for all below it that say nothing of their own.';

create trigger groups_settled after insert on groups referencing new table as changed
  for each statement execute function settle_groups();
create trigger groups_settled_anew after update on groups referencing new table as changed
  for each statement execute function settle_groups();

-- A connection remembers the group that its server was in.
create or replace function admit_connection() returns trigger language plpgsql as $$
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
  select path into new.server_group from groups where id = a_server.group_id;
  return new;
end
$$;

create table server_notes (
  id         uuid primary key,
  server_id  uuid not null references servers (id),
  body       text not null,
  author     text not null,
  author_id  uuid not null references admins (id),
  created_at timestamptz not null,
  constraint server_notes_body_size check (length(body) between 1 and 4000)
);
comment on table server_notes is 'What admins tell each other about a server.';
create index server_notes_server_idx on server_notes (server_id, id desc);

create table saved_views (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  admin_id        uuid not null references admins (id),
  page            text not null,
  name            text not null,
  name_key        text not null,
  search          text not null,
  shared          boolean not null,
  created_at      timestamptz not null,
  constraint saved_views_page_known check (page = 'servers'),
  constraint saved_views_name_uq unique (organization_id, admin_id, page, name_key)
);
comment on table saved_views is 'Lists that somebody wants to see again: the part of the address that filters, sorts and picks columns.';

create table bulk_acts (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  admin_id        uuid not null references admins (id),
  admin_name      text not null,
  address         inet,
  action          jsonb not null,
  permission      text not null,
  state           text not null,
  total           integer not null,
  -- Counted with each server, so that nobody who looks has to count them.
  changed         integer not null default 0,
  same            integer not null default 0,
  failed          integer not null default 0,
  problems        jsonb not null default '{}',
  undoes          uuid references bulk_acts (id),
  created_at      timestamptz not null,
  finished_at     timestamptz,
  constraint bulk_acts_state_known check (state in ('running', 'done', 'stopped')),
  constraint bulk_acts_finished check ((finished_at is not null) = (state <> 'running')),
  constraint bulk_acts_counted check (least(changed, same, failed) >= 0 and changed + same + failed <= total),
  constraint bulk_acts_done check ((state = 'done') = (changed + same + failed = total) or total = 0)
);
comment on table bulk_acts is 'One act on many servers, which goes on when the tab is closed.';
create index bulk_acts_running_idx on bulk_acts (id) where state = 'running';
create index bulk_acts_organization_idx on bulk_acts (organization_id, id desc);
create unique index bulk_acts_undone_once_uq on bulk_acts (undoes) where undoes is not null;

-- Servers are never deleted. Without a reference to them, 100,000 are noted in no time.
create table bulk_act_servers (
  act_id    uuid not null references bulk_acts (id),
  server_id uuid not null,
  tries     smallint not null default 0,
  outcome   text,
  problem   text,
  before    jsonb,
  primary key (act_id, server_id),
  constraint bulk_act_servers_outcome_known check (outcome in ('changed', 'same', 'failed'))
);
comment on table bulk_act_servers is 'What a bulk act did to each server, and what to put back when it is undone.';
create index bulk_act_servers_waiting_idx on bulk_act_servers (act_id, tries, server_id) where outcome is null;

select audit_table('servers', 'server', 'id',
  '{name_key, verified_at, latitude, longitude, facets, place, version_key}');
select audit_table('registration_keys', 'registration-key', 'id', '{}');
select audit_table('groups', 'group', 'id',
  '{name_key, path, path_key, depth, effective_heartbeat_interval_seconds, effective_verification_period_seconds, effective_connection_limit}');
select audit_table('server_notes', 'server', 'server_id', '{}');
select audit_table('saved_views', 'saved-view', 'id', '{name_key}', true);

-- The view gets groups and what admins say of a server. A server that the guard holds is still offered (H6).
-- Each server has a presence and a load. They are joined as though it might not: what a statement does not ask for is
-- then not read.
create or replace view fleet as
select s.id, s.organization_id, s.name, s.name_key, s.admission, s.admission_reason, s.admission_since, s.duty,
       s.duty_since, s.public_key, s.verified_at, s.verified, s.version, s.endpoints, s.capabilities,
       merge_tags(s.tags, s.assigned_tags) as tags, s.labels || s.assigned_labels as labels,
       s.location, s.latitude, s.longitude, s.public_address, s.registration_key_id, s.registered_at,
       null as "group",
       p.liveness,
       p.last_seen_at,
       p.interval_seconds as heartbeat_interval_seconds,
       p.active_connections,
       p.metrics,
       case
         when s.admission in ('retired', 'suspended', 'pending') then s.admission
         when s.duty = 'maintenance' then 'maintenance'
         when p.liveness in ('offline', 'unknown', 'never_seen', 'degraded') then p.liveness
         when s.duty = 'draining' then 'draining'
         else p.liveness
       end as status,
       case
         when s.admission in ('retired', 'suspended', 'pending') then s.admission_reason
         when s.duty = 'maintenance' then null
         else p.liveness_reason
       end as status_reason,
       case
         when s.admission in ('retired', 'suspended', 'pending') then s.admission_since
         when s.duty = 'maintenance' then s.duty_since
         when s.duty = 'draining' and p.liveness = 'online' then greatest(s.duty_since, p.liveness_since)
         else greatest(p.liveness_since, s.admission_since)
       end as status_since,
       s.admission = 'approved' and s.verified and s.duty = 'serving'
         and p.liveness in ('online', 'degraded', 'unknown') as available,
       l.connection_limit,
       l.live as live_connections,
       s.version_key,
       l.load,
       s.group_id,
       g.path_key as group_key,
       s.tags as declared_tags,
       s.labels as declared_labels,
       s.assigned_tags,
       s.assigned_labels,
       s.connection_limit as own_connection_limit,
       s.facets,
       p.skew_seconds,
       p.falls,
       p.boot_id,
       g.path as group_path
  from servers s
  left join server_presence p on p.server_id = s.id
  left join server_loads l on l.server_id = s.id
  left join groups g on g.id = s.group_id;

-- What brokers read from now on: those of the release before take a server whose "group" is not null for a mistake.
create view fleet_servers as
select id, organization_id, name, name_key, admission, admission_reason, admission_since, duty, duty_since, public_key,
       verified_at, verified, version, endpoints, capabilities, tags, labels, location, latitude, longitude, public_address,
       registration_key_id, registered_at, liveness, last_seen_at, heartbeat_interval_seconds, active_connections, metrics,
       status, status_reason, status_since, available, connection_limit, live_connections, version_key, load, group_id,
       group_path as "group", group_key, declared_tags, declared_labels, assigned_tags, assigned_labels,
       own_connection_limit, facets, skew_seconds, falls, boot_id
  from fleet;
comment on view fleet_servers is 'Servers with what was heard of them last, their group, and their status in one word.';
