-- What clients look for servers by, each by an index.

create extension if not exists btree_gin;
create extension if not exists pg_trgm;
create extension if not exists cube;
create extension if not exists btree_gist;

create function version_key(version text) returns bigint[] language sql immutable strict parallel safe
return (
  select array[
           coalesce(part[1], '0')::bigint, coalesce(part[2], '0')::bigint,
           coalesce(part[3], '0')::bigint, coalesce(part[4], '0')::bigint,
           -- A pre-release comes before its release.
           case when version ~ '^v?[0-9.]+-' then 0 else 1 end
         ]
    from (select regexp_split_to_array(substring(version from '^v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})'), '\.') as part) as parts
   where part is not null
);
comment on function version_key is 'Versions in their order: 1.9 < 1.10-rc.1 < 1.10. None for what does not begin with a number.';

create function facets(tags text[], labels jsonb, capabilities jsonb) returns text[] language sql immutable strict parallel safe
return (
  select coalesce(array_agg(facet), '{}')
    from (select 'tag:' || tag from unnest(tags) as tag
           union
          select 'label:' || key || ':' || value from jsonb_each_text(labels)
           union
          select 'capability:' || name from jsonb_object_keys(capabilities) as name) as facets (facet)
);
comment on function facets is 'Tags, labels and capabilities as words of one kind: one index finds all of them together, and knows how frequent each is.';

-- Rounded, as the tiniest of numbers are an error to radians(), and none that anybody means.
create function angle(degrees double precision) returns double precision language sql immutable strict parallel safe
return radians(round(degrees::numeric, 12)::double precision);

-- On the unit sphere, where the straight line between two points grows with the way around.
create function place_on_globe(latitude double precision, longitude double precision) returns cube language sql immutable strict parallel safe
return cube(array[
  cos(angle(latitude)) * cos(angle(longitude)), cos(angle(latitude)) * sin(angle(longitude)), sin(angle(latitude))
]);

alter table servers
  add column version_key bigint[] generated always as (version_key(version)) stored,
  add column facets text[] not null generated always as (facets(tags, labels, capabilities)) stored,
  add column place cube generated always as (
    place_on_globe((location ->> 'latitude')::double precision, (location ->> 'longitude')::double precision)) stored;

-- Of admins' lists, which show servers in every state.
create index servers_tags_idx on servers using gin (organization_id, tags);
create index servers_name_search_idx on servers using gin (organization_id, name_key gin_trgm_ops);

-- Of discovery. Servers change rarely and are looked for all the time, so no write is put off at a reader's cost.
create index servers_discovery_name_idx on servers (organization_id, name_key, id)
  where admission = 'approved' and verified and duty = 'serving';
create index servers_discovery_facets_idx on servers using gin (organization_id, facets) with (fastupdate = off)
  where admission = 'approved' and verified and duty = 'serving';
create index servers_discovery_version_idx on servers (organization_id, version_key)
  where admission = 'approved' and verified and duty = 'serving';
create index servers_discovery_place_idx on servers using gist (organization_id, place)
  where admission = 'approved' and verified and duty = 'serving' and place is not null;
create index servers_discovery_placeless_idx on servers (organization_id, id)
  where admission = 'approved' and verified and duty = 'serving' and place is null;

-- The view gets what connections know of a server.
create or replace view fleet as
select s.id, s.organization_id, s.name, s.name_key, s.admission, s.admission_reason, s.admission_since, s.duty,
       s.duty_since, s.public_key, s.verified_at, s.verified, s.version, s.endpoints, s.capabilities, s.tags, s.labels,
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
       s.admission = 'approved' and s.verified and s.duty = 'serving' and p.liveness in ('online', 'degraded') as available,
       s.connection_limit,
       l.live as live_connections,
       s.version_key,
       l.load
  from servers s
  join server_presence p on p.server_id = s.id
  join server_loads l on l.server_id = s.id;
