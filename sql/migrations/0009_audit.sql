-- The audit log proves itself (A6): entries are chained by their hashes when they are committed, hold what was there
-- before and after, and no change of what matters is committed without one. All of it is done here, by whoever writes:
-- brokers of the release before and people at a prompt as well.

alter table audit_entries
  -- Its number in the chain of its organization; entries of nobody form a chain of the installation. Given at commit.
  add column seq bigint,
  add column hash bytea,
  add column changes jsonb not null default '[]',
  drop constraint audit_entries_actor_known,
  add constraint audit_entries_actor_known check (
    actor_kind in ('admin', 'api-token', 'server', 'client', 'command', 'broker', 'stranger', 'database')),
  add constraint audit_entries_sealed_whole check ((seq is null) = (hash is null)),
  add constraint audit_entries_hash_size check (octet_length(hash) = 32);
comment on column audit_entries.hash is 'SHA-256 over audit_text, which begins with the hash of the entry before.';
comment on column audit_entries.changes is 'Rows that the act changed, as they were before and after; secrets are "(hidden)".';

create table audit_heads (
  -- The nil UUID stands for the chain of the installation.
  organization_id uuid primary key,
  seq             bigint not null,
  hash            bytea not null,
  -- Entries before this one were past their time. The hash of the last of them stays, so that the rest can be verified.
  first_seq       bigint not null default 1,
  anchor          bytea not null,
  constraint audit_heads_hash_size check (octet_length(hash) = 32 and octet_length(anchor) = 32),
  constraint audit_heads_range check (first_seq between 1 and seq + 1)
) with (fillfactor = 20);
comment on table audit_heads is 'Where each chain ends, and where what is kept of it begins.';

create table audit_keys (
  id          uuid primary key,
  public_key  bytea not null,
  private_key bytea not null,
  created_at  timestamptz not null,
  constraint audit_keys_public_key_size check (octet_length(public_key) = 32)
);
comment on table audit_keys is 'What checkpoints are signed with. Private keys are sealed (J6); rows are never deleted.';

create table audit_checkpoints (
  organization_id uuid not null,
  seq             bigint not null,
  hash            bytea not null,
  at              timestamptz not null,
  key_id          uuid not null references audit_keys (id),
  jws             text not null,
  primary key (organization_id, seq),
  constraint audit_checkpoints_hash_size check (octet_length(hash) = 32)
);
comment on table audit_checkpoints is 'Ends of chains, signed: whoever cuts or rewrites a chain later cannot sign them anew.';

