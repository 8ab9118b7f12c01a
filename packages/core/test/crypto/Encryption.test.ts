import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import {
  Encryption,
  EncryptionKeyNotEverywhere,
  EncryptionKeys,
  EncryptionKeyUnavailable,
  firstKey,
  keyIds,
  survey
} from "@broker/core/crypto/Encryption"
import { nameOf, place, type SealedColumn, sealedColumns } from "@broker/core/crypto/SealedColumns"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { key } from "@broker/testing/TestEncryption"
import { assert, layer } from "@effect/vitest"
import { Cause, Context, DateTime, Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const keys = (current: number, ...former: ReadonlyArray<number>) => ({
  current: key(current),
  former: former.map(key)
})

const idOf = (number: number) => keyIds(keys(number))[0] ?? ""

/** A broker that was given these keys, on the database of the test. */
const broker = (given: typeof EncryptionKeys.Service) =>
  Layer.build(
    Layer.fresh(Encryption.layer).pipe(
      Layer.provide(Layer.fresh(Audit.layer)),
      Layer.provide(Layer.succeed(EncryptionKeys, given))
    )
  ).pipe(Effect.map(Context.get(Encryption)))

/** Arranges rows as no part of the broker does. */
const unaudited = <A, E, R>(rows: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`select set_config('broker.audit', '', true)`
    return yield* rows
  }).pipe((arranged) => SqlClient.SqlClient.use((sql) => sql.withTransaction(arranged)))

/** Nothing sealed, no key named. */
const forgetAll = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`delete from audit_keys`
  yield* sql`delete from signing_keys`
  yield* sql`delete from idempotency_keys`
  yield* sql`delete from webhooks`
  yield* sql`delete from admins`
  yield* sql`delete from encryption_keys`
  yield* sql`delete from nodes`
}).pipe(unaudited)

const bytes = (text: string) => new TextEncoder().encode(text)

/** Puts a sealed secret into a new row of a column. */
const keep = Effect.fnUntraced(function* (encryption: Encryption["Service"], column: SealedColumn, secret: string) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  const sealed = yield* encryption.seal(place(column, id), bytes(secret))
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const publicKey = new TextEncoder().encode(id.slice(0, 32))
  const inserts: Record<string, Effect.Effect<unknown, unknown>> = {
    "admins.totp_secret": sql`insert into admins ${sql.insert({
      id,
      name: id,
      nameKey: id,
      passwordHash: null,
      createdAt: now,
      totpSecret: sealed
    })}`,
    "audit_keys.private_key": sql`insert into audit_keys ${sql.insert({ id, publicKey, privateKey: sealed, createdAt: now })}`,
    "idempotent_answers.answer": sql`
      with known as (
        insert into idempotency_keys (scope, key, body_digest, created_at) values ('test', ${id}, ${publicKey}, ${now})
      )
      insert into idempotent_answers (id, scope, key, answer) values (${id}, 'test', ${id}, ${sealed})`,
    "signing_keys.sealed_key": sql`insert into signing_keys ${sql.insert({
      id,
      publicKey,
      sealedKey: sealed,
      createdAt: now,
      signsFrom: now,
      signsUntil: new Date(now.getTime() + 1_000),
      shownUntil: new Date(now.getTime() + 2_000)
    })}`,
    "webhook_secrets.sealed_secret": sql`
      with webhook as (
        insert into webhooks (id, organization_id, name, url, types, version, created_by, created_at)
        select ${id}, id, 'test', 'https://example.com', '{server.updated}', 1, 'test', ${now} from organizations limit 1
      )
      insert into webhook_secrets (id, webhook_id, previous, hint, sealed_secret, created_at)
      values (${id}, ${id}, false, 'whsec_', ${sealed}, ${now})`
  }
  yield* inserts[nameOf(column)] ?? Effect.die(`This test does not know how to fill ${nameOf(column)}`)
  return { column, id, secret }
})
type Kept = Effect.Success<ReturnType<typeof keep>>

/** So many secrets in every column. */
const keepAll = (encryption: Encryption["Service"], each: number) =>
  Effect.forEach(
    sealedColumns.flatMap((column) => Array.from({ length: each }, (_, at) => ({ column, at }))),
    ({ at, column }) => keep(encryption, column, `${nameOf(column)} ${at}`)
  ).pipe(unaudited)

