-- How much each caller has taken of its budgets, all nodes together.

-- Unlogged, as it is worth nothing after a crash: every window begins anew. No index on when a window is over, so that
-- counting rewrites no index.
create unlogged table rate_limits (
  key       text primary key,
  used      integer not null,
  resets_at timestamptz not null,
  constraint rate_limits_used_some check (used > 0)
) with (fillfactor = 50);
comment on table rate_limits is 'What was taken of budgets of requests within the window that is on (H10). Lost in a crash, by design.';