/* What is hashed: one line of JSON. Verification repeats this expression in a statement of its own; never change it. */
create function audit_text(previous bytea, entry audit_entries) returns text language sql stable
return json_build_array(
  encode(previous, 'hex'), entry.seq, entry.id, entry.organization_id,
  to_char(entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  entry.actor_kind, entry.actor_id, entry.actor_name, host(entry.address), entry.request_id,
  entry.action, entry.subject_kind, entry.subject_id, entry.outcome, entry.details, entry.changes)::text;

-- What was recorded before there was a chain is chained in the order in which it was written.
do $$
declare
  entry audit_entries;
  head  audit_heads;
begin
  for entry in select * from audit_entries order by organization_id nulls first, id loop
    if head.organization_id is distinct from coalesce(entry.organization_id, '00000000-0000-0000-0000-000000000000') then
      if head.organization_id is not null then
        insert into audit_heads values (head.*);
      end if;
      head.organization_id := coalesce(entry.organization_id, '00000000-0000-0000-0000-000000000000');
      head.seq := 0;
      head.hash := decode(repeat('00', 32), 'hex');
      head.first_seq := 1;
      head.anchor := head.hash;
    end if;
    entry.seq := head.seq + 1;
    entry.hash := sha256(convert_to(audit_text(head.hash, entry), 'UTF8'));
    update audit_entries set seq = entry.seq, hash = entry.hash where id = entry.id;
    head.seq := entry.seq;
    head.hash := entry.hash;
  end loop;
  if head.organization_id is not null then
    insert into audit_heads values (head.*);
  end if;
end
$$;

create unique index audit_entries_chain_uq on audit_entries (organization_id, seq) nulls not distinct where seq is not null;
create index audit_entries_at_idx on audit_entries (organization_id, at);
create index audit_entries_action_idx on audit_entries (organization_id, action collate "C", seq desc);
create index audit_entries_actor_idx on audit_entries (organization_id, actor_id, seq desc) where actor_id is not null;
create index audit_entries_refused_idx on audit_entries (organization_id, seq desc) where outcome = 'refused';

-- Rows never outlive the transaction that wrote them, so a crash may take them.
create unlogged table audit_pending (
  id              bigint generated always as identity primary key,
  transaction     xid8 not null default pg_current_xact_id(),
  organization_id uuid,
  relation        text not null,
  subject_kind    text not null,
  subject_id      uuid,
  spared          boolean not null,
  change          jsonb not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table audit_pending is 'Changes of the transactions at work, until an audit entry takes them up at commit.';
create index audit_pending_transaction_idx on audit_pending (transaction);

/* Bytes are secrets unless they are public keys, and so is whatever is called so: nobody has to think of it. */
create function audit_value(name text, value jsonb) returns jsonb language sql immutable
return case
  when jsonb_typeof(value) = 'null' or name = 'public_key' then value
  when name ~ '(_hash|digest|secret|private)' or (jsonb_typeof(value) = 'string' and value #>> '{}' like '\\x%') then '"(hidden)"'
  else value
end;

create function audit_change(relation text, before jsonb, after jsonb, left_out text[]) returns jsonb language sql immutable
return case
  when before is null or after is null then (
    select jsonb_build_object(
             'table', relation,
             'id', coalesce(before, after) ->> 'id',
             'before', case when before is not null then jsonb_object_agg(key, audit_value(key, value)) end,
             'after', case when after is not null then jsonb_object_agg(key, audit_value(key, value)) end)
      from jsonb_each(coalesce(before, after))
     where key <> all (left_out))
  else (
    select jsonb_build_object(
             'table', relation,
             'id', after ->> 'id',
             'before', jsonb_object_agg(key, audit_value(key, o.value)),
             'after', jsonb_object_agg(key, audit_value(key, n.value)))
      from jsonb_each(before) o
      join jsonb_each(after) n using (key)
     where o.value is distinct from n.value
       and key <> all (left_out)
    having count(*) > 0)
end;
comment on function audit_change is 'The fields that differ; all of them where the row is new or gone. Null when nothing differs that matters.';

-- As triggers have them, the arguments count from 0.
create function note_audit_change(arguments text[], relation text, before jsonb, after jsonb) returns void language plpgsql as $$
declare
  change jsonb := audit_change(relation, before, after, arguments[2]::text[]);
  whole  jsonb := coalesce(after, before);
begin
  if change is not null then
    insert into audit_pending (organization_id, relation, subject_kind, subject_id, spared, change)
    values (
      (case when relation = 'organizations' then whole ->> 'id' else whole ->> 'organization_id' end)::uuid,
      relation, arguments[0], (whole ->> arguments[1])::uuid, arguments[3]::boolean, change);
  end if;
end
$$;

create function note_updated_row() returns trigger language plpgsql as $$
begin
  perform note_audit_change(tg_argv::text[], tg_table_name, to_jsonb(old), to_jsonb(new));
  return null;
end
$$;

/* Of one statement, so many rows in full; of those beyond, how many there were. */
create function note_inserted_rows() returns trigger language plpgsql as $$
declare
  rows bigint;
begin
  perform note_audit_change(tg_argv::text[], tg_table_name, null, to_jsonb(r)) from (select * from new_rows limit 200) as r;
  select count(*) into rows from new_rows;
  if rows > 200 then
    perform note_audit_change(tg_argv::text[], tg_table_name, null, jsonb_build_object('rows beyond', rows - 200));
  end if;
  return null;
end
$$;

create function note_deleted_rows() returns trigger language plpgsql as $$
declare
  rows bigint;
begin
  perform note_audit_change(tg_argv::text[], tg_table_name, to_jsonb(r), null) from (select * from old_rows limit 200) as r;
  select count(*) into rows from old_rows;
  if rows > 200 then
    perform note_audit_change(tg_argv::text[], tg_table_name, jsonb_build_object('rows beyond', rows - 200), null);
  end if;
  return null;
end
$$;

/* The entries of the own transaction. Kept in a setting of it, which goes back with savepoints: there is nothing to search. */
create function own_audit_entries() returns bigint[] language sql stable
return coalesce(nullif(current_setting('broker.audit_own', true), ''), '{}')::bigint[];

/*
 * At commit, when all other locks are held: so nobody waits for anybody in a ring. Whoever has entries in several
 * chains locks them in one order.
 */
create function seal_audit_entry() returns trigger language plpgsql set enable_seqscan = off as $$
declare
  own   bigint[] := own_audit_entries();
  chain uuid := coalesce(new.organization_id, '00000000-0000-0000-0000-000000000000');
  entry audit_entries;
  head  audit_heads;
begin
  select * into entry from audit_entries where id = new.id and seq is null;
  if not found then
    return null;
  end if;
  perform 1
     from audit_heads
    where organization_id in (
            select coalesce(e.organization_id, '00000000-0000-0000-0000-000000000000')
              from (select * from audit_entries where id = any (own) offset 0) e
             where e.seq is null)
    order by organization_id
      for no key update;
  select * into head from audit_heads where organization_id = chain for no key update;
  if not found then
    insert into audit_heads (organization_id, seq, hash, anchor)
    values (chain, 0, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'))
    on conflict do nothing;
    select * into head from audit_heads where organization_id = chain for no key update;
  end if;
  -- Its own subject's changes, and those of no other entry's.
  with taken as (
    delete from audit_pending p
     where p.transaction = pg_current_xact_id()
       and (p.organization_id is null or p.organization_id = entry.organization_id)
       and (p.subject_id = entry.subject_id
            or not exists (
                 select
                   from (select * from audit_entries where id = any (own) offset 0) e
                  where e.seq is null and e.id <> entry.id and e.subject_id = p.subject_id))
    returning p.id, p.change
  )
  select coalesce(jsonb_agg(change order by id), '[]') into entry.changes from taken;
  -- A head that somebody set back stops nobody's work; verification finds it.
  entry.seq := greatest(head.seq, case
    when entry.organization_id is null then (select max(seq) from audit_entries where organization_id is null and seq is not null)
    else (select max(seq) from audit_entries where organization_id = entry.organization_id and seq is not null)
  end) + 1;
  entry.hash := sha256(convert_to(audit_text(head.hash, entry), 'UTF8'));
  update audit_entries set seq = entry.seq, hash = entry.hash, changes = entry.changes where id = entry.id;
  update audit_heads set seq = entry.seq, hash = entry.hash where organization_id = chain;
  return null;
end
$$;

create constraint trigger audit_entries_sealed after insert on audit_entries
  deferrable initially deferred
  for each row execute function seal_audit_entry();

/* A change that nobody recorded is refused where `broker.audit` is "required", and recorded here wherever else. */
create function settle_audit_change() returns trigger language plpgsql set enable_seqscan = off as $$
declare
  organization uuid := new.organization_id;
begin
  perform 1 from audit_pending where id = new.id;
  if not found then
    return null;
  end if;
  -- By their ids first: any other index would lead through the whole chain.
  perform 1
     from (select * from audit_entries where id = any (own_audit_entries()) offset 0) as own
    where seq is null
      and (new.organization_id is null or organization_id = new.organization_id);
  if found then
    return null;
  end if;
  if current_setting('broker.audit', true) = 'required' and not new.spared then
    raise exception 'a change of % has no audit entry', new.relation
      using errcode = 'check_violation', constraint = 'audit_entries_complete', table = new.relation;
  end if;
  if organization is null and new.subject_kind = 'server' then
    select organization_id into organization from servers where id = new.subject_id;
  elsif organization is null and new.subject_kind = 'admin' then
    select organization_id into organization from memberships where admin_id = new.subject_id order by organization_id limit 1;
  end if;
  insert into audit_entries (
    organization_id, at, actor_kind, actor_name, address, action, subject_kind, subject_id, details)
  values (
    organization, clock_timestamp(), 'database', session_user, inet_client_addr(),
    replace(new.relation, '_', '-') || ':change', new.subject_kind, new.subject_id,
    jsonb_build_object('application', current_setting('application_name')));
  return null;
end
$$;
comment on function settle_audit_change is 'A6: nothing that matters changes without an entry, whoever changes it.';

create constraint trigger audit_pending_settled after insert on audit_pending
  deferrable initially deferred
  for each row execute function settle_audit_change();

create function begin_audit_entry() returns trigger language plpgsql as $$
begin
  new.seq := null;
  new.hash := null;
  new.changes := '[]';
  perform set_config('broker.audit_own', array_append(own_audit_entries(), new.id)::text, true);
  return new;
end
$$;
comment on function begin_audit_entry is 'Nobody numbers an entry but the trigger that seals it.';

create trigger audit_entries_begun before insert on audit_entries
  for each row execute function begin_audit_entry();

create function refuse_audit_rewriting() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.seq is null then
    return new;
  end if;
  -- Deleted is only what the head has already let go of.
  if tg_op = 'DELETE' and exists (
       select
         from audit_heads
        where organization_id = coalesce(old.organization_id, '00000000-0000-0000-0000-000000000000')
          and old.seq < first_seq) then
    return old;
  end if;
  raise exception 'audit entries are only ever added'
    using errcode = 'check_violation', constraint = 'audit_entries_kept', table = 'audit_entries';
end
$$;
comment on function refuse_audit_rewriting is 'Keeps from mistakes. Whoever may disable triggers is found out by the chain.';

create trigger audit_entries_kept before update or delete on audit_entries
  for each row execute function refuse_audit_rewriting();
create trigger audit_entries_kept_whole before truncate on audit_entries
  for each statement execute function refuse_audit_rewriting();

/*
 * Has the changes of a table audited. `subject` is the column with the id that entries name; what is `left_out` does not
 * matter; changes of a `spared` table are never refused. To be called again when a table gets columns.
 */
create function audit_table(relation regclass, subject_kind text, subject text, left_out text[], spared boolean default false)
returns void language plpgsql as $$
declare
  arguments text := format('(%L, %L, %L, %L)', subject_kind, coalesce(subject, ''), left_out, spared);
  columns   text;
begin
  select string_agg(quote_ident(attname), ', ' order by attnum) into columns
    from pg_attribute
   where attrelid = relation and attnum > 0 and not attisdropped and attname <> all (left_out);
  execute format('create or replace trigger audit_inserted after insert on %s referencing new table as new_rows '
    'for each statement execute function note_inserted_rows %s', relation, arguments);
  execute format('create or replace trigger audit_updated after update of %s on %s '
    'for each row execute function note_updated_row %s', columns, relation, arguments);
  execute format('create or replace trigger audit_deleted after delete on %s referencing old table as old_rows '
    'for each statement execute function note_deleted_rows %s', relation, arguments);
end
$$;

select audit_table('servers', 'server', 'id', '{name_key, verified_at, latitude, longitude}');
select audit_table('server_keys', 'server', 'server_id', '{}');
select audit_table('registration_keys', 'registration-key', 'id', '{}');
select audit_table('users', 'user', 'id', '{name_key, last_seen_at}');
select audit_table('personal_keys', 'personal-key', 'id', '{last_used_at, last_address}');
select audit_table('devices', 'device', 'id', '{last_seen_at, last_address}');
select audit_table('organizations', 'organization', 'id', '{}');
select audit_table('admins', 'admin', 'id', '{name_key, last_sign_in_at, totp_step}');
select audit_table('memberships', 'admin', 'admin_id', '{}');
select audit_table('roles', 'role', 'id', '{name_key}');
select audit_table('passkeys', 'passkey', 'id', '{counter, backed_up, last_used_at}');
select audit_table('single_sign_on_identities', 'admin', 'admin_id', '{last_used_at}');
select audit_table('admin_links', 'invitation', 'id', '{name_key}');
select audit_table('api_tokens', 'api-token', 'id', '{last_used_at, last_address}');
select audit_table('security_policies', 'security-policy', 'organization_id', '{}');
select audit_table('settings', 'organization', null, '{}');
-- Made, used up and thrown away in transactions of their own.
select audit_table('recovery_codes', 'admin', 'admin_id', '{}', true);
select audit_table('signing_keys', 'signing-key', null, '{}', true);
select audit_table('audit_keys', 'signing-key', null, '{}', true);
