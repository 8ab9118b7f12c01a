-- People who connect, the secrets they sign in with, and the devices they do it from.

create table users (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  name            text not null,
  name_key        text not null,
  email           text,
  note            text not null default '',
  state           text not null default 'active',
  state_reason    text,
  state_since     timestamptz not null,
  created_at      timestamptz not null,
  last_seen_at    timestamptz,
  constraint users_state_known check (state in ('active', 'suspended'))
);
comment on table users is 'People who connect. Deleting one deletes keys, devices and sessions; connections stay, with the names they had.';
create unique index users_email_uq on users (organization_id, lower(email)) where email is not null;
create index users_organization_idx on users (organization_id, id desc);
create index users_name_idx on users (organization_id, name_key, id);

create table personal_keys (
  id               uuid primary key,
  organization_id  uuid not null references organizations (id),
  user_id          uuid not null references users (id) on delete cascade,
  name             text not null,
  digest           bytea not null,
  hint             text not null,
  connection_limit integer not null,
  created_by       text not null,
  created_at       timestamptz not null,
  expires_at       timestamptz,
  last_used_at     timestamptz,
  last_address     inet,
  replaced_by      uuid references personal_keys (id) on delete set null,
  revoked_at       timestamptz,
  revoked_reason   text,
  constraint personal_keys_digest_uq unique (digest),
  constraint personal_keys_digest_size check (octet_length(digest) = 32),
  constraint personal_keys_connection_limit_range check (connection_limit between 1 and 10000),
  constraint personal_keys_reason_needs_revocation check (revoked_reason is null or revoked_at is not null)
);
create index personal_keys_user_idx on personal_keys (user_id, id desc);
create index personal_keys_replaced_by_idx on personal_keys (replaced_by) where replaced_by is not null;

create function refuse_personal_key_revival() returns trigger language plpgsql as $$
begin
  raise exception 'a personal key stays revoked'
    using errcode = 'check_violation', constraint = 'personal_keys_one_way', table = 'personal_keys';
end
$$;

create trigger personal_keys_one_way before update of revoked_at on personal_keys
  for each row when (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at)
  execute function refuse_personal_key_revival();

create table devices (
  id               uuid primary key,
  organization_id  uuid not null references organizations (id),
  user_id          uuid not null references users (id) on delete cascade,
  fingerprint      text not null,
  name             text not null,
  platform         text not null,
  public_key       bytea,
  connection_limit integer not null,
  created_at       timestamptz not null,
  last_seen_at     timestamptz not null,
  last_address     inet,
  blocked_at       timestamptz,
  blocked_reason   text,
  constraint devices_fingerprint_uq unique (user_id, fingerprint),
  constraint devices_public_key_size check (octet_length(public_key) = 32),
  constraint devices_connection_limit_range check (connection_limit between 1 and 10000),
  constraint devices_reason_needs_block check (blocked_reason is null or blocked_at is not null)
);
comment on table devices is 'Installations of clients, registered when they first sign in.';

create table client_sessions (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  user_id         uuid not null references users (id) on delete cascade,
  device_id       uuid not null references devices (id) on delete cascade,
  personal_key_id uuid not null references personal_keys (id) on delete cascade,
  address         inet,
  created_at      timestamptz not null,
  expires_at      timestamptz not null,
  ended_at        timestamptz,
  end_reason      text,
  constraint client_sessions_end_reason_known check (
    end_reason in ('signed_out', 'key_revoked', 'device_blocked', 'user_suspended')),
  constraint client_sessions_ended_for_a_reason check ((ended_at is null) = (end_reason is null))
);
comment on table client_sessions is 'Who signed in, from where, with what. The token itself is signed, and kept nowhere.';
create index client_sessions_user_idx on client_sessions (user_id, id desc);
create index client_sessions_personal_key_idx on client_sessions (personal_key_id, expires_at) where ended_at is null;
create index client_sessions_device_idx on client_sessions (device_id, expires_at) where ended_at is null;
create index client_sessions_created_at_idx on client_sessions (created_at);

create table sign_in_failures (
  subject    text primary key,
  failures   integer not null,
  last_at    timestamptz not null,
  next_at    timestamptz not null,
  constraint sign_in_failures_positive check (failures > 0)
);
comment on table sign_in_failures is 'Wrong sign-ins of clients, by key id and by address, and when the next try counts. Shared by all nodes.';
create index sign_in_failures_last_at_idx on sign_in_failures (last_at);

create table signing_keys (
  id          text primary key,
  private_key bytea not null,
  public_key  bytea not null,
  created_at  timestamptz not null,
  signs_from  timestamptz not null,
  signs_until timestamptz not null,
  shown_until timestamptz not null,
  constraint signing_keys_public_key_uq unique (public_key),
  constraint signing_keys_public_key_size check (octet_length(public_key) = 32),
  constraint signing_keys_private_key_size check (octet_length(private_key) = 32),
  constraint signing_keys_order check (signs_from >= created_at and signs_until > signs_from and shown_until > signs_until)
);
comment on table signing_keys is 'What grants and client sessions are signed with. Shown before it signs and after it did, so that nobody meets a key unknown (C3).';
