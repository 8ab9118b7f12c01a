-- Reports that are saved, what was made of them, and the files of it, which stay as they are (W4).

create table reports (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  name            text not null,
  name_key        text not null,
  parameters      jsonb not null,
  formats         text[] not null,
  schedule        jsonb,
  emails          text[] not null,
  webhook         boolean not null,
  -- Whoever saved it last, whose permissions its runs have; nobody where that was the command line.
  owner_id        uuid references admins (id),
  permissions     text[] not null,
  created_by      text not null,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  next_at         timestamptz,
  constraint reports_name_uq unique (organization_id, name_key),
  constraint reports_formats_known check (cardinality(formats) > 0 and formats <@ array['pdf', 'csv', 'json']),
  constraint reports_due_by_schedule check (schedule is not null or next_at is null)
);
comment on table reports is 'Reports to be made again: what of, for whom, and when.';
comment on column reports.permissions is 'What they may show: cut to what whoever saved it held, and again to what they hold when one is made.';
create index reports_due_idx on reports (next_at) where next_at is not null;

create table report_runs (
  id              uuid primary key,
  organization_id uuid not null references organizations (id),
  report_id       uuid references reports (id) on delete set null,
  name            text not null,
  parameters      jsonb not null,
  formats         text[] not null,
  emails          text[] not null,
  webhook         boolean not null,
  owner_id        uuid references admins (id),
  permissions     text[] not null,
  starts_at       timestamptz not null,
  ends_at         timestamptz not null,
  slot_at         timestamptz,
  requested_by    text not null,
  state           text not null default 'waiting',
  problem         text,
  complete        boolean not null default false,
  -- Goes up whenever a node takes it on: what a node that was overtaken has written counts for nothing.
  turn            integer not null default 0,
  held_until      timestamptz,
  not_before      timestamptz,
  created_at      timestamptz not null,
  finished_at     timestamptz,
  mail_state      text,
  mail_attempts   integer not null default 0,
  mail_problem    text,
  mail_next_at    timestamptz,
  -- Who has not got it yet: whom a mail server took it for is not sent it again.
  mail_left       text[] not null default '{}',
  -- However many nodes see that a slot is due, and however often: one run.
  constraint report_runs_slot_uq unique (report_id, slot_at),
  constraint report_runs_order check (ends_at > starts_at),
  constraint report_runs_state_known check (state in ('waiting', 'running', 'done', 'failed')),
  constraint report_runs_finished check ((finished_at is not null) = (state in ('done', 'failed'))),
  constraint report_runs_explained check ((problem is not null) = (state = 'failed')),
  constraint report_runs_held check ((held_until is not null) = (state = 'running')),
  constraint report_runs_mail_known check (mail_state in ('waiting', 'sent', 'failed')),
  constraint report_runs_mail_of_done check (mail_state is null or (state = 'done' and cardinality(emails) > 0)),
  constraint report_runs_mail_left check ((mail_state in ('waiting', 'failed')) is true or cardinality(mail_left) = 0),
  constraint report_runs_mail_due check ((mail_next_at is not null) = (mail_state is not distinct from 'waiting'))
);
comment on table report_runs is 'Reports that were made, or are to be.';
create index report_runs_organization_idx on report_runs (organization_id, id desc);
create index report_runs_report_idx on report_runs (report_id, id desc);
create index report_runs_open_idx on report_runs (id) where state in ('waiting', 'running');
create index report_runs_mail_idx on report_runs (mail_next_at) where mail_next_at is not null;
create index report_runs_created_at_idx on report_runs (created_at);

create table report_files (
  run_id uuid not null references report_runs (id) on delete cascade,
  format text not null,
  -- Which turn's pieces it consists of.
  turn   integer not null,
  bytes  integer not null,
  sha256 bytea not null,
  primary key (run_id, format),
  constraint report_files_format_known check (format in ('pdf', 'csv', 'json')),
  constraint report_files_sha256_size check (octet_length(sha256) = 32),
  constraint report_files_some_bytes check (bytes > 0)
);
comment on table report_files is 'The files of reports that are done.';

create table report_pieces (
  run_id  uuid not null references report_runs (id) on delete cascade,
  format  text not null,
  turn    integer not null,
  number  integer not null,
  content bytea not null,
  primary key (run_id, format, turn, number)
);
comment on table report_pieces is 'What files consist of: so large that no more than a piece of one is held in memory.';
alter table report_pieces alter column content set storage external;

/* What is done is done: whoever has read a file finds the same bytes under its name again. */
create function keep_report_runs() returns trigger language plpgsql as $$
begin
  raise exception 'a report that is % stays so', old.state
    using errcode = 'check_violation', constraint = 'report_runs_stay', table = 'report_runs';
end
$$;

create trigger report_runs_stay before update on report_runs
  for each row when (
    old.state in ('done', 'failed')
    and (new.state, new.starts_at, new.ends_at, new.complete, new.finished_at, new.turn, new.permissions)
        is distinct from
        (old.state, old.starts_at, old.ends_at, old.complete, old.finished_at, old.turn, old.permissions))
  execute function keep_report_runs();

create function tell_report_ready() returns trigger language plpgsql as $$
begin
  insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
  values (
    new.organization_id, 'report.ready', 'report', coalesce(new.report_id, new.id), new.name,
    jsonb_build_object(
      'run', new.id,
      'kind', new.parameters ->> 'kind',
      'from', to_char(new.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'to', to_char(new.ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'slotAt', to_char(new.slot_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'complete', new.complete,
      'files', (
        select coalesce(jsonb_agg(
                 jsonb_build_object('format', format, 'bytes', bytes, 'sha256', encode(sha256, 'hex')) order by format), '[]')
          from report_files
         where run_id = new.id)),
    new.finished_at);
  return null;
end
$$;

create trigger report_runs_ready_told after update on report_runs
  for each row when (old.state <> 'done' and new.state = 'done' and new.webhook)
  execute function tell_report_ready();

select audit_table('reports', 'report', 'id', '{name_key, next_at, updated_at}');