/** All of it is there, and opens. */
const assertReads = Effect.fnUntraced(function* (encryption: Encryption["Service"], all: ReadonlyArray<Kept>) {
  const sql = yield* SqlClient.SqlClient
  for (const column of sealedColumns) {
    const rows = yield* sql<{ id: string; sealed: Uint8Array }>`
      select id, ${sql(column.column)} as sealed from ${sql(column.table)}`
    const found = yield* Effect.forEach(rows, ({ id, sealed }) =>
      Effect.map(encryption.open(place(column, id), sealed), (secret) => `${id} ${new TextDecoder().decode(secret)}`)
    )
    const kept = all.filter((kept) => kept.column === column).map(({ id, secret }) => `${id} ${secret}`)
    assert.deepStrictEqual(found.toSorted(), kept.toSorted())
  }
})

const whoNames = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return (yield* sql<{ id: string }>`select id from encryption_keys where retired_at is null`).map(({ id }) => id)
})

const fails = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => (Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined))

layer(Layer.merge(TestDatabase.layer, Layer.succeed(Actor, Fixtures.actor)))("Encryption", (it) => {
  it.effect("J6 the first broker of a database names its key, and what it seals opens at its place alone", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const encryption = yield* broker(keys(1))
      assert.deepStrictEqual(yield* whoNames, [idOf(1)])
      const sealed = yield* encryption.seal("here", bytes("secret"))
      assert.notInclude(Buffer.from(sealed).toString("latin1"), "secret")
      assert.deepStrictEqual(yield* encryption.open("here", sealed), Buffer.from("secret"))
      assert.match(`${yield* fails(encryption.open("there", sealed))}`, /there does not open/)
    })
  )

  it.effect("J6 two seals of one secret have nothing in common but their key", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const { seal } = yield* broker(keys(1))
      const [one, other] = [yield* seal("here", bytes("secret")), yield* seal("here", bytes("secret"))]
      assert.notDeepEqual(one.subarray(9), other.subarray(9))
      assert.deepStrictEqual(one.subarray(0, 9), other.subarray(0, 9))
    })
  )

  it.effect("J6 without a key nothing begins, and whoever embeds the core reads what to provide", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const error = yield* Effect.flip(broker(null))
      assert.instanceOf(error, EncryptionKeyUnavailable)
      assert.include(error.message, "`EncryptionKeys`")
      assert.deepStrictEqual(yield* whoNames, [])
    })
  )

  it.effect("J6 a broker with another key does not begin, and changes nothing", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const kept = yield* keepAll(yield* broker(keys(1)), 1)
      const error = yield* Effect.flip(broker(keys(2, 3)))
      assert.deepStrictEqual(error, new EncryptionKeyUnavailable({ needed: [idOf(1)], held: [idOf(2), idOf(3)] }))
      assert.include(error.message, idOf(1))
      assert.deepStrictEqual(yield* whoNames, [idOf(1)])
      yield* assertReads(yield* broker(keys(1)), kept)
    })
  )

  it.effect("J6 secrets of a database that lost the name of its key still ask for it", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const sql = yield* SqlClient.SqlClient
      yield* keepAll(yield* broker(keys(1)), 1)
      yield* sql`delete from encryption_keys`
      assert.instanceOf(yield* Effect.flip(broker(keys(2))), EncryptionKeyUnavailable)
      assert.instanceOf(yield* Effect.flip(firstKey(Effect.succeed(key(2)))), EncryptionKeyUnavailable)
      assert.deepStrictEqual(yield* whoNames, [])
      yield* broker(keys(1))
      assert.deepStrictEqual(yield* whoNames, [idOf(1)])
    })
  )

  it.effect("J6 of two brokers that begin at once on an empty database one key wins", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const exits = yield* Effect.all(
        [1, 2, 2, 1].map((number) => Effect.exit(broker(keys(number)))),
        {
          concurrency: "unbounded"
        }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 2)
      const [named] = yield* whoNames
      assert.deepStrictEqual(
        exits.map(Exit.isSuccess),
        named === idOf(1) ? [true, false, false, true] : [false, true, true, false]
      )
    })
  )

  it.effect("J6 of two that would make the first key only one does", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const made: Array<number> = []
      const exits = yield* Effect.all(
        [1, 2].map((number) =>
          Effect.exit(
            firstKey(
              Effect.sync(() => {
                made.push(number)
                return key(number)
              })
            )
          )
        ),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.deepStrictEqual(yield* whoNames, made.map(idOf))
    })
  )

  it.effect("J6 a first key that could not be kept is not named", () =>
    Effect.gen(function* () {
      yield* forgetAll
      assert.strictEqual(yield* Effect.flip(firstKey(Effect.fail("disk full" as const))), "disk full")
      assert.deepStrictEqual(yield* whoNames, [])
    })
  )

  it.effect(
    "a broker with a new key seals under the former until all is sealed anew, so that others keep reading",
    () =>
      Effect.gen(function* () {
        yield* forgetAll
        const before = yield* broker(keys(1))
        const after = yield* broker(keys(2, 1))
        const { configured, former, sealing } = yield* after.status
        assert.deepStrictEqual([sealing, configured, former], [idOf(1), idOf(2), [idOf(1)]])
        assert.deepStrictEqual(
          yield* before.open("here", yield* after.seal("here", bytes("secret"))),
          Buffer.from("secret")
        )

        yield* after.rewrap()
        assert.strictEqual((yield* after.status).sealing, idOf(2))
        assert.deepStrictEqual(
          yield* after.open("here", yield* after.seal("here", bytes("secret"))),
          Buffer.from("secret")
        )
        assert.instanceOf(yield* fails(before.seal("here", bytes("secret"))), EncryptionKeyUnavailable)
      })
  )

  it.effect("seals everything anew under the key of now, after which the former one can go", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const kept = yield* keepAll(yield* broker(keys(1)), 3)
      const encryption = yield* broker(keys(2, 1))
      assert.deepStrictEqual(yield* encryption.rewrap(), { secrets: kept.length, unreadable: [] })
      assert.deepStrictEqual(
        (yield* encryption.status).counts,
        sealedColumns.map((column) => ({ column: nameOf(column), keyId: idOf(2), secrets: 3 }))
      )
      yield* assertReads(yield* broker(keys(2)), kept)
      assert.instanceOf(yield* Effect.flip(broker(keys(1))), EncryptionKeyUnavailable)
      assert.deepStrictEqual(yield* encryption.rewrap(), { secrets: 0, unreadable: [] })
    })
  )

  it.effect("sealing anew goes on where it was broken off, however many there are", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const kept = yield* keepAll(yield* broker(keys(1)), 110)
      const encryption = yield* broker(keys(2, 1))
      const steps: Array<string> = []
      const first = yield* Effect.exit(
        encryption.rewrap((column, done) => {
          steps.push(`${column} ${done}`)
          return steps.length === 3 ? Effect.die("killed") : Effect.void
        })
      )
      assert.isTrue(Exit.isFailure(first))
      assert.deepStrictEqual(steps, ["admins.totp_secret 100", "admins.totp_secret 110", "audit_keys.private_key 100"])
      // Both keys are needed meanwhile, and with both everything is read.
      assert.instanceOf(yield* Effect.flip(broker(keys(2))), EncryptionKeyUnavailable)
      yield* assertReads(yield* broker(keys(2, 1)), kept)

      assert.deepStrictEqual(yield* encryption.rewrap(), { secrets: kept.length - 210, unreadable: [] })
      yield* assertReads(yield* broker(keys(2)), kept)
    })
  )

  it.effect("does not take a new key as long as a running broker lacks it", () =>
    Effect.gen(function* () {
      yield* forgetAll
      yield* TestClock.setTime(DateTime.toEpochMillis(Fixtures.start))
      const sql = yield* SqlClient.SqlClient
      const now = DateTime.toDateUtc(yield* DateTime.now)
      yield* broker(keys(1))
      const encryption = yield* broker(keys(2, 1))
      yield* sql`
        insert into nodes (id, name, version, audience, encryption_keys, started_at, last_seen_at)
        values (${randomUUID()}, 'fra', 'test', 'http://localhost', array[${idOf(1)}], ${now}, ${now}),
               (${randomUUID()}, 'lhr', 'test', 'http://localhost', array[${idOf(1)}, ${idOf(2)}], ${now}, ${now}),
               (${randomUUID()}, 'old', 'test', 'http://localhost', '{}', ${now}, ${now})`
      const error = yield* Effect.flip(encryption.rewrap())
      assert.deepStrictEqual(error, new EncryptionKeyNotEverywhere({ keyId: idOf(2), nodes: ["fra"] }))
      assert.deepStrictEqual(yield* whoNames, [idOf(1)])
      yield* TestClock.adjust("11 seconds")
      yield* encryption.rewrap()
      assert.deepStrictEqual(yield* whoNames, [idOf(2)])
    })
  )

  it.effect("tells of secrets that do not open, and leaves them as they are", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const sql = yield* SqlClient.SqlClient
      const encryption = yield* broker(keys(1))
      const kept = yield* keepAll(encryption, 2)
      const [broken, moved] = kept.filter(({ column }) => column.table === "admins")
      if (broken === undefined || moved === undefined) return assert.fail("nobody is there")
      yield* unaudited(
        Effect.andThen(
          sql`
            update admins
               set totp_secret = set_byte(totp_secret, 30, 255 - get_byte(totp_secret, 30))
             where id = ${broken.id}`,
          sql`
            update admins
               set totp_secret = (select totp_secret from admins where id = ${broken.id})
             where id = ${moved.id}`
        )
      )
      const unreadable = [broken, moved].map(({ column, id }) => place(column, id)).toSorted()

      const seen = yield* survey(keys(1))
      assert.deepStrictEqual([seen.secrets, seen.unreadable.toSorted(), seen.missing], [kept.length, unreadable, []])
      const sealedAnew = yield* (yield* broker(keys(2, 1))).rewrap()
      assert.deepStrictEqual([sealedAnew.secrets, sealedAnew.unreadable.toSorted()], [kept.length, unreadable])
      assert.deepStrictEqual((yield* survey(keys(2))).missing, [idOf(1)])
    })
  )

  it.effect("after a lost key, what is given up asks for it no more", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const sql = yield* SqlClient.SqlClient
      yield* keepAll(yield* broker(keys(1)), 2)
      const advice = readFileSync(new URL("../../../../docs/encryption.md", import.meta.url), "utf8")
      const [, statements = ""] = /```sql\n([^`]*)```/.exec(advice) ?? []
      const all = statements.split(";").filter((statement) => statement.trim() !== "")
      assert.strictEqual(all.length, 7)
      yield* unaudited(Effect.forEach(all, (statement) => sql.unsafe(statement)))
      const encryption = yield* broker(keys(2))
      assert.deepStrictEqual(yield* encryption.rewrap(), { secrets: 0, unreadable: [] })
      assert.deepStrictEqual((yield* encryption.status).counts, [])
    })
  )

  it.effect("A6 sealing anew is audited, by whoever did it", () =>
    Effect.gen(function* () {
      yield* forgetAll
      const sql = yield* SqlClient.SqlClient
      yield* keepAll(yield* broker(keys(1)), 1)
      yield* (yield* broker(keys(2, 1))).rewrap()
      const entries = yield* sql`
          select actor_name, details
            from audit_entries
           where action = 'encryption-key:rewrap'
        order by seq desc
           limit ${sealedColumns.length + 1}`
      assert.deepStrictEqual(entries.toReversed(), [
        { actorName: "ada", details: { key: idOf(2) } },
        ...sealedColumns.map((column) => ({
          actorName: "ada",
          details: { key: idOf(2), column: nameOf(column), secrets: 1 }
        }))
      ])
    })
  )

  it.effect("every column that says it is sealed is one that is sealed anew", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const said = yield* sql<{ name: string }>`
          select c.relname || '.' || a.attname as name
            from pg_attribute a
            join pg_class c on c.oid = a.attrelid
           where col_description(a.attrelid, a.attnum) like 'Sealed:%'
        order by 1`
      assert.deepStrictEqual(
        said.map(({ name }) => name),
        sealedColumns.map(nameOf).toSorted()
      )
    })
  )
})
