-- What the broker keeps sealed, and under which key (J6). The keys themselves are never here.

create table encryption_keys (
  -- Made from the key, and the same wherever the key is.
  id         text primary key,
  created_at timestamptz not null,
  retired_at timestamptz,
  constraint encryption_keys_id_form check (id ~ '^[0-9a-f]{16}$')
);
comment on table encryption_keys is 'Names of the keys that secrets here are sealed under. The one that is not retired seals; a broker without it refuses to start (J6).';
create unique index encryption_keys_current_uq on encryption_keys ((true)) where retired_at is null;

comment on column audit_keys.private_key is 'Sealed: unreadable without the encryption key (J6).';

-- Brokers of the release before read the plain key, and none of theirs may ever meet a row without it: as long as one
-- of them is alive, keys are written plain.
alter table signing_keys
  alter column private_key drop not null,
  add column sealed_key bytea,
  add constraint signing_keys_one_private_key check (num_nonnulls(private_key, sealed_key) = 1);
comment on column signing_keys.private_key is 'In plain text, for brokers of the release before; null once none of them runs.';
comment on column signing_keys.sealed_key is 'Sealed: unreadable without the encryption key (J6).';

select audit_table('encryption_keys', 'encryption-key', null, '{}', true);
select audit_table('signing_keys', 'signing-key', null, '{}', true);

alter table nodes
  add column encryption_keys text[] not null default '{}';
comment on column nodes.encryption_keys is 'Which encryption keys a node has. None: it is of a release that knows of no such keys.';
