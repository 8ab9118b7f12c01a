/** What is audited by construction: every table is, or stands here with the reason why not (A6). */
import { AuditLog } from "@broker/core/audit/AuditLog"
import { Devices } from "@broker/core/devices/Devices"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { Users } from "@broker/core/users/Users"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { UserName } from "@broker/domain/User"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"

/** Tables whose changes need no entry of their own. */
const unaudited: Readonly<Record<string, string>> = {
  admin_ceremonies: "lives for minutes; what comes of it is recorded",
  admin_sessions: "recorded as sign-ins, revocations and sign-outs; used with every request",
  audit_checkpoints: "is the proof itself",
  audit_entries: "is the log itself",
  audit_heads: "moves with every entry",
  audit_pending: "lives for one transaction",
  broker_outages: "what the broker observed",
  bulk_act_servers: "what came of a bulk action; each change of a server is recorded",
  bulk_acts: "a history of its own; recorded as they are started, stopped and undone",
  challenges: "a history of its own; what follows for a server is recorded",
  client_sessions: "a history of its own, shown with the user",
  connection_usage: "is computed",
  connection_usage_due: "is computed",
  connection_usage_progress: "is computed",
  connections: "a history of its own (C7); acts of admins on them are recorded",
  cuts: "written with the act that cuts, which is recorded",
  event_horizons: "what was deleted past its time",
  event_outbox: "tells of changes, which are recorded",
  events: "tells of changes, which are recorded",
  fleet_moments: "what the broker observed",
  former_boots: "what the broker observed",
  idempotency_keys: "lives for a day",
  idempotent_answers: "live for a day",
  job_runs: "moves with every run",
  known_browsers: "written with sign-ins, which are recorded",
  leases: "moves every second",
  metric_group_hours: "is computed",
  metric_group_minutes: "is computed",
  metric_hours: "is computed",
  metric_late: "is computed",
  metric_late_hours: "is computed",
  metric_minutes: "is computed",
  metric_minutes_done: "is computed",
  metric_progress: "is computed",
  metric_samples: "what the broker observed",
  migrations: "a history of its own",
  nodes: "moves every second",
  rate_limits: "moves with every request",
  report_files: "what was made of reports, and stays so",
  report_pieces: "what was made of reports, and stays so",
  report_runs: "a history of its own; what somebody asks for is recorded",
  security_events: "a history of its own",
  server_former_facts: "a history of its own; what changed is recorded with the server",
  server_capabilities: "what the broker found",
  server_loads: "is computed",
  server_presence: "moves with every heartbeat",
  server_samples: "what the broker observed",
  server_tokens: "issued with registrations, which are recorded; ended by first uses",
  server_transitions: "a history of its own",
  server_verifications: "is computed; what follows for a server is recorded",
  setup_links: "worth nothing once there is an admin",
  verification_hints: "live for seconds",
  verification_spans: "is computed",
  webhook_attempts: "a history of its own",
  webhook_deliveries: "a history of its own; acts of admins on them are recorded with the webhook",
  webhook_lanes: "moves with every delivery",
  sign_in_failures: "moves with every attempt; attempts and admins' acts are recorded"
}

