-- The fleet. What rarely changes (servers) stands apart from what changes with every heartbeat (server_presence).

create table registration_keys (
  id                 uuid primary key,
  organization_id    uuid not null references organizations (id),
  name               text not null,
  digest             bytea not null,
  hint               text not null,
  use_limit          integer not null,
  uses               integer not null default 0,
  tags               text[] not null default '{}',
  approval           boolean not null default false,
  replaces_server_id uuid,
  created_by         text not null,
  created_at         timestamptz not null,
  expires_at         timestamptz not null,
  revoked_at         timestamptz,
  constraint registration_keys_digest_uq unique (digest),
  constraint registration_keys_digest_size check (octet_length(digest) = 32),
  -- B1: whatever races, the count never passes the limit.
  constraint registration_keys_within_limit check (uses between 0 and use_limit),
  constraint registration_keys_replacement_is_single check (replaces_server_id is null or use_limit = 1)
);
create index registration_keys_organization_idx on registration_keys (organization_id, id desc);

create function refuse_registration_key_revival() returns trigger language plpgsql as $$
begin
  raise exception 'a registration key stays revoked, and its uses stay counted'
    using errcode = 'check_violation', constraint = 'registration_keys_one_way', table = 'registration_keys';
end
$$;
comment on function refuse_registration_key_revival is 'B8: there is no un-revoke, and no use is ever given back.';

create trigger registration_keys_one_way before update of uses, revoked_at on registration_keys
  for each row when (
    new.uses < old.uses
    or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at)
  )
  execute function refuse_registration_key_revival();

create table servers (
  id                  uuid primary key,
  organization_id     uuid not null references organizations (id),
  name                text not null,
  name_key            text not null,
  admission           text not null,
  admission_reason    text,
  admission_since     timestamptz not null,
  duty                text not null,
  duty_since          timestamptz not null,
  public_key          bytea not null,
  verified_at         timestamptz,
  verified            boolean not null generated always as (verified_at is not null) stored,
  version             text,
  endpoints           jsonb not null,
  capabilities        jsonb not null,
  tags                text[] not null,
  labels              jsonb not null,
  location            jsonb,
  latitude            double precision generated always as ((location ->> 'latitude')::double precision) stored,
  longitude           double precision generated always as ((location ->> 'longitude')::double precision) stored,
  public_address      inet,
  registration_key_id uuid references registration_keys (id),
  registered_at       timestamptz not null,
  constraint servers_public_key_size check (octet_length(public_key) = 32),
  constraint servers_admission_known check (admission in ('pending', 'approved', 'suspended', 'retired')),
  constraint servers_duty_known check (duty in ('serving', 'draining', 'maintenance')),
  constraint servers_latitude_range check (latitude between -90 and 90),
  constraint servers_longitude_range check (longitude between -180 and 180),
  constraint servers_location_whole check ((latitude is null) = (longitude is null))
);
comment on table servers is 'Registered gateways: who they are and what they say of themselves.';

-- B3. A retired server gives its name back.
create unique index servers_name_uq on servers (organization_id, name_key) where admission <> 'retired';
create index servers_organization_idx on servers (organization_id, id desc);
create index servers_admission_idx on servers (organization_id, admission, id desc);
create index servers_registration_key_idx on servers (registration_key_id);

alter table registration_keys
  add constraint registration_keys_replaces_fk foreign key (replaces_server_id) references servers (id);

create table server_keys (
  public_key bytea primary key,
  server_id  uuid not null references servers (id),
  state      text not null,
  created_at timestamptz not null,
  constraint server_keys_public_key_size check (octet_length(public_key) = 32),
  constraint server_keys_state_known check (state in ('current', 'next', 'former'))
);
comment on table server_keys is 'Every public key that ever identified a server, so that none identifies two (B5, B10).';
create unique index server_keys_current_uq on server_keys (server_id) where state = 'current';
create unique index server_keys_next_uq on server_keys (server_id) where state = 'next';

create table server_tokens (
  id            uuid primary key,
  server_id     uuid not null references servers (id),
  digest        bytea not null,
  created_at    timestamptz not null,
  first_used_at timestamptz,
  expires_at    timestamptz,
  revoked_at    timestamptz,
  constraint server_tokens_digest_size check (octet_length(digest) = 32)
);
comment on table server_tokens is 'Digests of the servers'' bearer secrets. A new one ends the others on its first use.';
create index server_tokens_server_idx on server_tokens (server_id) where revoked_at is null;

create table server_presence (
  server_id          uuid primary key references servers (id),
  boot_id            uuid,
  former_boot_ids    uuid[] not null default '{}',
  seq                bigint not null default 0,
  liveness           text not null default 'never_seen',
  liveness_reason    text,
  liveness_since     timestamptz not null,
  last_seen_at       timestamptz,
  interval_seconds   double precision,
  skew_seconds       double precision,
  good_streak        smallint not null default 0,
  falls              smallint not null default 0,
  fell_at            timestamptz,
  active_connections integer not null default 0,
  metrics            jsonb not null default '{}',
  constraint server_presence_liveness_known check (liveness in ('never_seen', 'online', 'degraded', 'offline', 'unknown')),
  constraint server_presence_live_was_seen check (liveness = 'never_seen' or last_seen_at is not null)
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.02
);
comment on table server_presence is 'What the broker heard last from each server. Nothing here is indexed but the key, so that heartbeats stay in place (HOT).';

