import { hash } from "node:crypto"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { AuditPolicy } from "@broker/core/audit/AuditPolicy"
import { Users } from "@broker/core/users/Users"
import type { AuditFilter, AuditVerdict } from "@broker/domain/AuditEntry"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { UserName } from "@broker/domain/User"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const all: AuditFilter = {
  from: null,
  to: null,
  text: "",
  action: null,
  actorKinds: [],
  actorId: null,
  subjectKind: null,
  subjectId: null,
  outcome: null
}

/** As somebody would who may do anything in the database: no trigger sees it. */
const tamper = Effect.fnUntraced(function* (statement: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(
    Effect.andThen(sql`set local session_replication_role = replica`, Effect.orDie(statement(sql)))
  )
})

/** An organization with so many entries: the first is about itself. */
const chain = Effect.fnUntraced(function* (entries: number) {
  const organizationId = yield* Fixtures.organization
  yield* Effect.forEach(Array.from({ length: entries - 1 }), () => Fixtures.user({ organizationId }), { discard: true })
  return organizationId
})

const verify = (organizationId: OrganizationId | null, checkpoint?: string) =>
  AuditLog.use((log) => log.verify(organizationId, { checkpoint }))

const faults = ({ faults }: AuditVerdict) => faults.map(({ kind, seq }) => [seq, kind])

const entriesOf = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const log = yield* AuditLog
  const { items } = yield* log.list(organizationId, { ...all, limit: 100, cursor: null })
  return items
})

const about = Effect.fnUntraced(function* (subjectId: string) {
  const items = yield* entriesOf(defaultOrganizationId)
  return items.filter((entry) => entry.subjectId === subjectId)
})

const lines = (organizationId: OrganizationId, format: "csv" | "json", filter: AuditFilter = all) =>
  Effect.flatMap(AuditLog, (log) =>
    Effect.map(Stream.runCollect(log.export(organizationId, filter, format)), (parts) =>
      Array.from(parts)
        .join("")
        .split(format === "csv" ? "\r\n" : "\n")
        .filter((line) => line !== "")
    )
  )

const Line = Schema.fromJsonString(
  Schema.Struct({ seq: Schema.Int, hash: Schema.String, text: Schema.String, action: Schema.String })
)

