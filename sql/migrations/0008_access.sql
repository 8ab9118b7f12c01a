-- Who may do what, and how they prove who they are: roles, second factors, sessions, links, API tokens.

create table roles (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  name            text not null,
  name_key        text not null,
  description     text not null,
  permissions     text[] not null,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  constraint roles_name_uq unique (organization_id, name_key),
  constraint roles_organization_uq unique (organization_id, id),
  constraint roles_permissions_some check (cardinality(permissions) > 0),
  constraint roles_owners_own check (not permissions && array['admins:reset', 'security-policy:update'])
);
comment on table roles is 'Roles that an organization made, beside those that come with the broker.';

-- Brokers of the release before read `role` alone. Whoever has a role of the organization's own is a viewer to them.
alter table memberships
  add column custom_role_id uuid,
  -- Whoever is disabled can do nothing here, and keeps the role for when they are let in again.
  add column disabled_at timestamptz,
  add constraint memberships_custom_role_fk foreign key (organization_id, custom_role_id) references roles (organization_id, id),
  add constraint memberships_custom_role_fallback check (custom_role_id is null or role = 'viewer');
create index memberships_organization_idx on memberships (organization_id, admin_id);
create index memberships_custom_role_idx on memberships (custom_role_id) where custom_role_id is not null;

alter table admins
  -- Null for those who sign in by a passkey or through the identity provider alone.
  alter column password_hash drop not null,
  add column password_changed_at timestamptz,
  add column totp_secret bytea,
  add column totp_confirmed_at timestamptz,
  -- The last step of time whose code was used: a code works once (A2).
  add column totp_step bigint,
  add constraint admins_totp_confirmed check (totp_confirmed_at is null or totp_secret is not null);
comment on column admins.totp_secret is 'Sealed: unreadable without the encryption key (J6).';

create table recovery_codes (
  admin_id   uuid not null references admins (id) on delete cascade,
  digest     bytea not null,
  created_at timestamptz not null,
  used_at    timestamptz,
  primary key (admin_id, digest),
  constraint recovery_codes_digest_size check (octet_length(digest) = 32)
);

create table passkeys (
  id            uuid primary key,
  admin_id      uuid not null references admins (id) on delete cascade,
  name          text not null,
  credential_id bytea not null,
  public_key    bytea not null,
  counter       bigint not null,
  transports    text[] not null,
  backed_up     boolean not null,
  created_at    timestamptz not null,
  last_used_at  timestamptz,
  constraint passkeys_credential_id_uq unique (credential_id)
);
create index passkeys_admin_idx on passkeys (admin_id, id);

create table single_sign_on_identities (
  issuer       text not null,
  subject      text not null,
  admin_id     uuid not null references admins (id) on delete cascade,
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  primary key (issuer, subject),
  constraint single_sign_on_identities_admin_uq unique (admin_id, issuer)
);
comment on table single_sign_on_identities is 'Who an admin is to the identity provider.';

-- The release before inserts without the new columns.
alter table admin_sessions
  add column id uuid not null default gen_random_uuid(),
  add column organization_id uuid references organizations (id),
  add column method text not null default 'password',
  add column factor boolean not null default false,
  -- When its owner last proved who they are; dangerous acts ask again (A4).
  add column proven_at timestamptz,
  add constraint admin_sessions_id_uq unique (id),
  add constraint admin_sessions_method_known check (method in ('password', 'passkey', 'single-sign-on', 'link'));
create index admin_sessions_admin_idx on admin_sessions (admin_id, expires_at);

create table admin_ceremonies (
  digest     bytea primary key,
  kind       text not null,
  -- Null as long as nobody knows who it is: a passkey says so itself, and so does the identity provider.
  admin_id   uuid references admins (id) on delete cascade,
  method     text,
  -- What the answer must fit: the challenge of a passkey, or what was sent to the identity provider.
  expected   jsonb not null default '{}',
  created_at timestamptz not null,
  expires_at timestamptz not null,
  constraint admin_ceremonies_digest_size check (octet_length(digest) = 32),
  constraint admin_ceremonies_kind_known check (kind in ('factor', 'passkey', 'step-up', 'passkey-enrolment', 'single-sign-on'))
);
comment on table admin_ceremonies is 'Sign-ins, step-ups and enrolments that have begun and wait for an answer. Each is used once.';
create index admin_ceremonies_expires_at_idx on admin_ceremonies (expires_at);

