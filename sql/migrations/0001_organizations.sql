-- Tenants, and what the broker itself runs on: its nodes, their leases, and the record of its own outages.

create table organizations (
  id         uuid primary key,
  name       text not null,
  created_at timestamptz not null default now(),
  constraint organizations_name_uq unique (name)
);
comment on table organizations is 'Tenants. Every row of the fleet belongs to one.';

insert into organizations (id, name) values ('00000000-0000-7000-8000-000000000001', 'default');

create table leases (
  name        text primary key,
  holder      uuid not null,
  token       bigint not null,
  expires_at  timestamptz not null,
  acquired_at timestamptz not null
) with (fillfactor = 50);
comment on table leases is 'Who does what only one node may do. A write made under a lease share-locks its row, so that a holder that was overtaken cannot commit (J1).';

create table nodes (
  id           uuid primary key,
  name         text not null,
  version      text not null,
  audience     text not null,
  started_at   timestamptz not null,
  last_seen_at timestamptz not null
) with (fillfactor = 50);
comment on table nodes is 'Broker processes and their own sign of life (H5).';

create table broker_outages (
  began_at timestamptz primary key,
  ended_at timestamptz not null,
  constraint broker_outages_ordered check (ended_at >= began_at)
);
comment on table broker_outages is 'When no node was alive. No server is blamed for silence that the broker could not have heard (H5).';

create table settings (
  only_row          boolean primary key default true,
  setup_finished_at timestamptz,
  constraint settings_has_one_row check (only_row)
);
comment on table settings is 'State of the installation as a whole. setup_finished_at closes the first run for ever (A1).';

insert into settings default values;
