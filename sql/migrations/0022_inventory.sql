-- Imports: many changes in one transaction, with an audit entry for each. What was looked up anew for every entry of a
-- transaction is looked up once for all of them.

/*
 * The first entry of the own transaction. All from there on that are not sealed are its own: entries of others are
 * sealed before anybody can see them. Kept in a setting, which goes back with savepoints. Transactions that were under
 * way when this came have theirs in the setting of before.
 */
create function first_audit_entry() returns bigint language sql stable
return least(
  nullif(current_setting('broker.audit_first', true), '')::bigint,
  (nullif(current_setting('broker.audit_own', true), '')::bigint[])[1]);

create or replace function begin_audit_entry() returns trigger language plpgsql as $$
begin
  new.seq := null;
  new.hash := null;
  new.changes := '[]';
  if new.id < coalesce(first_audit_entry(), new.id + 1) then
    perform set_config('broker.audit_first', new.id::text, true);
  end if;
  return new;
end
$$;
comment on function begin_audit_entry is 'Nobody numbers an entry but the trigger that seals it.';

/*
 * Seals entries of the own transaction from `first` on, so many at most, in the order in which they were written; tells
 * how many. Whoever has entries in several chains locks all of them in one order. What writes thousands calls it in
 * parts before its commit, each within the time of a statement.
 */
create function seal_audit_entries(first bigint, at_most integer) returns integer language plpgsql
  set enable_seqscan = off set enable_nestloop = off as $$
declare
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  sealed  record;
  entry   audit_entries;
  head    audit_heads;
  ids     bigint[] := '{}';
  seqs    bigint[] := '{}';
  hashes  bytea[] := '{}';
  changed jsonb[] := '{}';
begin
  for sealed in
    with own as materialized (
      select e.id, e.organization_id, e.subject_id, e as whole
        from (select * from audit_entries where id >= first offset 0) e
       where e.seq is null
    ), part as materialized (
      select id, organization_id, whole from own order by coalesce(organization_id, nobody), id limit at_most
    ), pending as materialized (
      select id, organization_id, subject_id from audit_pending where transaction = pg_current_xact_id()
    ), by_subject as materialized (
      select organization_id, subject_id, min(id) as owner from own where subject_id is not null group by 1, 2
    ), by_subject_anywhere as materialized (
      select subject_id, min(owner) as owner from by_subject group by 1
    ), by_chain as materialized (
      select organization_id, min(id) as owner from own group by 1
    ), owned as materialized (
      -- The changes of its own subject; what is no entry's subject goes with the first.
         select p.id,
                case
                  when p.organization_id is null
                    then coalesce(a.owner, (select min(owner) from by_chain))
                  else coalesce(s.owner, c.owner)
                end as owner
           from pending p
      left join by_subject s on s.organization_id = p.organization_id and s.subject_id = p.subject_id
      left join by_subject_anywhere a on a.subject_id = p.subject_id
      left join by_chain c on c.organization_id = p.organization_id
    ), taken as (
      delete from audit_pending p
       using owned o
       where p.transaction = pg_current_xact_id() and p.id = o.id and o.owner in (select id from part)
      returning p.id, p.change, o.owner
    ), changes as (
      select owner, jsonb_agg(change order by id) as changes from taken group by 1
    )
       select part.whole, coalesce(c.changes, '[]') as changes
         from part
    left join changes c on c.owner = part.id
     order by coalesce(part.organization_id, nobody), part.id
  loop
    entry := sealed.whole;
    -- Once it is known what there is to be sealed, so that others wait no longer than they must.
    if head.organization_id is null then
      insert into audit_heads (organization_id, seq, hash, anchor)
      select distinct coalesce(e.organization_id, nobody), 0, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
        from (select * from audit_entries where id >= first offset 0) e
       where e.seq is null
         and not exists (select from audit_heads h where h.organization_id = coalesce(e.organization_id, nobody))
       order by 1
          on conflict do nothing;
      perform 1
         from audit_heads
        where organization_id in (
                select coalesce(e.organization_id, nobody)
                  from (select * from audit_entries where id >= first offset 0) e
                 where e.seq is null)
        order by organization_id
          for no key update;
    end if;
    if head.organization_id is distinct from coalesce(entry.organization_id, nobody) then
      if head.organization_id is not null then
        update audit_heads set seq = head.seq, hash = head.hash where organization_id = head.organization_id;
      end if;
      select * into head from audit_heads where organization_id = coalesce(entry.organization_id, nobody);
      -- A head that somebody set back stops nobody's work; verification finds it.
      head.seq := greatest(head.seq, case
        when entry.organization_id is null then (select max(seq) from audit_entries where organization_id is null and seq is not null)
        else (select max(seq) from audit_entries where organization_id = entry.organization_id and seq is not null)
      end);
    end if;
    entry.changes := sealed.changes;
    entry.seq := head.seq + 1;
    entry.hash := sha256(convert_to(audit_text(head.hash, entry), 'UTF8'));
    head.seq := entry.seq;
    head.hash := entry.hash;
    ids := array_append(ids, entry.id);
    seqs := array_append(seqs, entry.seq);
    hashes := array_append(hashes, entry.hash);
    changed := array_append(changed, entry.changes);
  end loop;
  update audit_entries e
     set seq = s.seq, hash = s.hash, changes = s.changes
    from (select * from unnest(ids, seqs, hashes, changed) as s (id, seq, hash, changes)) s
   where e.id = s.id and e.id >= first;
  update audit_heads set seq = head.seq, hash = head.hash where organization_id = head.organization_id;
  return cardinality(ids);
end
$$;

create function seal_audit_entries(at_most integer) returns integer language sql
return seal_audit_entries(first_audit_entry(), at_most);

/*
 * At commit, when all other locks are held: so nobody waits for anybody in a ring. The first entry that comes to it
 * seals all of its transaction.
 */
create or replace function seal_audit_entry() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  perform 1 from audit_entries where id = new.id and seq is null;
  if found then
    perform seal_audit_entries(least(first_audit_entry(), new.id), null);
  end if;
  return null;
end
$$;

create or replace function settle_audit_change() returns trigger language plpgsql set enable_seqscan = off as $$
declare
  organization uuid := new.organization_id;
begin
  perform 1 from audit_pending where id = new.id;
  if not found then
    return null;
  end if;
  -- The first of them is most often one that will do, and is found at once, however many changes there are.
  perform 1
     from audit_entries
    where id = first_audit_entry()
      and seq is null
      and (new.organization_id is null or organization_id = new.organization_id);
  if found then
    return null;
  end if;
  -- By their ids, in their order: any other index would lead through the whole chain.
  perform 1
     from (select * from audit_entries where id >= first_audit_entry() order by id offset 0) as own
    where seq is null
      and (new.organization_id is null or organization_id = new.organization_id)
    limit 1;
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

drop function own_audit_entries();
