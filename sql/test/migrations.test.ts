import { randomUUID } from "node:crypto"
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

/** The product's migrations up to one that was released. */
const productUpTo = Effect.fnUntraced(function* (last: number) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const at = yield* path.fromFileUrl(new URL("../migrations", import.meta.url))
  const names = (yield* fs.readDirectory(at)).filter((name) => Number(name.slice(0, 4)) <= last)
  const texts = yield* Effect.forEach(names, (name) => fs.readFileString(path.join(at, name)))
  return Object.fromEntries(names.map((name, index) => [name, texts[index] ?? ""]))
})

interface ReleasedServer {
  readonly organizationId: string
  readonly keyId: string
  readonly name: string
  readonly version: string | null
  readonly tags?: ReadonlyArray<string>
  readonly labels?: Readonly<Record<string, string>>
  readonly capabilities?: Readonly<Record<string, object>>
  readonly location?: { readonly latitude: number; readonly longitude: number }
}

/** A server that is online, written by the columns that the release of migration 0003 names. */
const insertAsReleased = (sql: SqlClient.SqlClient) =>
  Effect.fnUntraced(function* (server: ReleasedServer) {
    const { capabilities = {}, keyId, labels = {}, location, name, organizationId, tags = [], version } = server
    const id = randomUUID()
    yield* sql`
      insert into servers (
        id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key, version,
        endpoints, capabilities, tags, labels, location, public_address, registration_key_id, registered_at)
      values (
        ${id}, ${organizationId}, ${name}, ${name}, 'approved', now(), 'serving', now(), sha256(${name}::bytea),
        ${version}, '[]', ${JSON.stringify(capabilities)}::jsonb, ${tags}::text[], ${JSON.stringify(labels)}::jsonb,
        ${location === undefined ? null : JSON.stringify(location)}::jsonb, '192.0.2.1', ${keyId}, now())`
    yield* sql`insert into server_presence (server_id, liveness_since) values (${id}, now())`
    yield* sql`update servers set verified_at = now() where id = ${id}`
    yield* sql`update server_presence set liveness = 'online', last_seen_at = now() where server_id = ${id}`
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

  it.live("J4 of the product carry what release 0003 wrote over, and let a node of that release write on", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const released = yield* directory(yield* productUpTo(3))
      yield* on(released).up
      const insertServer = insertAsReleased(sql)
      const [organization] = yield* sql`select id from organizations`
      const organizationId = String(organization?.["id"])
      const keyId = randomUUID()
      yield* sql`
        insert into registration_keys (id, organization_id, name, digest, hint, use_limit, tags, created_by, created_at, expires_at)
        values (${keyId}, ${organizationId}, 'rack 7', sha256('key'), 'brk_reg_…', 9, array['eu'], 'ada', now(), now() + interval '1 day')`
      const common = { organizationId, keyId }
      yield* insertServer({
        ...common,
        name: "fra-1",
        version: "v1.2",
        tags: ["eu", "fast"],
        labels: { rack: "7" },
        capabilities: { vpn: {} },
        location: { latitude: 0, longitude: 90 }
      })
      yield* insertServer({ ...common, name: "unplaced", version: "nightly" })
      yield* insertServer({ ...common, name: "silent", version: null })

      const done = yield* Migrations.up
      assert.strictEqual(applied(done)[0], 4)
      yield* insertServer({ ...common, name: "later", version: "1.10-rc.1", tags: ["eu"] })

      const found = yield* sql`
          select s.name, s.version_key::text[] as version, s.place is null as placeless,
                 array(select facet from unnest(s.facets) as facet order by facet collate "C") as facets,
                 l.live, l.connection_limit as "limit", l.load
            from servers s
            join server_loads l on l.server_id = s.id and l.organization_id = s.organization_id
        order by s.name`
      const load = { live: 0, limit: 1000, load: 0 }
      assert.deepStrictEqual(found, [
        {
          name: "fra-1",
          version: ["1", "2", "0", "0", "1"],
          placeless: false,
          facets: ["capability:vpn", "label:rack:7", "tag:eu", "tag:fast"],
          ...load
        },
        { name: "later", version: ["1", "10", "0", "0", "0"], placeless: true, facets: ["tag:eu"], ...load },
        { name: "silent", version: null, placeless: true, facets: [], ...load },
        { name: "unplaced", version: null, placeless: true, facets: [], ...load }
      ])
      const [placed] = yield* sql`
        select round((place -> 1)::numeric, 6)::float8 as x, round((place -> 2)::numeric, 6)::float8 as y,
               round((place -> 3)::numeric, 6)::float8 as z
          from servers where name = 'fra-1'`
      assert.deepStrictEqual(placed, { x: 0, y: 1, z: 0 })
      const fleet = yield* sql`
          select name, status, live_connections as live, load, version_key is not null as versioned, latitude
            from fleet
        order by name`
      const seen = { status: "online", live: 0, load: 0 }
      assert.deepStrictEqual(fleet, [
        { name: "fra-1", ...seen, versioned: true, latitude: 0 },
        { name: "later", ...seen, versioned: true, latitude: null },
        { name: "silent", ...seen, versioned: false, latitude: null },
        { name: "unplaced", ...seen, versioned: false, latitude: null }
      ])
      const keys = yield* sql`select name, uses, tags from registration_keys`
      assert.deepStrictEqual(keys, [{ name: "rack 7", uses: 0, tags: ["eu"] }])
    }).pipe(Effect.provide(database))
  )

  it.live("of the product apply to an empty database", () =>
    Effect.gen(function* () {
      const done = yield* Migrations.up
      assert.isAbove(done.length, 0)
      assert.isTrue((yield* Migrations.status).every(({ state }) => state === "applied"))
    }).pipe(Effect.provide(database))
  )
})
