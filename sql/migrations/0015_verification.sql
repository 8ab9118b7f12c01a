-- How the broker makes sure, again and again, that servers are who they were (V3 to V5), and what they can really do.
-- Heartbeats and whatever else moves a server only leave hints; the scheduler takes them up. So nothing waits for it.

alter table server_presence add column address inet;
comment on column server_presence.address is 'Where the last heartbeat came from.';

create table verification_hints (
  id        bigint generated always as identity primary key,
  server_id uuid not null,
  risk      text not null default 'none'
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table verification_hints is 'Servers whose next question is to be worked out anew, until the scheduler has done so. Added to, never changed.';
create index verification_hints_server_idx on verification_hints (server_id);

create table server_verifications (
  server_id             uuid primary key references servers (id),
  organization_id       uuid not null references organizations (id),
  -- When it is asked next; null while a question is open, and while it can't be asked.
  due_at                timestamptz,
  -- For what it is asked with its next heartbeat: only then the question is made, and its time begins.
  wanted                text,
  risk                  text not null default 'none',
  urgency               smallint not null default 0,
  period_seconds        double precision not null default 21600,
  -- The last question and how it ended: kept by note_challenge.
  challenge_id          uuid,
  purpose               text,
  state                 text,
  asked_at              timestamptz,
  at                    timestamptz,
  latency_millis        double precision,
  silences              smallint not null default 0,
  -- Where it was when it last proved itself, the latest first: none of them is new.
  networks              inet[] not null default '{}',
  -- Since when, and why, what was proven once is in doubt.
  doubted_at            timestamptz,
  doubt_reason          text,
  -- When its capabilities were checked; null when that is to be done, and infinity while it is not to be looked at.
  checked_at            timestamptz default 'infinity',
  -- Goes up with whatever makes a check out of date, so that one that was under way is not taken for it.
  check_turn            integer not null default 0,
  rotation_requested_at timestamptz,
  constraint server_verifications_risk_known check (risk in ('none', 'new_network', 'new_version', 'new_boot', 'new_capability')),
  constraint server_verifications_wanted_known check (wanted in ('scheduled', 'requested')),
  constraint server_verifications_asked_whole check ((challenge_id is null) = (asked_at is null) and (challenge_id is null) = (state is null))
) with (fillfactor = 70);
comment on table server_verifications is 'Which server is to be asked when, and how the last question to it ended.';
create index server_verifications_urgent_idx on server_verifications (urgency, due_at, server_id)
  where due_at is not null and wanted is null;
create index server_verifications_wanted_idx on server_verifications (server_id) where wanted is not null;
create index server_verifications_due_idx on server_verifications (organization_id, due_at, server_id) where due_at is not null;
create index server_verifications_state_idx on server_verifications (organization_id, state, at desc, server_id desc);
create index server_verifications_silent_idx on server_verifications (organization_id, at desc, server_id desc) where silences > 0;
create index server_verifications_unchecked_idx on server_verifications (checked_at nulls first, server_id);
create index server_verifications_rotating_idx on server_verifications (server_id) where rotation_requested_at is not null;

-- What ended lately, for figures and for forgetting, without a look at the table.
create index challenges_ended_idx on challenges (coalesce(answered_at, expires_at))
  include (server_id, state, answered_at, expires_at) where state <> 'open';
create index challenges_expiring_idx on challenges (expires_at) where state = 'open';

create table verification_spans (
  organization_id uuid not null references organizations (id),
  since           timestamptz not null,
  passed          integer not null,
  failed          integer not null,
  expired         integer not null,
  primary key (organization_id, since)
);
comment on table verification_spans is 'How the questions of each ten minutes ended, once all of them have.';
create index verification_spans_since_idx on verification_spans (since);

/*
 * Each server has its own moment within the period, by its id, so that those that joined together are not asked
 * together; give or take a twentieth of the period. At least a quarter of the period passes after the last proof.
 */
create function verification_due(id uuid, since timestamptz, period double precision) returns timestamptz language sql stable
return (
  select to_timestamp(floor(
           (turn + phase) * period
           + ((hashtextextended(id::text || turn::text, 1) & 2147483647) / 2147483648.0 - 0.5) * 0.1 * period))
    from (select (hashtextextended(id::text, 0) & 2147483647) / 2147483648.0 as phase) as own,
 lateral (select floor(extract(epoch from since) / period + 0.25 - phase) + 1 as turn) as next
);

create table server_capabilities (
  server_id  uuid not null references servers (id),
  capability text not null,
  standing   text not null,
  reason     text,
  checked_at timestamptz not null,
  primary key (server_id, capability),
  constraint server_capabilities_standing_known check (standing in ('declared', 'confirmed', 'refuted'))
);
comment on table server_capabilities is 'What the last check of a capability found.';

create table former_boots (
  server_id    uuid not null references servers (id),
  boot_id      uuid not null,
  since        timestamptz not null,
  seq          bigint not null,
  continued    smallint not null default 0,
  continued_at timestamptz,
  last_at      timestamptz not null,
  primary key (server_id, boot_id)
);
comment on table former_boots is 'Boots that were heard again after another had taken their place, and how far they go on (V5).';
create index former_boots_last_at_idx on former_boots (last_at);

create function begin_server_verification() returns trigger language plpgsql as $$
begin
  insert into server_verifications (server_id, organization_id) values (new.id, new.organization_id);
  return null;
end
$$;

create trigger servers_verification_begun after insert on servers
  for each row execute function begin_server_verification();

create function address_network(address inet) returns inet language sql immutable
return network(set_masklen(address, case family(address) when 4 then 24 else 48 end));

create function note_challenge() returns trigger language plpgsql as $$
declare
  network inet;
begin
  if tg_op = 'INSERT' then
    update server_verifications
       set challenge_id = new.id,
           purpose = new.purpose,
           state = new.state,
           asked_at = new.issued_at,
           at = new.issued_at,
           latency_millis = null,
           due_at = null,
           wanted = null
     where server_id = new.server_id;
    return null;
  end if;
  if new.state = 'passed' then
    select address_network(address) into network from server_presence where server_id = new.server_id;
  end if;
  update server_verifications
     set state = new.state,
         at = coalesce(new.answered_at, new.expires_at),
         latency_millis = extract(epoch from new.answered_at - new.issued_at) * 1000,
         silences = case when new.state = 'expired' then least(silences + 1, 1000) when new.state = 'superseded' then silences else 0 end,
         risk = case when new.state = 'passed' then 'none' else risk end,
         urgency = case when new.state = 'passed' then 0 else urgency end,
         wanted = case when new.state <> 'passed' then wanted end,
         networks = case when network is null then networks else (network || array_remove(networks, network))[1:4] end,
         checked_at = case when new.state <> 'passed' then checked_at end,
         check_turn = case when new.state = 'passed' then check_turn + 1 else check_turn end,
         doubted_at = case when new.state <> 'passed' then doubted_at end,
         doubt_reason = case when new.state <> 'passed' then doubt_reason end
   where server_id = new.server_id
     and challenge_id = new.id;
  if new.state in ('passed', 'expired') then
    insert into verification_hints (server_id) values (new.server_id);
  end if;
  return null;
end
$$;

create trigger challenges_asked after insert on challenges
  for each row execute function note_challenge();
create trigger challenges_ended after update of state on challenges
  for each row when (old.state is distinct from new.state)
  execute function note_challenge();

create function hint_presence() returns trigger language plpgsql as $$
declare
  risk text := 'none';
begin
  if old.boot_id is not null and old.boot_id <> new.boot_id then
    risk := 'new_boot';
  end if;
  if old.address is not null
     and address_network(old.address) <> address_network(new.address)
     and not exists (
       select from server_verifications where server_id = new.server_id and address_network(new.address) = any (networks))
  then
    risk := 'new_network';
  end if;
  -- It goes to and fro between networks that it has proven itself in.
  if risk = 'none' and old.liveness in ('online', 'degraded') then
    return null;
  end if;
  insert into verification_hints (server_id, risk) values (new.server_id, risk);
  return null;
end
$$;

-- Of all heartbeats, those that show something new; and servers that are back.
create trigger server_presence_hinted after update on server_presence
  for each row when (
    old.boot_id is distinct from new.boot_id
    or (old.address is distinct from new.address and address_network(old.address) is distinct from address_network(new.address))
    or (old.liveness not in ('online', 'degraded') and new.liveness in ('online', 'degraded'))
  )
  execute function hint_presence();

create function hint_server() returns trigger language plpgsql as $$
begin
  insert into verification_hints (server_id, risk)
  values (new.id, case
    when exists (select from jsonb_object_keys(new.capabilities) as name where not old.capabilities ? name) then 'new_capability'
    when old.version is distinct from new.version then 'new_version'
    else 'none'
  end);
  if old.admission is distinct from new.admission and new.admission in ('suspended', 'retired') then
    update challenges set state = 'superseded' where server_id = new.id and state = 'open';
  end if;
  if old.capabilities is distinct from new.capabilities
     or old.endpoints is distinct from new.endpoints
     or old.admission is distinct from new.admission
     or (old.verified_at is not null and new.verified_at is null)
  then
    update server_verifications
       set checked_at = case when new.verified_at is null or new.admission not in ('pending', 'approved') then 'infinity'::timestamptz end,
           check_turn = check_turn + 1
     where server_id = new.id;
    delete from server_capabilities where server_id = new.id and not new.capabilities ? capability;
  end if;
  return null;
end
$$;

create trigger servers_hinted after update on servers
  for each row when (
    old.version is distinct from new.version
    or old.capabilities is distinct from new.capabilities
    or old.endpoints is distinct from new.endpoints
    or old.group_id is distinct from new.group_id
    or old.admission is distinct from new.admission
    or (old.verified_at is not null and new.verified_at is null)
  )
  execute function hint_server();

create function hint_group() returns trigger language plpgsql as $$
begin
  insert into verification_hints (server_id) select id from servers where group_id = new.id and admission <> 'retired';
  return null;
end
$$;

create trigger groups_period_hinted after update on groups
  for each row when (old.effective_verification_period_seconds is distinct from new.effective_verification_period_seconds)
  execute function hint_group();

-- As before, and why what was proven once is in doubt.
create or replace function record_server_transition() returns trigger language plpgsql as $$
declare
  doubt server_verifications;
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
    select * into doubt from server_verifications where server_id = new.id;
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    values (
      new.organization_id, new.id, 'verification',
      case when old.verified then 'verified' else 'unverified' end,
      case when new.verified then 'verified' else 'unverified' end,
      case when not new.verified then doubt.doubt_reason end,
      -- Since it did not answer, was given another key, or was suspended for a wrong signature.
      coalesce(new.verified_at, greatest(
        doubt.doubted_at, new.admission_since, (select created_at from server_keys where public_key = new.public_key)))
    );
  end if;
  return null;
end
$$;

-- Servers that are there already: those that proved themselves are asked again at their own moments, not all now.
insert into server_verifications (
  server_id, organization_id, due_at, period_seconds, challenge_id, purpose, state, asked_at, at, latency_millis, silences,
  checked_at)
select s.id, s.organization_id,
       case
         when s.verified and s.admission in ('pending', 'approved') and c.state is distinct from 'open'
         then verification_due(s.id, now() - make_interval(secs => 0.25 * own.period), own.period)
       end,
       own.period, c.id, c.purpose, c.state, c.issued_at,
       case when c.state = 'open' then c.issued_at else coalesce(c.answered_at, c.expires_at) end,
       extract(epoch from c.answered_at - c.issued_at) * 1000,
       case when c.state = 'expired' then 1 else 0 end,
       case when not s.verified or s.admission not in ('pending', 'approved') then 'infinity'::timestamptz end
  from servers s
  left join groups g on g.id = s.group_id
 cross join lateral (select coalesce(g.effective_verification_period_seconds, 21600) as period) as own
  left join lateral (
         select * from challenges where server_id = s.id order by id desc limit 1
       ) as c on true;
insert into verification_hints (server_id) select id from servers where not verified and admission in ('pending', 'approved');

-- The figures of today go on from those of the release before.
insert into verification_spans (organization_id, since, passed, failed, expired)
select s.organization_id,
       date_bin('10 minutes', coalesce(c.answered_at, c.expires_at), 'epoch') as since,
       count(*) filter (where c.state = 'passed'),
       count(*) filter (where c.state = 'failed'),
       count(*) filter (where c.state = 'expired')
  from challenges c
  join servers s on s.id = c.server_id
 where c.state <> 'open'
   and coalesce(c.answered_at, c.expires_at) >= now() - interval '1 day'
   and coalesce(c.answered_at, c.expires_at) < date_bin('10 minutes', now() - interval '2 minutes', 'epoch')
 group by 1, 2;