create table known_browsers (
  digest       bytea not null,
  admin_id     uuid not null references admins (id) on delete cascade,
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  primary key (digest, admin_id),
  constraint known_browsers_digest_size check (octet_length(digest) = 32)
);
comment on table known_browsers is 'Browsers in which an admin signed in before. Failures elsewhere do not slow them down, so that nobody can be locked out (A3).';
create index known_browsers_admin_idx on known_browsers (admin_id);
create index known_browsers_last_used_at_idx on known_browsers (last_used_at);

create table admin_links (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  kind            text not null,
  digest          bytea not null,
  name            text not null,
  name_key        text not null,
  -- Whom a reset is for; null for an invitation.
  admin_id        uuid references admins (id) on delete cascade,
  role            text,
  custom_role_id  uuid,
  created_by      text not null,
  -- By whose rights it is good (A5). Null for the command line, which is nobody's.
  created_by_id   uuid references admins (id) on delete cascade,
  created_at      timestamptz not null,
  expires_at      timestamptz not null,
  used_at         timestamptz,
  withdrawn_at    timestamptz,
  constraint admin_links_digest_uq unique (digest),
  constraint admin_links_digest_size check (octet_length(digest) = 32),
  constraint admin_links_kind_known check (kind in ('invitation', 'reset')),
  constraint admin_links_reset_is_for_somebody check ((kind = 'reset') = (admin_id is not null)),
  constraint admin_links_invitation_has_role check ((kind = 'invitation') = (role is not null)),
  constraint admin_links_role_known check (role in ('owner', 'admin', 'operator', 'auditor', 'viewer')),
  constraint admin_links_custom_role_fk foreign key (organization_id, custom_role_id) references roles (organization_id, id),
  constraint admin_links_custom_role_fallback check (custom_role_id is null or role = 'viewer'),
  constraint admin_links_ends_once check (used_at is null or withdrawn_at is null)
);
comment on table admin_links is 'One-time links: invitations of admins, and resets of passwords.';
create index admin_links_organization_idx on admin_links (organization_id, id desc);
create index admin_links_admin_idx on admin_links (admin_id) where admin_id is not null;
create index admin_links_name_idx on admin_links (name_key);
create index admin_links_expires_at_idx on admin_links (expires_at);

create table api_tokens (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  owner_id        uuid not null references admins (id),
  name            text not null,
  digest          bytea not null,
  hint            text not null,
  scopes          text[] not null,
  networks        cidr[] not null default '{}',
  created_at      timestamptz not null,
  expires_at      timestamptz not null,
  last_used_at    timestamptz,
  last_address    inet,
  revoked_at      timestamptz,
  constraint api_tokens_digest_uq unique (digest),
  constraint api_tokens_digest_size check (octet_length(digest) = 32),
  constraint api_tokens_scopes_some check (cardinality(scopes) > 0),
  constraint api_tokens_end check (expires_at > created_at)
);
comment on table api_tokens is 'Credentials of machines. Their scopes are cut to what the owner may do at the time of use (A5).';
create index api_tokens_organization_idx on api_tokens (organization_id, id desc);
create index api_tokens_owner_idx on api_tokens (owner_id, id desc);

-- The last owner who can sign in stays one, whatever races (A2). Counted under a lock on the organization.
create function keep_an_owner() returns trigger language plpgsql as $$
declare
  organization uuid := old.organization_id;
begin
  perform 1 from organizations where id = organization for no key update;
  perform 1
     from memberships
    where organization_id = organization
      and role = 'owner'
      and disabled_at is null;
  if not found then
    raise exception 'an organization keeps an owner who can sign in'
      using errcode = 'check_violation', constraint = 'memberships_last_owner', table = 'memberships';
  end if;
  return null;
end
$$;
comment on function keep_an_owner is 'A2: the last owner can be neither demoted, nor disabled, nor removed.';

create trigger memberships_last_owner after delete or update of role, disabled_at on memberships
  for each row when (old.role = 'owner' and old.disabled_at is null)
  execute function keep_an_owner();

create table security_policies (
  organization_id          uuid primary key references organizations (id),
  require_factor           boolean not null,
  session_idle_seconds     integer not null,
  session_lifetime_seconds integer not null,
  audit_retention_days     integer,
  updated_at               timestamptz not null,
  constraint security_policies_idle_range check (session_idle_seconds between 300 and 604800),
  constraint security_policies_lifetime_range check (session_lifetime_seconds between 3600 and 2592000),
  constraint security_policies_retention_range check (audit_retention_days between 90 and 3650)
);
comment on table security_policies is 'What an organization asks of its admins. Without a row, what is usual holds.';
