import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { Challenges } from "@broker/core/challenges/Challenges"
import { isSound, verifies } from "@broker/core/crypto/Ed25519"
import { digestOf, isDigestOf, Secrets } from "@broker/core/crypto/Secrets"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { AdminName } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { PublicKey, Signature } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Logger, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"

const { browser } = Fixtures

const password = Redacted.value(Fixtures.password)

/** All that a broker does with secrets; tells them. */
const story = Effect.gen(function* () {
  const admins = yield* Admins
  const sessions = yield* AdminSessions
  const keys = yield* RegistrationKeys
  const servers = yield* Servers
  const tokens = yield* ServerTokens
  const challenges = yield* Challenges

  const link = Option.getOrThrow(yield* admins.setupTicket)
  const owner = yield* admins.setup(
    { token: link, name: AdminName.make("ada"), password: Redacted.make(password) },
    browser
  )
  const session = yield* sessions.begin(
    (yield* sessions.authenticate(owner.ticket)).id,
    { method: "password", factor: true },
    { ...browser, known: Option.fromNullishOr(owner.browser) }
  )
  if (session._tag !== "Open") return assert.fail("a factor was asked for")
  yield* Effect.flip(sessions.signIn({ name: "ada", password: Redacted.make("wrong horse battery") }, browser))

  const pair = Fixtures.keyPair()
  const key = yield* Fixtures.registrationKey({ useLimit: 2 })
  const lost = yield* Fixtures.join(key, pair, { name: "fra-1" }, "idempotency-1")
  const kept = yield* Fixtures.join(key, pair, { name: "fra-1" })
  const server = { id: kept.server.id, organizationId: defaultOrganizationId, pair }
  yield* tokens.authenticate(Fixtures.credential("serverToken", kept.token))
  const rotated = yield* tokens.rotate(server.id)
  yield* tokens.authenticate(Fixtures.credential("serverToken", rotated))
  yield* Effect.flip(Fixtures.join(key, Fixtures.keyPair(), { name: "fra-1" }))
  const replacement = yield* Fixtures.registrationKey({ replacesServerId: server.id })
  const replaced = yield* Fixtures.join(replacement, Fixtures.keyPair(), { name: "fra-1" })
  yield* keys.revoke(defaultOrganizationId, key.id)
  const asked = yield* challenges.issue(server.id, "requested")
  yield* Effect.flip(challenges.answer(server, asked.id, yield* Fixtures.signature(server, asked)))
  yield* servers.retire(defaultOrganizationId, server.id, "sold")

  const credentials = [key.secret, replacement.secret, lost.token, kept.token, rotated, replaced.token]
  return [
    ...credentials.map((secret) => Redacted.value(secret).slice(30, 62)),
    ...[link, owner.ticket, owner.browser ?? link, session.session.ticket].map((ticket) => Redacted.value(ticket)),
    password,
    "wrong horse battery"
  ]
})

/** Where a text, or the bytes it spells, stands in the database. */
const places = Effect.fnUntraced(function* (secret: string) {
  const sql = yield* SqlClient.SqlClient
  const columns = yield* sql<{ table: string; column: string; type: string }>`
    select table_name as "table", column_name as "column", data_type as type
      from information_schema.columns
     where table_schema = 'public'`
  const found: Array<string> = []
  for (const { column, table, type } of columns) {
    const within = sql.literal(`"${column}"`)
    const condition =
      type === "bytea"
        ? sql`position(${Buffer.from(secret)}::bytea in ${within}) > 0
              or position(${Buffer.from(secret, "base64url")}::bytea in ${within}) > 0`
        : sql`position(${secret}::text in ${within}::text) > 0`
    const rows = yield* sql`select 1 from ${sql.literal(`"${table}"`)} where ${condition} limit 1`
    if (rows.length > 0) found.push(`${table}.${column}`)
  }
  return found
})

layer(Fixtures.layer)("Secrets", (it) => {
  it.effect("B9 no secret stands anywhere in the database or in the log, whatever happens", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const listening = Logger.layer([
        Logger.map(Logger.formatJson, (line) => {
          lines.push(line)
        })
      ])
      const secrets = yield* Effect.provide(story, listening)
      const found = yield* Effect.forEach(secrets, places)
      const logged = secrets.filter((secret) => lines.some((line) => line.includes(secret)))
      assert.deepStrictEqual([found.flat(), logged], [[], []])
    })
  )

  it.effect("B9 the search for them finds what does stand there", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const digest = Buffer.alloc(32, 7)
      yield* sql`insert into setup_links (digest, created_at) values (${digest}, now())`
      yield* Fixtures.organization
      assert.include(yield* places(digest.toString("base64url")), "setup_links.digest")
      assert.include(yield* places("organization-"), "organizations.name")
    })
  )

  it.effect("B9 only the secret that was digested matches its digest", () =>
    Effect.gen(function* () {
      const secrets = yield* Secrets
      const id = yield* secrets.id
      const { digest, secret } = yield* secrets.mint("serverToken", id)
      const { secret: other } = yield* secrets.mint("serverToken", id)
      assert.deepStrictEqual([isDigestOf(digest, secret), isDigestOf(digest, other)], [true, false])
      assert.strictEqual(Buffer.from(digestOf(secret), "base64url").length, 32)
    }).pipe(Effect.provide(Secrets.layer))
  )

  it.effect("ids sort in the order they were made in", () =>
    Effect.gen(function* () {
      const secrets = yield* Secrets
      const ids = yield* Effect.forEach(Array.from({ length: 1_000 }), () => secrets.id)
      assert.deepStrictEqual(ids.toSorted(), ids)
      assert.strictEqual(new Set(ids).size, 1_000)
    }).pipe(Effect.provide(Secrets.layer))
  )
})

describe("Ed25519", () => {
  // RFC 8032, section 7.1, test 2.
  const key = PublicKey.make(
    Buffer.from("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "hex").toString("base64url")
  )
  const signature = Buffer.from(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    "hex"
  )
  const spelled = (bytes: Buffer) => Signature.make(bytes.toString("base64url"))

  it("takes the signature of the standard's example", () => {
    assert.isTrue(isSound(key))
    assert.isTrue(verifies(key, "r", spelled(signature)))
  })

  it("refuses it for another text", () => {
    assert.isFalse(verifies(key, "s", spelled(signature)))
  })

  it("refuses the same signature spelled another way", () => {
    // S + L, which a careless verifier takes as S.
    const order = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order
    const spelling = Buffer.concat([
      signature.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse()
    ])
    assert.isFalse(verifies(key, "r", spelled(spelling)))
  })

  it.each([0, 1, 31, 32, 33, 63])("refuses it when bit 0 of byte %i is another", (at) => {
    const changed = Buffer.from(signature)
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.isFalse(verifies(key, "r", spelled(changed)))
  })

  it("the last canonical key before the prime is taken for what it is", () => {
    // p - 2, which is below the prime and of no low order.
    const bytes = Buffer.from(`eb${"ff".repeat(30)}7f`, "hex")
    assert.isTrue(isSound(PublicKey.make(bytes.toString("base64url"))))
  })
})