/** Columns whose changes alone are none that matter. */
const leftOut: Readonly<Record<string, string>> = {
  "admins.last_sign_in_at": "recorded as a sign-in",
  "admins.name_key": "follows the name",
  "admins.totp_step": "moves with every code",
  "admin_links.name_key": "follows the name",
  "api_tokens.last_address": "moves with every use",
  "api_tokens.last_used_at": "moves with every use",
  "devices.last_address": "moves with every sign-in",
  "devices.last_seen_at": "moves with every sign-in",
  "fleet_guards.ends_at": "is computed",
  "fleet_guards.held": "is computed",
  "fleet_guards.seen": "is computed",
  "fleet_guards.steady_held": "is computed",
  "fleet_guards.steady_since": "is computed",
  "groups.depth": "follows the groups above",
  "groups.effective_connection_limit": "follows what it and the groups above say",
  "groups.effective_heartbeat_interval_seconds": "follows what it and the groups above say",
  "groups.effective_verification_period_seconds": "follows what it and the groups above say",
  "groups.name_key": "follows the name",
  "groups.path": "follows the groups above",
  "groups.path_key": "follows the groups above",
  "maintenance_windows.group_path": "what the group was called, by the database, beside its id",
  "passkeys.backed_up": "moves with uses",
  "passkeys.counter": "moves with every use",
  "passkeys.last_used_at": "moves with every use",
  "personal_keys.last_address": "moves with every sign-in",
  "personal_keys.last_used_at": "moves with every sign-in",
  "reports.name_key": "follows the name",
  "reports.next_at": "follows the schedule, and moves with every slot",
  "reports.updated_at": "moves with every change, which is recorded",
  "roles.name_key": "follows the name",
  "saved_views.name_key": "follows the name",
  "servers.facets": "follows what it and admins say of it",
  "servers.latitude": "follows the location",
  "servers.longitude": "follows the location",
  "servers.name_key": "follows the name",
  "servers.place": "follows the location",
  "servers.verified_at": "moves with every challenge; `verified` tells whether it holds",
  "servers.version_key": "follows the version",
  "single_sign_on_identities.last_used_at": "moves with every sign-in",
  "users.last_seen_at": "moves with every sign-in",
  "users.name_key": "follows the name",
  "webhooks.failing_since": "moves with deliveries",
  "webhooks.failures_in_row": "moves with deliveries",
  "webhooks.last_failure_at": "moves with deliveries",
  "webhooks.last_problem": "moves with deliveries",
  "webhooks.last_success_at": "moves with deliveries",
  "webhooks.rests_until": "moves with deliveries; a pause, which is recorded, follows in the end"
}

const Triggers = Schema.Array(
  Schema.Struct({ name: Schema.String, triggers: Schema.Array(Schema.String), columns: Schema.Array(Schema.String) })
)

