/** Who is under a maintenance window that is open, for statements about whole fleets. */
import type { SqlClient } from "effect/sql"

/** A common table expression with the open windows, which `isWindowed` asks; groups with all below them. */
export const windowed = (sql: SqlClient.SqlClient, now: Date) => sql`
  windowed as materialized (select organization_id, server_id, group_id from open_windows(${now}))`

/** Of a server `s`. Each set is made once and asked by its hash, however many servers there are. */
export const isWindowed = (sql: SqlClient.SqlClient) => sql`
  (s.id in (select server_id from windowed where server_id is not null)
   or coalesce(s.group_id in (select group_id from windowed where group_id is not null), false)
   or s.organization_id in (select organization_id from windowed where server_id is null and group_id is null))`
