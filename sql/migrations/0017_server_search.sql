-- What admins look for servers by, and why a bulk action stopped.

-- Whoever counts or sorts a fleet reads these two, and not all that its servers say of themselves.
create index servers_name_idx on servers (organization_id, name_key, id) include (group_id);
drop index servers_organization_idx;
create index servers_organization_idx on servers (organization_id, id) include (admission, duty, verified, group_id);
drop index servers_version_idx;
create index servers_version_idx on servers (organization_id, coalesce(version_key, '{}'), id);
create index servers_unverified_idx on servers (organization_id, name_key, id) where not verified;
create index servers_address_idx on servers (organization_id, public_address);

alter table bulk_acts
  add column stopped_because text,
  add constraint bulk_acts_stopped_reason check ((stopped_because is null) or state = 'stopped');
comment on column bulk_acts.stopped_because is 'Null where an admin stopped it.';