layer(Fixtures.audited)("audited tables", (it) => {
  const tables = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
        select c.relname as name,
               array(select t.tgname::text from pg_trigger t where t.tgrelid = c.oid and t.tgname like 'audit\\_%' order by 1) as triggers,
               array(
                 select a.attname::text
                   from pg_attribute a
                  where a.attrelid = c.oid
                    and a.attnum > 0
                    and not a.attisdropped
                    and not exists (
                      select
                        from pg_trigger t
                       where t.tgrelid = c.oid
                         and t.tgname = 'audit_updated'
                         and a.attnum = any (t.tgattr))) as columns
          from pg_class c
         where c.relkind in ('r', 'p')
           and c.relnamespace = 'public'::regnamespace
           and not c.relispartition
      order by c.relname`
    return yield* Schema.decodeUnknownEffect(Triggers)(rows)
  })

  it.effect("A6 every table is audited, or there is a reason why not", () =>
    Effect.gen(function* () {
      const own = new Set(["audit_inserted", "audit_updated", "audit_deleted"])
      const isAudited = (triggers: ReadonlyArray<string>) => triggers.filter((trigger) => own.has(trigger)).length === 3
      const found = yield* tables
      const forgotten = found.filter(({ name, triggers }) => !isAudited(triggers) && unaudited[name] === undefined)
      assert.deepStrictEqual(
        forgotten.map(({ name }) => name),
        [],
        "call audit_table in the migration, or say here why not"
      )
      const both = found.filter(({ name, triggers }) => isAudited(triggers) && unaudited[name] !== undefined)
      assert.deepStrictEqual(both, [])
      const known = new Set(found.map(({ name }) => name))
      assert.deepStrictEqual(
        Object.keys(unaudited).filter((name) => !known.has(name)),
        []
      )
    })
  )

  it.effect("A6 every column of an audited table is watched, or there is a reason why not", () =>
    Effect.gen(function* () {
      const found = yield* tables
      const unwatched = found
        .filter(({ triggers }) => triggers.includes("audit_updated"))
        .flatMap(({ columns, name }) => columns.map((column) => `${name}.${column}`))
      assert.deepStrictEqual(unwatched.toSorted(), Object.keys(leftOut).toSorted())
    })
  )

  it.effect("B9 A6 no secret stands in any entry, whatever was done", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [users, keys, devices, servers, tokens] = [
        yield* Users,
        yield* PersonalKeys,
        yield* Devices,
        yield* Servers,
        yield* ServerTokens
      ]
      const server = yield* Fixtures.verified()
      const user = yield* Fixtures.user({ note: "something" })
      const key = yield* Fixtures.personalKey(user)
      const client = yield* Fixtures.signedIn({ key, user })
      const rotated = yield* tokens.rotate(server.id)
      yield* servers.suspend(defaultOrganizationId, server.id, "why not")
      yield* servers.approve(defaultOrganizationId, server.id)
      yield* devices.block(defaultOrganizationId, client.deviceId, "lost")
      yield* keys.revoke(defaultOrganizationId, key.id, "lost")
      yield* users.update(defaultOrganizationId, user.id, { name: UserName.make("somebody else") })
      yield* users.delete(defaultOrganizationId, user.id)
      const { browser, ticket } = yield* Fixtures.adminSession()
      const log = yield* AuditLog
      yield* log.checkpoint
      const secrets = [
        Redacted.value(Fixtures.password),
        client.token,
        Redacted.value(ticket),
        ...(browser === null ? [] : [Redacted.value(browser)]),
        Redacted.value(rotated),
        ...[server.token, server.key.credential, key.credential].map(({ secret }) => Redacted.value(secret))
      ]
      const digests = yield* sql`
        select encode(digest, 'hex') as digest from registration_keys
         union all select encode(digest, 'hex') from server_tokens
         union all select password_hash from admins where password_hash is not null
         union all select encode(private_key, 'hex') from audit_keys`
      const rows = yield* sql`select to_jsonb(e)::text as entry from audit_entries e`
      const text = rows.map(({ entry }) => String(entry)).join("\n")
      for (const secret of [...secrets.map(String), ...digests.map(({ digest }) => String(digest))]) {
        assert.isAbove(secret.length, 20)
        assert.notInclude(text, secret)
      }
      assert.include(text, "(hidden)")
      assert.isTrue((yield* log.verify(defaultOrganizationId)).intact)
      assert.isTrue((yield* log.verify(null)).intact)
    })
  )

  it.effect("A6 bytes and whatever is called a secret are hidden, also in tables of a later day", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const entry = yield* Effect.gen(function* () {
        yield* sql`
          create table things (
            id uuid primary key, organization_id uuid, public_key bytea, seal bytea, api_secret text, password_hash text, name text)`
        yield* sql`select audit_table('things', 'user', 'id', '{}')`
        yield* sql`
          insert into things
          values ('00000000-0000-4000-8000-00000000000a', ${defaultOrganizationId}, '\\x01', '\\x02', 'three', null, 'four')`
        const [row] = yield* sql`select change from audit_pending`
        return row?.["change"]
      }).pipe(
        Effect.flatMap((change) => Effect.fail(change)),
        sql.withTransaction,
        Effect.flip
      )
      assert.deepStrictEqual(entry, {
        table: "things",
        id: "00000000-0000-4000-8000-00000000000a",
        before: null,
        after: {
          id: "00000000-0000-4000-8000-00000000000a",
          organization_id: defaultOrganizationId,
          public_key: "\\x01",
          seal: "(hidden)",
          api_secret: "(hidden)",
          password_hash: null,
          name: "four"
        }
      })
    })
  )

  it.effect("A6 of a statement that changes many rows, the first are told in full and the others are counted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const entry = yield* Effect.gen(function* () {
        yield* sql`select set_config('broker.audit', '', true)`
        yield* sql`
          insert into users (id, organization_id, name, name_key, state_since, created_at)
          select gen_random_uuid(), ${defaultOrganizationId}, 'many', 'many', now(), now() from generate_series(1, 250)`
      }).pipe(
        sql.withTransaction,
        Effect.andThen(sql`select changes from audit_entries where action = 'users:change' order by id desc limit 1`)
      )
      const changes = yield* Schema.decodeUnknownEffect(
        Schema.Array(Schema.Struct({ after: Schema.Record(Schema.String, Schema.Unknown) }))
      )(entry[0]?.["changes"])
      assert.strictEqual(changes.length, 201)
      assert.deepStrictEqual(changes.at(-1)?.after, { "rows beyond": 50 })
    })
  )
})
