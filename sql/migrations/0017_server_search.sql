-- What admins look for servers by, and why a bulk action stopped.

create index servers_name_idx on servers (organization_id, name_key, id);
drop index servers_version_idx;
create index servers_version_idx on servers (organization_id, coalesce(version_key, '{}'), id);

alter table bulk_acts
  add column stopped_because text,
  add constraint bulk_acts_stopped_reason check ((stopped_because is null) or state = 'stopped');
comment on column bulk_acts.stopped_because is 'Null where an admin stopped it.';
