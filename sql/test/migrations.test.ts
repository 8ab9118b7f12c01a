import * as Migrations from "@broker/sql"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path } from "effect"
import { SqlClient } from "effect/sql"

type Files = Readonly<Record<string, string>>

/** A directory with these migrations, to be changed by the test. */
const directory = Effect.fnUntraced(function* (files: Files) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const at = yield* fs.makeTempDirectoryScoped()
  const write = (name: string, text: string) => fs.writeFileString(path.join(at, name), text)
  yield* Effect.forEach(Object.entries(files), ([name, text]) => write(name, text), { discard: true })
  return { at, write, remove: (name: string) => fs.remove(path.join(at, name)) }
})

/** The migrator on a directory of the test's. */
const on = ({ at }: { readonly at: string }) => ({
  up: Migrations.up.pipe(Effect.provideService(Migrations.Directory, at)),
  status: Migrations.status.pipe(Effect.provideService(Migrations.Directory, at)),
  fingerprint: Migrations.fingerprint.pipe(Effect.provideService(Migrations.Directory, at))
})

const first = { "0001_first.sql": "create table first (id int); insert into first values (1);" }
const second = { "0002_second.sql": "create function twice(n int) returns int language sql as $$ select n * 2; $$;" }

const applied = (migrations: ReadonlyArray<{ readonly id: number }>) => migrations.map(({ id }) => id)

const refused = <A, E, R>(effect: Effect.Effect<A, E, R>, file: string, problem: RegExp) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, Migrations.MigrationRefused)
    assert.strictEqual(error.file, file)
    assert.match(error.message, problem)
  })

/** Each test has an empty database, and connections as many as it wants. */
const database = Layer.unwrap(Effect.map(TestDatabase.createEmptyDatabase, TestServer.connectMany)).pipe(
  Layer.provideMerge(NodeServices.layer)
)

