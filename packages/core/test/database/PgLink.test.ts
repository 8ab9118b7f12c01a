import { execFileSync, spawnSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import * as Database from "@broker/core/Database"
import * as PgLink from "@broker/core/database/PgLink"
import * as SqlFailure from "@broker/core/database/SqlFailure"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as FaultProxy from "./FaultProxy.ts"

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0

/** A server that speaks TLS with a certificate that this process trusts. */
const encryptedServer = Effect.gen(function* () {
  const dataDir = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-tls-"))),
    (dataDir) => Effect.ignore(EmbeddedPostgres.discard(dataDir))
  )
  const onProgress = () => Effect.void
  yield* Effect.scoped(EmbeddedPostgres.acquire({ dataDir, onProgress }))
  yield* Effect.promise(async () => {
    const [key, certificate] = [
      Path.join(dataDir, "cluster", "server.key"),
      Path.join(dataDir, "cluster", "server.crt")
    ]
    const { gid, uid } = await Fs.stat(Path.join(dataDir, "password"))
    execFileSync(
      "openssl",
      [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split(" "),
        ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
      ],
      { stdio: "ignore" }
    )
    await Fs.chmod(key, 0o600)
    await Fs.chown(key, uid, gid)
    Tls.setDefaultCACertificates([...Tls.getCACertificates(), await Fs.readFile(certificate, "utf8")])
  })
  const { url } = yield* EmbeddedPostgres.acquire({ dataDir, onProgress, settings: { ssl: "on" } })
  return Redacted.make(`${Redacted.value(url)}?sslmode=require`)
})

const pool = (url: Redacted.Redacted) =>
  Effect.map(Layer.build(Database.layer({ url, maxConnections: 2 })), (services) =>
    Context.get(services, SqlClient.SqlClient)
  )

const target = (url: string) => Option.getOrUndefined(PgLink.target(Redacted.make(url)))

describe("PgLink", () => {
  it("reads a URL as the driver does", () => {
    assert.deepStrictEqual(target("postgres://a:b@db.example/x"), {
      host: "db.example",
      port: 5432,
      isEncrypted: false
    })
    assert.deepStrictEqual(target("postgres://a@[::1]:6432/x"), { host: "::1", port: 6432, isEncrypted: false })
    assert.deepStrictEqual(target("postgres:///x?host=h&port=7"), { host: "h", port: 7, isEncrypted: false })
    assert.deepStrictEqual(target("postgresql:///x"), { host: "localhost", port: 5432, isEncrypted: false })
    for (const mode of ["require", "verify-full", "prefer"]) {
      assert.isTrue(target(`postgres://h/x?sslmode=${mode}`)?.isEncrypted, mode)
    }
    assert.isFalse(target("postgres://h/x?sslmode=disable")?.isEncrypted)
  })

  it("leaves Unix-domain sockets to the driver", () => {
    assert.isUndefined(target("postgres:///x?host=/var/run/postgresql"))
    assert.isUndefined(target("not a url"))
  })

  it.live.skipIf(!hasOpenssl)("F5 watches encrypted connections too", () =>
    Effect.gen(function* () {
      const proxy = yield* FaultProxy.make(yield* encryptedServer)
      const sql = yield* pool(proxy.url)
      const [row] = yield* sql`
        select ssl, length(repeat('x', 5000000)) as sent, repeat('x', 5000000) as text
          from pg_stat_ssl
         where pid = pg_backend_pid()`
      assert.deepInclude(row, { ssl: true, sent: 5_000_000 })
      assert.lengthOf(`${row?.["text"]}`, 5_000_000)

      yield* proxy.stall
      const [took, error] = yield* Effect.timed(Effect.flip(sql`select 1`))
      assert.isTrue(SqlFailure.isUnavailable(error))
      assert.isBelow(Duration.toMillis(took), 7_000)
      yield* proxy.heal
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    })
  )
})