create table server_transitions (
  id              bigint generated always as identity primary key,
  organization_id uuid not null references organizations (id),
  server_id       uuid not null references servers (id),
  axis            text not null,
  before          text,
  after           text not null,
  reason          text,
  at              timestamptz not null,
  constraint server_transitions_axis_known check (axis in ('admission', 'liveness', 'duty', 'verification'))
);
comment on table server_transitions is 'Every move of a server on an axis, once: written by the row that moved (H2).';
create index server_transitions_server_idx on server_transitions (server_id, id desc);
create index server_transitions_organization_idx on server_transitions (organization_id, id desc);

create function record_liveness_transition() returns trigger language plpgsql as $$
begin
  insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
  select s.organization_id, new.server_id, 'liveness', old.liveness, new.liveness, new.liveness_reason, new.liveness_since
    from servers s
   where s.id = new.server_id;
  return null;
end
$$;

create trigger server_presence_moved after update of liveness on server_presence
  for each row when (old.liveness is distinct from new.liveness)
  execute function record_liveness_transition();

create function record_server_transition() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    values (new.organization_id, new.id, 'admission', null, new.admission, 'registered', new.admission_since);
    return null;
  end if;
  if old.admission is distinct from new.admission then
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    values (new.organization_id, new.id, 'admission', old.admission, new.admission, new.admission_reason, new.admission_since);
  end if;
  if old.duty is distinct from new.duty then
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    values (new.organization_id, new.id, 'duty', old.duty, new.duty, null, new.duty_since);
  end if;
  if old.verified is distinct from new.verified then
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    values (
      new.organization_id, new.id, 'verification',
      case when old.verified then 'verified' else 'unverified' end,
      case when new.verified then 'verified' else 'unverified' end,
      null,
      -- It is in doubt since it was given another key, or since it was suspended for a wrong signature.
      coalesce(new.verified_at, greatest(
        new.admission_since, (select created_at from server_keys where public_key = new.public_key)))
    );
  end if;
  return null;
end
$$;

create trigger server_moved after insert or update of admission, duty, verified_at on servers
  for each row execute function record_server_transition();

create function refuse_admission_move() returns trigger language plpgsql as $$
begin
  raise exception 'a % server cannot become %', old.admission, new.admission
    using errcode = 'check_violation', constraint = 'servers_admission_moves', table = 'servers';
end
$$;
comment on function refuse_admission_move is 'pending → approved ⇄ suspended, and any of them → retired, for good.';

create trigger servers_admission_moves before update of admission on servers
  for each row when (
    (old.admission = 'retired' and new.admission <> 'retired')
    or (new.admission = 'pending' and old.admission <> 'pending')
  )
  execute function refuse_admission_move();

create table server_samples (
  server_id uuid not null references servers (id),
  minute    timestamptz not null,
  metrics   jsonb not null,
  primary key (server_id, minute)
);
comment on table server_samples is 'The last metrics of each server in each minute.';
create index server_samples_minute_idx on server_samples (minute);

create table challenges (
  id          uuid primary key,
  server_id   uuid not null references servers (id),
  purpose     text not null,
  nonce       bytea not null,
  state       text not null,
  issued_at   timestamptz not null,
  expires_at  timestamptz not null,
  answered_at timestamptz,
  constraint challenges_nonce_size check (octet_length(nonce) = 32),
  constraint challenges_purpose_known check (purpose in ('registration', 'scheduled', 'requested')),
  constraint challenges_state_known check (state in ('open', 'passed', 'failed', 'expired', 'superseded')),
  constraint challenges_answered check ((answered_at is not null) = (state in ('passed', 'failed')))
);
comment on table challenges is 'Questions to servers and how they ended (V1).';
create unique index challenges_open_uq on challenges (server_id) where state = 'open';
create index challenges_server_idx on challenges (server_id, id desc);

create table idempotency_keys (
  scope       text not null,
  key         text not null,
  body_digest bytea not null,
  times       integer not null default 1,
  created_at  timestamptz not null,
  primary key (scope, key)
);
comment on table idempotency_keys is 'Which request an Idempotency-Key stood for, for 24 hours. Answers are not kept: they hold secrets.';
create index idempotency_keys_created_at_idx on idempotency_keys (created_at);

-- One status, one place: what lists, pages and both APIs show of a server.
create view fleet as
select s.*,
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
       s.admission = 'approved' and s.verified and s.duty = 'serving' and p.liveness in ('online', 'degraded') as available
  from servers s
  join server_presence p on p.server_id = s.id;
comment on view fleet is 'Servers with what was heard of them last, and their status in one word.';
