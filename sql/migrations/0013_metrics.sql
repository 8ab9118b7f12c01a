-- What servers measure: raw for a day, by the minute for two weeks, by the hour for 400 days (H9). All of it lies in
-- partitions by time, which are made ahead of time and dropped whole.

create table metric_samples (
  server_id uuid not null,
  at        timestamptz not null,
  -- Null for what was kept before boots were.
  boot_id   uuid,
  seq       bigint not null,
  metrics   jsonb not null
) partition by range (at);
comment on table metric_samples is 'What each heartbeat measured. Only ever added to.';
-- No key and no reference: the heartbeat that writes a row has just moved its server on, once (H3).
create index metric_samples_server_idx on metric_samples (server_id, at);
create index metric_samples_at_idx on metric_samples using brin (at) with (pages_per_range = 16, autosummarize = on);

-- Of each name, at the same place of each array: how much weight (samples of a gauge, seconds of a counter), what it
-- came to (the sum of a gauge, the growth of a counter), the least and the most (of a counter per second).
create table metric_minutes (
  server_id uuid not null,
  at        timestamptz not null,
  names     text[] not null,
  weights   double precision[] not null,
  totals    double precision[] not null,
  least     double precision[] not null,
  most      double precision[] not null,
  primary key (server_id, at),
  constraint metric_minutes_even check (extract(epoch from at)::bigint % 60 = 0),
  constraint metric_minutes_whole check (cardinality(names) = all (array[cardinality(weights), cardinality(totals), cardinality(least), cardinality(most)]))
) partition by range (at);
comment on table metric_minutes is 'Roll-up of metric_samples.';
create index metric_minutes_at_idx on metric_minutes using brin (at) with (pages_per_range = 16, autosummarize = on);

create table metric_hours (
  server_id uuid not null,
  at        timestamptz not null,
  names     text[] not null,
  weights   double precision[] not null,
  totals    double precision[] not null,
  least     double precision[] not null,
  most      double precision[] not null,
  primary key (server_id, at),
  constraint metric_hours_even check (extract(epoch from at)::bigint % 3600 = 0),
  constraint metric_hours_whole check (cardinality(names) = all (array[cardinality(weights), cardinality(totals), cardinality(least), cardinality(most)]))
) partition by range (at);
comment on table metric_hours is 'Roll-up of metric_minutes, of the same form.';

-- Of each name: minutes, servers times minutes, and over all servers the sum of their means, of their least and of
-- their most in the minute (of several minutes: added up, the least, the most), the least and the most of any.
create table metric_group_minutes (
  -- A group, or the organization for all of its fleet.
  scope_id        uuid not null,
  at              timestamptz not null,
  organization_id uuid not null,
  names           text[] not null,
  minutes         double precision[] not null,
  servers         double precision[] not null,
  totals          double precision[] not null,
  least_totals    double precision[] not null,
  most_totals     double precision[] not null,
  least           double precision[] not null,
  most            double precision[] not null,
  primary key (scope_id, at),
  constraint metric_group_minutes_even check (extract(epoch from at)::bigint % 60 = 0),
  constraint metric_group_minutes_whole check (cardinality(names) = all (array[cardinality(minutes), cardinality(servers), cardinality(totals), cardinality(least_totals), cardinality(most_totals), cardinality(least), cardinality(most)]))
) partition by range (at);
comment on table metric_group_minutes is 'Roll-up of metric_minutes over the servers of a group and below.';

create table metric_group_hours (
  scope_id        uuid not null,
  at              timestamptz not null,
  organization_id uuid not null,
  names           text[] not null,
  minutes         double precision[] not null,
  servers         double precision[] not null,
  totals          double precision[] not null,
  least_totals    double precision[] not null,
  most_totals     double precision[] not null,
  least           double precision[] not null,
  most            double precision[] not null,
  primary key (scope_id, at),
  constraint metric_group_hours_even check (extract(epoch from at)::bigint % 3600 = 0),
  constraint metric_group_hours_whole check (cardinality(names) = all (array[cardinality(minutes), cardinality(servers), cardinality(totals), cardinality(least_totals), cardinality(most_totals), cardinality(least), cardinality(most)]))
) partition by range (at);
comment on table metric_group_hours is 'Roll-up of metric_group_minutes, of the same form.';

-- Whatever has no partition of its own lands here: a heartbeat never fails for want of one.
create table metric_samples_default partition of metric_samples default;
create table metric_minutes_default partition of metric_minutes default;
create table metric_hours_default partition of metric_hours default;
create table metric_group_minutes_default partition of metric_group_minutes default;
create table metric_group_hours_default partition of metric_group_hours default;

create table metric_minutes_done (
  at      timestamptz primary key,
  -- How many it was made of: with more there is more to do.
  samples integer not null,
  -- Of a minute that is not whole yet: the servers up to here are.
  after   uuid
);
comment on table metric_minutes_done is 'Minutes that are rolled up and not closed, and closed ones that are to be rolled up again.';

-- Without a key: who adds to it waits for nobody.
create table metric_late (
  at timestamptz not null
);
comment on table metric_late is 'Minutes of samples that came so late that theirs may have been closed.';

create table metric_late_hours (
  at    timestamptz primary key,
  after uuid
);
comment on table metric_late_hours is 'Hours with minutes that were rolled up again.';

create table metric_progress (
  unit  text primary key,
  -- What lies before is rolled up, and all that retention may drop.
  until timestamptz not null default '-infinity',
  -- Of the hour that comes next: the servers up to here are rolled up.
  after uuid,
  constraint metric_progress_unit_known check (unit in ('minute', 'hour'))
);
comment on table metric_progress is 'How far roll-ups have come.';
insert into metric_progress (unit) values ('minute'), ('hour');

