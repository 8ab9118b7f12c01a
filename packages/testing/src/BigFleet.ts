/** A large fleet, of any size: straight into the tables, as registering it would take hours. */
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** A fleet such as large ones are: words of all frequencies, names that tell the region, busy and idle, here and there. */
export const bigFleet = Effect.fnUntraced(function* (servers: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`select setseed(0.5)`
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         verified_at, version, endpoints, capabilities, tags, labels, location, registered_at,
                         connection_limit)
    select gen_random_uuid(), ${defaultOrganizationId}::uuid, name, name,
           case when n % 50 = 0 then 'suspended' else 'approved' end, now(),
           case when n % 51 = 0 then 'draining' else 'serving' end, now(), sha256(name::bytea), now(),
           '1.' || (n % 30) || '.' || (n % 7),
           '[{"protocol": "webrtc", "host": "203.0.113.7", "port": 51820}]',
           jsonb_build_object('vpn', jsonb_build_object('ipv6', true))
             || case when n % 2 = 0 then '{"lan": {}}' else '{}' end::jsonb
             || case when n % 10 = 3 then '{"relay": {}}' else '{}' end::jsonb
             || case when n % 10000 = 77 then '{"exotic": {}}' else '{}' end::jsonb,
           array(select distinct tag
                   from unnest(array[
                          'region-' || region,
                          case when (n / 3) % 2 = 0 then 'half' end,
                          'rare-' || n % (greatest(${servers}::int, 10000) / 10),
                          -- 200 words, the first of them a hundred times as frequent as the last.
                          'word-' || floor(exp(random() * ln(200)))::int,
                          'word-' || floor(exp(random() * ln(200)))::int]) as tag
                  where tag is not null),
           jsonb_build_object('rack', 'r' || n % 500, 'tier', case when random() < 0.5 then 'gold' else 'silver' end),
           case when n % 20 <> 9 then jsonb_build_object(
             'latitude', greatest(-90, least(90, (region * 37) % 120 - 55 + random() * 4)),
             'longitude', greatest(-180, least(180, (region * 91) % 340 - 170 + random() * 4))) end,
           now(), 1000
      from (select n, n * 40 / ${servers}::int as region,
                   'r' || lpad((n * 40 / ${servers}::int)::text, 2, '0') || '-' || substr(md5(n::text), 1, 8) || '-' || n as name
              from generate_series(1, ${servers}::int) as n) as numbers`
  yield* sql`
    insert into server_presence (server_id, liveness, liveness_since, last_seen_at, interval_seconds, metrics)
    select id, case when random() < 0.03 then 'offline' else 'online' end, now(),
           now() - make_interval(secs => random() * 30), 30,
           '{"cpu": 0.41, "memoryUsedBytes": 1073741824, "rxBytes": 123456, "txBytes": 654321}'
      from servers
     order by gen_random_uuid()`
  yield* sql`update server_loads set live = floor(random() * random() * 1000)`
  // As autovacuum leaves it behind.
  for (const table of ["servers", "server_presence", "server_loads"]) yield* sql`vacuum analyze ${sql(table)}`
})