describe("migrations", () => {
  it.live("J4 apply once, in order, with what they are recorded by", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { status, up } = on(yield* directory({ ...first, ...second }))
      assert.deepStrictEqual(
        (yield* status).map(({ id, name, state }) => [id, name, state]),
        [
          [1, "first", "pending"],
          [2, "second", "pending"]
        ]
      )
      assert.deepStrictEqual(applied(yield* up), [1, 2])
      assert.deepStrictEqual(applied(yield* up), [])
      assert.deepStrictEqual(yield* sql`select twice(id) from first`, [{ twice: 2 }])
      assert.isTrue((yield* status).every(({ appliedAt, state }) => state === "applied" && appliedAt._tag === "Some"))
      const [row] = yield* sql`select name, length(checksum) as length from migrations where id = 1`
      assert.deepStrictEqual(row, { name: "first", length: 64 })
    }).pipe(Effect.provide(database))
  )

  it.live("J4 roll back as a whole when a statement fails, and keep those before", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const files = yield* directory({ ...first, "0002_broken.sql": "create table second (id int); select nothing();" })
      const failed = yield* Effect.flip(on(files).up)
      assert.instanceOf(failed, Migrations.MigrationFailed)
      assert.strictEqual(failed.file, "0002_broken.sql")
      assert.match(failed.message, /nothing\(\) does not exist[\s\S]*select nothing\(\)/)
      assert.deepStrictEqual(yield* sql`select to_regclass('second') as found`, [{ found: null }])
      yield* files.write("0002_broken.sql", "create table second (id int);")
      assert.deepStrictEqual(applied(yield* on(files).up), [2])
    }).pipe(Effect.provide(database))
  )

  it.live("J4 one migrator at a time: of many at once, each migration runs once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { up } = on(
        yield* directory({
          ...first,
          "0002_slow.sql": "insert into first values (2); select pg_sleep(0.3);",
          "0003_more.sql": "insert into first values (3);"
        })
      )
      const runs = yield* Effect.all(
        Array.from({ length: 8 }, () => up),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(runs.flatMap(applied).toSorted(), [1, 2, 3])
      assert.deepStrictEqual(yield* sql`select id from first order by id`, [{ id: 1 }, { id: 2 }, { id: 3 }])
    }).pipe(Effect.provide(database))
  )

  it.live("J4 accept a database that is newer than the code", () =>
    Effect.gen(function* () {
      const files = yield* directory({ ...first, ...second, "0003_third.sql": "create table third (id int);" })
      yield* on(files).up
      yield* files.remove("0003_third.sql")
      assert.deepStrictEqual(applied(yield* on(files).up), [])
      assert.deepStrictEqual(
        (yield* on(files).status).map(({ id, state }) => [id, state]),
        [
          [1, "applied"],
          [2, "applied"],
          [3, "applied"]
        ]
      )
    }).pipe(Effect.provide(database))
  )

  it.live("J4 refuse a file that was changed after it had been applied", () =>
    Effect.gen(function* () {
      const files = yield* directory(first)
      yield* on(files).up
      yield* files.write("0001_first.sql", "create table other (id int);")
      yield* refused(on(files).up, "0001_first.sql", /was changed after it had been applied/)
      yield* refused(on(files).status, "0001_first.sql", /was changed after it had been applied/)
    }).pipe(Effect.provide(database))
  )

  it.live("J4 do not mind other line endings", () =>
    Effect.gen(function* () {
      const files = yield* directory({ "0001_first.sql": "select 1;\nselect 2;\n" })
      yield* on(files).up
      yield* files.write("0001_first.sql", "select 1;\r\nselect 2;\r\n")
      assert.deepStrictEqual(applied(yield* on(files).up), [])
    }).pipe(Effect.provide(database))
  )

  it.live("J4 refuse a gap, a number given twice, a foreign file and a missing old one", () =>
    Effect.gen(function* () {
      const gap = yield* directory({ ...first, "0003_third.sql": "select 1" })
      yield* refused(on(gap).up, "0003_third.sql", /0002 is missing/)
      const twice = yield* directory({ ...first, "0001_again.sql": "select 1" })
      yield* refused(on(twice).up, "0001_first.sql", /has the number of another file/)
      const foreign = yield* directory({ ...first, "notes.txt": "" })
      yield* refused(on(foreign).up, "notes.txt", /is not named like/)
      const missing = yield* directory({ ...first, ...second })
      yield* on(missing).up
      yield* missing.remove("0001_first.sql")
      yield* refused(on(missing).up, "0002_second.sql", /0001 is missing/)
    }).pipe(Effect.provide(database))
  )

  it.live("J4 refuse a file that was slipped in before one that is applied", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const files = yield* directory({ ...first, ...second, "0003_third.sql": "create table third (id int);" })
      yield* on(files).up
      yield* sql`delete from migrations where id = 2`
      yield* refused(on(files).up, "0002_second.sql", /was never applied, though 0003_third.sql/)
    }).pipe(Effect.provide(database))
  )

  it.live("refuse to end their own transaction", () =>
    Effect.gen(function* () {
      const files = yield* directory({ "0001_first.sql": "create table t (id int);\n-- now\nCOMMIT;" })
      yield* refused(on(files).up, "0001_first.sql", /may not say "commit"/)
    }).pipe(Effect.provide(database))
  )

  it.live("have a fingerprint that follows every change", () =>
    Effect.gen(function* () {
      const files = yield* directory(first)
      const before = yield* on(files).fingerprint
      assert.strictEqual(yield* on(files).fingerprint, before)
      yield* files.write("0002_second.sql", "select 1")
      const after = yield* on(files).fingerprint
      assert.notStrictEqual(after, before)
      yield* files.write("0002_second.sql", "select 2")
      assert.notStrictEqual(yield* on(files).fingerprint, after)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("of the product apply to an empty database", () =>
    Effect.gen(function* () {
      const done = yield* Migrations.up
      assert.isAbove(done.length, 0)
      assert.isTrue((yield* Migrations.status).every(({ state }) => state === "applied"))
    }).pipe(Effect.provide(database))
  )
})