layer(Fixtures.audited)("AuditLog", (it) => {
  it.effect("A6 fifty who write at once make one chain without a gap", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      yield* Effect.forEach(Array.from({ length: 50 }), () => Fixtures.user({ organizationId }), {
        concurrency: "unbounded"
      })
      const [row] = yield* sql`
        select count(*)::int as entries, count(distinct seq)::int as numbers, max(seq)::int as last
          from audit_entries
         where organization_id = ${organizationId}`
      assert.deepStrictEqual(row, { entries: 51, numbers: 51, last: 51 })
      const { entries, faults, first, intact, last } = yield* verify(organizationId)
      assert.deepStrictEqual(
        { entries, faults, first, intact, last },
        { entries: 51, faults: [], first: 1, intact: true, last: 51 }
      )
    })
  )

  it.effect("A6 an entry tells what was before and after, and of a new row all of it", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { id, name } = yield* Fixtures.user()
      const renamed = UserName.make(Fixtures.unique("renamed"))
      yield* users.update(defaultOrganizationId, id, { name: renamed })
      yield* users.suspend(defaultOrganizationId, id, "left")
      const [suspended, updated, created] = yield* about(id)
      assert.deepStrictEqual(updated?.changes, [{ table: "users", id, before: { name }, after: { name: renamed } }])
      assert.deepStrictEqual(
        suspended?.changes.map(({ after, before }) => [before?.["state"], after?.["state"], after?.["state_reason"]]),
        [["active", "suspended", "left"]]
      )
      assert.strictEqual(created?.changes[0]?.before, null)
      assert.strictEqual(created?.changes[0]?.after?.["name"], name)
    })
  )

  it.effect("A6 what is rolled back to a savepoint stands in no entry", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const { id } = yield* Fixtures.user()
      yield* Effect.gen(function* () {
        yield* sql`update users set note = 'undone' where id = ${id}`.pipe(
          Effect.andThen(Effect.fail("no")),
          sql.withTransaction,
          Effect.ignore
        )
        yield* sql`update users set note = 'done' where id = ${id}`
        yield* audit.record({
          organizationId: defaultOrganizationId,
          action: "users:update",
          subjectKind: "user",
          subjectId: id
        })
      }).pipe(sql.withTransaction)
      const [entry] = yield* about(id)
      assert.deepStrictEqual(entry?.changes, [{ table: "users", id, before: { note: "" }, after: { note: "done" } }])
    })
  )

  it.effect(
    "A6 several entries of one transaction each have the changes of their own subject, the first the others",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const audit = yield* Audit
        const [one, two, three] = [yield* Fixtures.user(), yield* Fixtures.user(), yield* Fixtures.user()]
        const organizationId = defaultOrganizationId
        const entry = { organizationId, action: "users:update", subjectKind: "user" } as const
        yield* Effect.gen(function* () {
          yield* audit.record({ ...entry, subjectId: one.id })
          yield* sql`update users set note = 'changed' where id in (${one.id}, ${two.id}, ${three.id})`
          yield* audit.record({ ...entry, subjectId: two.id })
        }).pipe(sql.withTransaction)
        const changed = (entries: ReadonlyArray<{ readonly changes: ReadonlyArray<{ readonly id: string | null }> }>) =>
          new Set(entries[0]?.changes.map(({ id }) => id))
        assert.deepStrictEqual(changed(yield* about(one.id)), new Set([one.id, three.id]))
        assert.deepStrictEqual(changed(yield* about(two.id)), new Set([two.id]))
      })
  )

  it.effect("A6 whoever has entries in several chains, in parts and beside others, leaves each chain whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const chains = [yield* chain(1), yield* chain(1)]
      const act = (n: number) =>
        Effect.gen(function* () {
          const users = yield* Effect.forEach(chains, (organizationId) => Fixtures.user({ organizationId }))
          const entry = (organizationId: OrganizationId | null, subjectId: string | null, detail: string) =>
            ({ organizationId, action: "users:update", subjectKind: "user", subjectId, details: { detail } }) as const
          const others = n % 2 === 0 ? chains : chains.toReversed()
          const told = others.map((organizationId, at) =>
            entry(at === 0 && n % 3 === 0 ? null : organizationId, null, "b")
          )
          yield* Effect.gen(function* () {
            yield* audit.recordAll(told)
            yield* Effect.gen(function* () {
              yield* audit.record(entry(chains[0] ?? null, users[0]?.id ?? null, "undone"))
              yield* sql`update users set note = 'undone' where id = any (${users.map(({ id }) => id)}::uuid[])`
              return yield* Effect.fail("no")
            }).pipe(sql.withTransaction, Effect.ignore)
            yield* sql`update users set note = ${`${n}`} where id = any (${users.map(({ id }) => id)}::uuid[])`
            yield* audit.recordAll(
              users.flatMap(({ id }, at) => [entry(chains[at] ?? null, id, "c"), entry(chains[at] ?? null, id, "d")])
            )
            if (n % 2 === 0) {
              for (let sealed = 1; sealed > 0; ) {
                const [row] = yield* sql<{ n: number }>`select seal_audit_entries(2) as n`
                sealed = row?.n ?? 0
              }
            }
          }).pipe(sql.withTransaction)
          return users
        })
      const users = yield* Effect.forEach(
        Array.from({ length: 12 }, (_, n) => n),
        act,
        { concurrency: "unbounded" }
      )
      for (const [at, organizationId] of chains.entries()) {
        const { faults, intact } = yield* verify(organizationId)
        assert.deepStrictEqual([intact, faults], [true, []])
        const items = yield* entriesOf(organizationId)
        assert.notInclude(JSON.stringify(items), "undone")
        for (const [n, pair] of users.entries()) {
          const id = pair[at]?.id
          const mine = items.filter(({ details, subjectId }) => subjectId === id && details["detail"] !== undefined)
          assert.deepStrictEqual(
            mine.map(({ changes, details }) => [details["detail"], changes.map(({ after }) => after)]),
            [
              ["d", []],
              ["c", [{ note: `${n}` }]]
            ]
          )
        }
      }
      assert.isTrue((yield* verify(null)).intact)
    })
  )

  it.effect("J4 a transaction that was under way when its broker's schema became this one goes through", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const organizationId = defaultOrganizationId
      const { id } = yield* Fixtures.user()
      yield* Effect.gen(function* () {
        yield* sql`update users set note = 'under way' where id = ${id}`
        yield* audit.record({ organizationId, action: "users:update", subjectKind: "user", subjectId: id })
        // What the release before kept instead.
        yield* sql`
          select set_config('broker.audit_own', array_agg(id)::text, true), set_config('broker.audit_first', '', true)
            from audit_entries
           where seq is null`
      }).pipe(sql.withTransaction)
      const [entry] = yield* about(id)
      assert.deepStrictEqual(entry?.changes[0]?.after, { note: "under way" })
    })
  )

  it.effect("A6 a change without an entry is not committed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id, name } = yield* Fixtures.user()
      const failure = yield* Effect.flip(sql`update users set name = 'nobody did it' where id = ${id}`)
      assert.include(JSON.stringify(failure.reason.cause), "audit_entries_complete")
      assert.deepStrictEqual(yield* sql`select name from users where id = ${id}`, [{ name }])
      // What does not matter is no change.
      yield* sql`update users set last_seen_at = now(), name = name where id = ${id}`
    })
  )

  it.effect("A6 J4 where it is not refused, the database writes the entry itself", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id, name } = yield* Fixtures.user()
      yield* Effect.andThen(
        sql`select set_config('broker.audit', '', true)`,
        sql`update users set name = 'by hand' where id = ${id}`
      ).pipe(sql.withTransaction)
      const [entry] = yield* about(id)
      assert.deepStrictEqual(
        { action: entry?.action, kind: entry?.actorKind, changes: entry?.changes },
        {
          action: "users:change",
          kind: "database",
          changes: [{ table: "users", id, before: { name }, after: { name: "by hand" } }]
        }
      )
      assert.isTrue((yield* verify(defaultOrganizationId)).intact)
    })
  )

  it.effect("J4 entries of a broker of the release before are chained", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* chain(1)
      yield* sql`
        insert into audit_entries (
          organization_id, at, actor_kind, actor_id, actor_name, address, request_id, action, subject_kind, subject_id,
          outcome, details)
        values (${organizationId}, now(), 'admin', null, 'old', null, null, 'users:create', 'user', null, 'done', '{}')`
      const { entries, intact } = yield* verify(organizationId)
      assert.deepStrictEqual({ entries, intact }, { entries: 2, intact: true })
    })
  )

  it.effect("A6 entries are neither changed nor deleted, nor numbered by anybody", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* chain(3)
      const attempts = [
        sql`update audit_entries set actor_name = 'mallory' where organization_id = ${organizationId}`,
        sql`delete from audit_entries where organization_id = ${organizationId}`,
        sql`truncate audit_entries`
      ]
      for (const attempt of attempts) {
        const failure = yield* Effect.flip(attempt)
        assert.include(JSON.stringify(failure.reason.cause), "audit_entries_kept")
      }
      yield* sql`
        insert into audit_entries (organization_id, at, actor_kind, actor_name, action, subject_kind, seq, hash, changes)
        values (${organizationId}, now(), 'command', 'x', 'users:list', 'user', 99, sha256('x'), '[{"forged": true}]')`
      const [row] = yield* sql`
        select seq::int as seq, changes from audit_entries where organization_id = ${organizationId} order by seq desc limit 1`
      assert.deepStrictEqual(row, { seq: 4, changes: [] })
    })
  )

  const attacks: ReadonlyArray<{
    readonly name: string
    readonly act: (sql: SqlClient.SqlClient, organizationId: OrganizationId) => Effect.Effect<unknown, unknown>
    readonly found: ReadonlyArray<readonly [number, string]>
  }> = [
    ...["actor_name = 'mallory'", "at = at + interval '1 second'", "changes = '[]'", "address = '192.0.2.1'"].map(
      (set) => ({
        name: `a changed field (${set})`,
        act: (sql: SqlClient.SqlClient, id: OrganizationId) =>
          sql.unsafe(`update audit_entries set ${set} where organization_id = '${id}' and seq = 4`),
        found: [[4, "changed"]] as const
      })
    ),
    {
      name: "a changed field with a hash that fits",
      act: (sql, id) => sql`
        update audit_entries e
           set actor_name = 'mallory',
               hash = sha256(convert_to(audit_text((select p.hash from audit_entries p where p.organization_id = e.organization_id and p.seq = 3),
                 (select x from audit_entries x where x.id = e.id)), 'UTF8'))
         where organization_id = ${id} and seq = 4`,
      found: [[4, "changed"]]
    },
    {
      name: "a deleted row",
      act: (sql, id) => sql`delete from audit_entries where organization_id = ${id} and seq in (3, 4)`,
      found: [[3, "missing"]]
    },
    {
      name: "two rows that changed places",
      act: (sql, id) =>
        Effect.gen(function* () {
          yield* sql`update audit_entries set seq = -1 where organization_id = ${id} and seq = 3`
          yield* sql`update audit_entries set seq = 3 where organization_id = ${id} and seq = 5`
          yield* sql`update audit_entries set seq = 5 where organization_id = ${id} and seq = -1`
        }),
      found: [
        [3, "reordered"],
        [5, "reordered"]
      ]
    },
    {
      name: "two neighbours that changed places",
      act: (sql, id) =>
        Effect.gen(function* () {
          yield* sql`update audit_entries set seq = -1 where organization_id = ${id} and seq = 3`
          yield* sql`update audit_entries set seq = 3 where organization_id = ${id} and seq = 4`
          yield* sql`update audit_entries set seq = 4 where organization_id = ${id} and seq = -1`
        }),
      found: [
        [3, "reordered"],
        [4, "reordered"]
      ]
    },
    {
      name: "a tail cut off",
      act: (sql, id) => sql`delete from audit_entries where organization_id = ${id} and seq > 5`,
      found: [[6, "missing"]]
    },
    {
      name: "a head that was set back",
      act: (sql, id) => sql`
        update audit_heads
           set seq = 5, hash = (select hash from audit_entries where organization_id = ${id} and seq = 5)
         where organization_id = ${id}`,
      found: [[6, "changed"]]
    },
    {
      name: "an entry beside the chain",
      act: (sql, id) => sql`
        insert into audit_entries (organization_id, at, actor_kind, actor_name, action, subject_kind)
        values (${id}, now(), 'admin', 'mallory', 'users:create', 'user')`,
      found: [[8, "changed"]]
    },
    {
      name: "a beginning that was let go of",
      act: (sql, id) =>
        Effect.gen(function* () {
          yield* sql`
          update audit_heads
             set first_seq = 4, anchor = (select hash from audit_entries where organization_id = ${id} and seq = 3)
           where organization_id = ${id}`
          yield* sql`delete from audit_entries where organization_id = ${id} and seq < 4`
        }),
      found: [[4, "checkpoint"]]
    }
  ]

  it.effect.each([...attacks])("A6 verification finds $name", ({ act, found }) =>
    Effect.gen(function* () {
      const organizationId = yield* chain(7)
      assert.isTrue((yield* verify(yield* chain(1))).intact)
      yield* tamper((sql) => act(sql, organizationId))
      const verdict = yield* verify(organizationId)
      assert.isFalse(verdict.intact)
      assert.deepStrictEqual(
        faults(verdict).slice(0, found.length),
        found.map((fault) => [...fault])
      )
    })
  )

  it.effect("A6 a tail that was cut off with its head is found by a signed checkpoint", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(7)
      yield* log.checkpoint
      const kept = Option.getOrThrow(yield* log.newestCheckpoint(organizationId))
      assert.isTrue((yield* verify(organizationId, kept)).intact)
      const cut = (sql: SqlClient.SqlClient) =>
        Effect.gen(function* () {
          yield* sql`delete from audit_entries where organization_id = ${organizationId} and seq > 5`
          yield* sql`
            update audit_heads
               set seq = 5, hash = (select hash from audit_entries where organization_id = ${organizationId} and seq = 5)
             where organization_id = ${organizationId}`
        })
      yield* tamper(cut)
      assert.deepStrictEqual(faults(yield* verify(organizationId)), [[7, "checkpoint"]])
      // With the checkpoint gone as well, the one kept elsewhere tells.
      yield* tamper((sql) =>
        Effect.andThen(cut(sql), sql`delete from audit_checkpoints where organization_id = ${organizationId}`)
      )
      assert.isTrue((yield* verify(organizationId)).intact)
      yield* tamper(cut)
      assert.deepStrictEqual(faults(yield* verify(organizationId, kept)), [[7, "checkpoint"]])
    })
  )

  it.effect("A6 a chain written anew from end to end contradicts its checkpoints", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(4)
      yield* log.checkpoint
      yield* tamper((sql) =>
        sql.unsafe(`
        do $$
        declare
          entry audit_entries;
          last  bytea := decode(repeat('00', 32), 'hex');
        begin
          for entry in select * from audit_entries where organization_id = '${organizationId}' order by seq loop
            entry.actor_name := 'mallory';
            entry.hash := sha256(convert_to(audit_text(last, entry), 'UTF8'));
            update audit_entries set actor_name = entry.actor_name, hash = entry.hash where id = entry.id;
            last := entry.hash;
          end loop;
          update audit_heads set hash = last where organization_id = '${organizationId}';
        end
        $$`)
      )
      assert.deepStrictEqual(faults(yield* verify(organizationId)), [[4, "checkpoint"]])
    })
  )

  it.effect("A6 J6 a checkpoint by a key that is none of ours, or that was changed, is found", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(2)
      yield* log.checkpoint
      const kept = Option.getOrThrow(yield* log.newestCheckpoint(organizationId))
      yield* tamper(
        (sql) => sql`update audit_checkpoints set hash = sha256('x') where organization_id = ${organizationId}`
      )
      assert.deepStrictEqual(faults(yield* verify(organizationId)), [[2, "checkpoint"]])
      yield* tamper(
        (sql) => sql`
        update audit_checkpoints
           set jws = overlay(jws placing 'AAAAAAAA' from length(jws) - 20)
         where organization_id = ${organizationId}`
      )
      assert.deepStrictEqual(faults(yield* verify(organizationId)), [[2, "checkpoint"]])
      const [key] = (yield* log.keys).slice(-1)
      yield* tamper((sql) => sql`delete from audit_checkpoints where organization_id = ${organizationId}`)
      yield* tamper((sql) => sql`update audit_keys set private_key = sha256('x') where id = ${key?.id ?? ""}::uuid`)
      assert.deepStrictEqual(faults(yield* verify(organizationId, kept)), [[0, "checkpoint"]])
      // A new key is made for those to come.
      assert.isAbove(yield* log.checkpoint, 0)
    })
  )

  it.effect("A6 a chain is signed once for each time it has grown", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const log = yield* AuditLog
      const organizationId = yield* chain(2)
      yield* log.checkpoint
      yield* log.checkpoint
      yield* Fixtures.user({ organizationId })
      yield* log.checkpoint
      const rows = yield* sql`
        select seq::int as seq from audit_checkpoints where organization_id = ${organizationId} order by audit_checkpoints.seq`
      assert.deepStrictEqual(rows, [{ seq: 2 }, { seq: 3 }])
      const verdict = yield* verify(organizationId)
      assert.deepStrictEqual([verdict.intact, verdict.checkpoints], [true, 2])
    })
  )

  it.effect("A6 what is past its time goes, and the rest of the chain still verifies", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const log = yield* AuditLog
      const organizationId = yield* Fixtures.organization
      yield* tamper((sql) => sql`delete from audit_entries where organization_id = ${organizationId}`)
      yield* tamper((sql) => sql`delete from audit_heads where organization_id = ${organizationId}`)
      const now = DateTime.toEpochMillis(yield* DateTime.now)
      for (const days of [200, 150, 95, 91, 90.1]) {
        yield* sql`
          insert into audit_entries (organization_id, at, actor_kind, actor_name, action, subject_kind)
          values (${organizationId}, ${new Date(now - days * 86_400_000)}, 'command', 'somebody', 'users:list', 'user')`
      }
      yield* log.checkpoint
      yield* Fixtures.user({ organizationId })
      yield* tamper(
        (sql) => sql`
        insert into security_policies (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, audit_retention_days, updated_at)
        values (${organizationId}, false, 7200, 86400, 90, now())`
      )
      assert.strictEqual(yield* log.prune, 5)
      assert.strictEqual(yield* log.prune, 0)
      const verdict = yield* verify(organizationId)
      assert.deepStrictEqual(
        { entries: verdict.entries, faults: verdict.faults, first: verdict.first, last: verdict.last },
        { entries: 2, faults: [], first: 6, last: 7 }
      )
      assert.isAbove(verdict.checkpoints, 0)
      const [pruned] = (yield* entriesOf(organizationId)).filter(({ action }) => action === "audit-log:prune")
      assert.deepStrictEqual([pruned?.actorKind, pruned?.details["entries"]], ["broker", 5])
      // The export goes on from what is kept.
      const exported = (yield* lines(organizationId, "json")).slice(0, -1).map((line) => Schema.decodeSync(Line)(line))
      assert.strictEqual(exported[0]?.seq, 6)
      for (const line of exported) assert.strictEqual(hash("sha256", line.text, "hex"), line.hash)
    })
  )

  it.effect("A6 entries of nobody go after 400 days", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const log = yield* AuditLog
      yield* tamper((sql) => sql`delete from audit_entries where organization_id is null`)
      yield* tamper(
        (sql) => sql`delete from audit_heads where organization_id = ${"00000000-0000-0000-0000-000000000000"}`
      )
      yield* tamper(
        (sql) => sql`delete from audit_checkpoints where organization_id = ${"00000000-0000-0000-0000-000000000000"}`
      )
      const now = DateTime.toEpochMillis(yield* DateTime.now)
      for (const days of [500, 401, 399]) {
        yield* sql`
          insert into audit_entries (at, actor_kind, actor_name, action, subject_kind, outcome)
          values (${new Date(now - days * 86_400_000)}, 'stranger', 'nobody', 'admins:sign-in', 'admin', 'refused')`
      }
      assert.strictEqual(yield* log.prune, 2)
      const verdict = yield* verify(null)
      assert.deepStrictEqual([verdict.intact, verdict.first], [true, 3])
    })
  )

  it.effect("A6 several who verify a chain at once get one verdict, each recorded", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(5)
      const verdicts = yield* Effect.all(
        Array.from({ length: 5 }, () => log.verify(organizationId)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(verdicts).size, 1, "of one walk")
      const recorded = (yield* entriesOf(organizationId)).filter(({ action }) => action === "audit-log:verify")
      assert.lengthOf(recorded, 5)
      const again = yield* log.verify(organizationId)
      assert.notStrictEqual(again, verdicts[0])
      assert.isTrue(again.intact)
    })
  )

  it.effect("A6 many refusals of one admin, or of one address, are told by one entry when the minute is over", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const organizationId = yield* Fixtures.organization
      const id = "00000000-0000-4000-8000-0000000000aa"
      const admin = Actor.of({ kind: "admin", id, name: "prober", address: null, requestId: null })
      const stranger = (address: string) =>
        Actor.of({ kind: "stranger", id: null, name: "prober", address, requestId: null })
      const refuse = (actor: typeof Actor.Service, organizationId: OrganizationId | null) =>
        audit
          .record({ organizationId, action: "users:delete", subjectKind: "user", subjectId: null, outcome: "refused" })
          .pipe(Effect.provideService(Actor, actor))
      const found = sql<{ kind: string; refusals: number | null; entries: number }>`
          select actor_kind as kind, (details ->> 'refusals')::int as refusals, count(*)::int as entries
            from audit_entries
           where actor_name = 'prober'
        group by 1, 2
        order by 1, 2 nulls first`
      yield* refuse(admin, organizationId).pipe(Effect.replicateEffect(65))
      for (let n = 0; n < 12; n++) yield* refuse(stranger(`2001:db8::${n}`), null)
      yield* refuse(stranger("198.51.100.1"), null)
      const own = [
        { kind: "admin", refusals: null, entries: 60 },
        { kind: "stranger", refusals: null, entries: 10 }
      ]
      assert.deepStrictEqual(yield* found, own)
      yield* TestClock.adjust("61 seconds")
      // The next one tells at once; what has no next one is told by the clock.
      yield* refuse(admin, organizationId)
      const told: Effect.Effect<ReadonlyArray<unknown>, unknown> = Effect.flatMap(found, (rows) =>
        rows.length === 4 ? Effect.succeed(rows) : Effect.andThen(TestClock.adjust("1 minute"), told)
      )
      assert.deepStrictEqual(yield* told, [
        { kind: "admin", refusals: null, entries: 61 },
        { kind: "admin", refusals: 5, entries: 1 },
        { kind: "stranger", refusals: null, entries: 10 },
        { kind: "stranger", refusals: 3, entries: 1 }
      ])
    })
  )

  it.effect("A6 an export proves itself by SHA-256 alone, and ends with the newest checkpoint", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(12)
      yield* log.checkpoint
      const exported = yield* lines(organizationId, "json").pipe(
        Effect.provideService(AuditPolicy, { ...AuditPolicy.defaultValue(), batch: 5 })
      )
      const trailer = JSON.parse(exported.at(-1) ?? "")
      const entries = exported.slice(0, -1).map((line) => Schema.decodeSync(Line)(line))
      // The export itself is the last entry.
      assert.deepStrictEqual(
        entries.map(({ seq }) => seq),
        Array.from({ length: 13 }, (_, index) => index + 1)
      )
      assert.strictEqual(entries.at(-1)?.action, "audit-log:export")
      let before = "0".repeat(64)
      for (const { hash: own, text } of entries) {
        assert.strictEqual(JSON.parse(text)[0], before)
        assert.strictEqual(hash("sha256", text, "hex"), own)
        before = own
      }
      const [, payload = ""] = trailer.checkpoint.jws.split(".")
      const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
      assert.deepStrictEqual([claims.org, claims.seq, claims.hash], [organizationId, 12, entries[11]?.hash])
      assert.isTrue((yield* verify(organizationId, trailer.checkpoint.jws)).intact)
    })
  )

  it.effect("W4 no cell of an export is a formula", () =>
    Effect.gen(function* () {
      const organizationId = yield* chain(1)
      const audit = yield* Audit
      for (const name of ["=1+1", "+1", "-1", "@a", "\tx", 'quoted "x", and', "two\nlines"]) {
        yield* audit
          .record({ organizationId, action: "users:list", subjectKind: "user", subjectId: null })
          .pipe(Effect.provideService(Actor, { ...Fixtures.actor, name }))
      }
      const text = (yield* lines(organizationId, "csv")).join("\n")
      for (const cell of [",'=1+1,", ",'+1,", ",'-1,", ",'@a,", ",'\tx,", ',"quoted ""x"", and",', ',"two\nlines",']) {
        assert.include(text, cell)
      }
    })
  )

  it.effect("A6 reading is recorded once for each search, and so is an export and a verification", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const organizationId = yield* chain(4)
      const query = { ...all, limit: 2, text: "user", action: "users:" }
      const first = yield* log.list(organizationId, { ...query, cursor: null })
      assert.deepStrictEqual(
        first.items.map(({ seq }) => seq),
        [4, 3]
      )
      const second = yield* log.list(organizationId, { ...query, cursor: first.nextCursor })
      assert.deepStrictEqual([second.items.map(({ seq }) => seq), second.nextCursor], [[2], null])
      yield* lines(organizationId, "csv")
      yield* verify(organizationId)
      const recorded = (yield* entriesOf(organizationId)).filter(({ subjectKind }) => subjectKind === "audit-log")
      assert.deepStrictEqual(
        recorded.map(({ action }) => action),
        ["audit-log:verify", "audit-log:export", "audit-log:read"]
      )
      assert.deepStrictEqual(recorded.at(-1)?.details, { text: "user", action: "users:" })
      assert.deepStrictEqual(yield* log.actions(organizationId), [
        "audit-log:export",
        "audit-log:read",
        "audit-log:verify",
        "organizations:change",
        "users:create"
      ])
      const failure = yield* Effect.flip(log.list(organizationId, { ...query, cursor: "x" }))
      assert.strictEqual(failure._tag, "InvalidCursor")
    })
  )

  it.effect("every filter finds what it says", () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const audit = yield* Audit
      const organizationId = yield* chain(1)
      const { id } = yield* Fixtures.user({ organizationId })
      yield* TestClock.adjust("1 hour")
      const now = yield* DateTime.now
      yield* audit.record({
        organizationId,
        action: "servers:suspend",
        subjectKind: "server",
        subjectId: id,
        outcome: "refused"
      })
      const found = (filter: Partial<AuditFilter>) =>
        Effect.map(log.list(organizationId, { ...all, ...filter, limit: 50, cursor: "OTk" }), ({ items }) =>
          items.map(({ action }) => action)
        )
      assert.deepStrictEqual(yield* found({ outcome: "refused" }), ["servers:suspend"])
      assert.deepStrictEqual(yield* found({ subjectId: id }), ["servers:suspend", "users:create"])
      assert.deepStrictEqual(yield* found({ subjectKind: "user" }), ["users:create"])
      assert.deepStrictEqual(yield* found({ from: now, actorKinds: ["admin"] }), ["servers:suspend"])
      assert.deepStrictEqual(yield* found({ to: now, actorKinds: ["admin"] }), ["users:create"])
      assert.deepStrictEqual(yield* found({ action: "users:create" }), ["users:create"])
      assert.deepStrictEqual(yield* found({ text: "ADA" }), ["servers:suspend", "users:create"])
      assert.deepStrictEqual(yield* found({ text: "203.0.113" }), ["servers:suspend", "users:create"])
      assert.deepStrictEqual(yield* found({ text: "100%" }), [])
    })
  )
})