create function metric_number(value jsonb) returns double precision language sql immutable parallel safe
return greatest(least(value::double precision, 1e100), -1e100) + 1e-80 - 1e-80;
comment on function metric_number is 'So far from the ends of what numbers can be, the small one as well, that no sum and no rate of it leaves them.';

create function metric_partitions(parent regclass)
  returns table (name text, since timestamptz, until timestamptz) language sql stable
as $$
  select name,
         (bounds)[1]::timestamptz,
         (bounds)[2]::timestamptz
    from (select c.relname::text as name,
                 regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.*)''\) TO \(''(.*)''\)') as bounds
            from pg_inherits i
            join pg_class c on c.oid = i.inhrelid
           where i.inhparent = parent) as partition
   where bounds is not null
   order by 2
$$;
comment on function metric_partitions is 'The partitions of a table that have bounds.';

create function make_metric_partition(parent regclass, since timestamptz, until timestamptz)
  returns boolean language plpgsql as $$
declare
  named text := format('%s_%s', parent, to_char(since at time zone 'UTC', 'YYYYMMDD_HH24'));
  taken boolean;
begin
  if exists (select from metric_partitions(parent) p where p.since < make_metric_partition.until and p.until > make_metric_partition.since) then
    return false;
  end if;
  -- What has landed in the default partition stays there.
  execute format('select exists (select from %I where at >= $1 and at < $2)', parent || '_default') into taken using since, until;
  if taken then
    return false;
  end if;
  perform set_config('lock_timeout', '500ms', true);
  begin
    -- Made beside and then attached, which holds nobody up who writes to another one.
    execute format('create table %I (like %s including defaults including constraints)', named, parent);
    execute format('alter table %s attach partition %I for values from (%L) to (%L)', parent, named, since, until);
  exception when lock_not_available or check_violation or duplicate_table or deadlock_detected then
    return false;
  end;
  return true;
end
$$;
comment on function make_metric_partition is 'Makes a partition unless there is one, or rows of its time lie in the default one. False when it has to be tried again.';

create function drop_metric_partition(named text) returns boolean language plpgsql as $$
begin
  perform set_config('lock_timeout', '500ms', true);
  execute format('drop table %I', named);
  return true;
exception when lock_not_available or undefined_table or deadlock_detected then
  return false;
end
$$;
comment on function drop_metric_partition is 'Drops a partition unless somebody is in the way, which is worth no wait of heartbeats.';

create function next_metric_sample(since timestamptz) returns timestamptz language plpgsql stable as $$
declare
  part  record;
  found boolean;
  loose timestamptz;
begin
  select min(at) into loose from metric_samples_default where at >= next_metric_sample.since;
  for part in
    select p.name, p.since
      from metric_partitions('metric_samples') p
     where p.until > next_metric_sample.since and (loose is null or p.since < loose)
  loop
    execute format('select exists (select from %I where at >= $1)', part.name) into found using next_metric_sample.since;
    if found then
      return greatest(part.since, next_metric_sample.since);
    end if;
  end loop;
  return loose;
end
$$;
comment on function next_metric_sample is 'A time from which on there are samples, and before which there are none since another; null when there are none.';

-- From an hour before the oldest that may be carried over.
select make_metric_partition('metric_samples', hour, hour + interval '1 hour')
  from generate_series(date_bin('1 hour', now() - interval '25 hours', 'epoch'), now() + interval '6 hours', interval '1 hour') as hour;
select make_metric_partition(parent, day, day + interval '1 day')
  from unnest(array['metric_minutes', 'metric_group_minutes']::regclass[]) as parent,
       generate_series(date_bin('1 day', now() - interval '25 hours', 'epoch'), now() + interval '3 days', interval '1 day') as day;
select make_metric_partition(parent, days, days + interval '10 days')
  from unnest(array['metric_hours', 'metric_group_hours']::regclass[]) as parent,
       generate_series(date_bin('10 days', now() - interval '25 hours', 'epoch'), now() + interval '20 days', interval '10 days') as days;

-- Brokers of the release before write server_samples, and read it, until they are gone.
create function copy_server_samples() returns trigger language plpgsql as $$
begin
  insert into metric_samples (server_id, at, boot_id, seq, metrics)
  select n.server_id, coalesce(p.last_seen_at, n.minute), p.boot_id, p.seq, n.metrics
    from new_rows n
    join server_presence p on p.server_id = n.server_id;
  insert into metric_late (at)
  select distinct date_trunc('minute', coalesce(p.last_seen_at, n.minute))
    from new_rows n
    join server_presence p on p.server_id = n.server_id
   where coalesce(p.last_seen_at, n.minute) < clock_timestamp() - interval '1 minute';
  return null;
end
$$;
comment on function copy_server_samples is 'Takes over what brokers of the release before hear.';

-- All but the last minutes before the trigger, which holds up who writes: what is left then is little.
insert into metric_samples (server_id, at, boot_id, seq, metrics)
select server_id, minute, null, 0, metrics
  from server_samples
 where minute >= now() - interval '24 hours'
   and minute < date_trunc('minute', now()) - interval '5 minutes'
 order by minute, server_id;

create trigger server_samples_inserted after insert on server_samples
  referencing new table as new_rows for each statement execute function copy_server_samples();
create trigger server_samples_updated after update on server_samples
  referencing new table as new_rows for each statement execute function copy_server_samples();

insert into metric_samples (server_id, at, boot_id, seq, metrics)
select server_id, minute, null, 0, metrics
  from server_samples
 where minute >= date_trunc('minute', now()) - interval '5 minutes'
 order by minute, server_id;

comment on table server_samples is 'Written by brokers of the release before only, and copied from here: see metric_samples.';
