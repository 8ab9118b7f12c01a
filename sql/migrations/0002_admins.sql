-- People who sign in to the dashboard, and what they and others did.

create table admins (
  id              uuid primary key,
  name            text not null,
  name_key        text not null,
  password_hash   text not null,
  created_at      timestamptz not null,
  last_sign_in_at timestamptz,
  constraint admins_name_key_uq unique (name_key)
);

create table memberships (
  admin_id        uuid not null references admins (id),
  organization_id uuid not null references organizations (id),
  role            text not null,
  created_at      timestamptz not null,
  primary key (admin_id, organization_id),
  constraint memberships_role_known check (role in ('owner', 'admin', 'operator', 'auditor', 'viewer'))
);
comment on table memberships is 'Which admin holds which role where.';

create table admin_sessions (
  digest       bytea primary key,
  admin_id     uuid not null references admins (id),
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  expires_at   timestamptz not null,
  address      inet,
  user_agent   text,
  constraint admin_sessions_digest_size check (octet_length(digest) = 32)
);
create index admin_sessions_expires_at_idx on admin_sessions (expires_at);

create table setup_links (
  digest     bytea primary key,
  created_at timestamptz not null,
  constraint setup_links_digest_size check (octet_length(digest) = 32)
);
comment on table setup_links is 'Links to the first run that were printed. The first one used closes them all (A1).';

create table audit_entries (
  id              bigint generated always as identity primary key,
  organization_id uuid references organizations (id),
  at              timestamptz not null,
  actor_kind      text not null,
  actor_id        uuid,
  actor_name      text not null,
  address         inet,
  request_id      text,
  action          text not null,
  subject_kind    text not null,
  subject_id      uuid,
  outcome         text not null default 'done',
  details         jsonb not null default '{}',
  constraint audit_entries_actor_known check (actor_kind in ('admin', 'server', 'command', 'broker', 'stranger')),
  constraint audit_entries_outcome_known check (outcome in ('done', 'refused')),
  constraint audit_entries_action_form check (action ~ '^[a-z-]+:[a-z-]+$')
);
comment on table audit_entries is 'Who did what to what, written in the transaction of the change. Rows are only ever added.';
create index audit_entries_subject_idx on audit_entries (subject_id, id desc);

create table security_events (
  id              bigint generated always as identity primary key,
  organization_id uuid not null references organizations (id),
  at              timestamptz not null,
  kind            text not null,
  severity        text not null,
  server_id       uuid,
  address         inet,
  details         jsonb not null default '{}',
  constraint security_events_severity_known check (severity in ('low', 'medium', 'high', 'critical'))
);
create index security_events_organization_idx on security_events (organization_id, id desc);
