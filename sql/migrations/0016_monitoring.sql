-- How the broker itself does, and what it takes to tell how the fleet did at any time.

create table job_runs (
  job             text primary key,
  every_seconds   double precision not null,
  runs            bigint not null,
  failures        bigint not null,
  last_started_at timestamptz not null,
  last_took_ms    double precision not null,
  last_outcome    text not null,
  last_problem    text,
  last_failed_at  timestamptz,
  next_run_at     timestamptz not null,
  constraint job_runs_outcome_known check (last_outcome in ('done', 'failed', 'lost')),
  constraint job_runs_counts check (failures between 0 and runs and last_took_ms >= 0 and every_seconds > 0)
) with (fillfactor = 50);
comment on table job_runs is 'How each scheduled job did last, on whichever node. A later start is never overwritten by an earlier one.';

-- How a process does, as it told with its last beat; null of brokers that do not tell.
alter table nodes
  add column cpu_share             double precision,
  add column memory_bytes          double precision,
  add column lag_ms                double precision,
  add column heartbeats_per_second double precision,
  add column requests_per_second   double precision,
  add constraint nodes_figures check (
    cpu_share >= 0 and memory_bytes >= 0 and lag_ms >= 0 and heartbeats_per_second >= 0 and requests_per_second >= 0);

create table fleet_moments (
  organization_id uuid not null references organizations (id),
  at              timestamptz not null,
  total           integer not null,
  up              integer not null,
  down            integer not null,
  unknown         integer not null,
  connections     integer not null,
  heartbeats      double precision not null,
  primary key (organization_id, at),
  constraint fleet_moments_of_minutes check (at = date_trunc('minute', at, 'UTC')),
  constraint fleet_moments_add_up check (
    up >= 0 and down >= 0 and unknown >= 0 and up + down + unknown <= total and connections >= 0 and heartbeats >= 0)
);
comment on table fleet_moments is 'How each fleet did in each minute, for trends.';
create index fleet_moments_at_idx on fleet_moments (at);

create table server_former_facts (
  id         bigint generated always as identity primary key,
  server_id  uuid not null references servers (id),
  group_id   uuid,
  group_path text,
  version    text,
  until      timestamptz not null
);
comment on table server_former_facts is 'What group a server was in and what version it ran, until either changed. What it is since then, or is now, stands with the server or in the next row.';
create index server_former_facts_server_idx on server_former_facts (server_id, until, id);
create index server_former_facts_until_idx on server_former_facts (until);

create function keep_former_facts() returns trigger language plpgsql as $$
begin
  insert into server_former_facts (server_id, group_id, group_path, version, until)
  values (new.id, old.group_id, (select path from groups where id = old.group_id), old.version, now());
  return null;
end
$$;

create trigger servers_former_facts after update of group_id, version on servers
  for each row when ((old.group_id, old.version) is distinct from (new.group_id, new.version))
  execute function keep_former_facts();
