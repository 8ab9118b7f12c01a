/**
 * Somebody has the database's dump, or the broker's log: neither holds anything that signs in. The story before it has
 * every kind of secret shown once; that of registration alone is in `wire/Secrets.test.ts`.
 */
import { readFileSync } from "node:fs"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { authenticator } from "@broker/testing/Authenticator"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { browser } from "../wire/Browser.ts"
import { heartbeat } from "../wire/Gateway.ts"
import { eventually, type Json, start, type Wire } from "../wire/Wire.ts"
import { password, type Tenant, tenant } from "./Tenant.ts"

let broker: Wire
let ours: Tenant
const secrets = new Map<string, string>()

beforeAll(async () => {
  broker = await start()
  secrets.set("setup link", await broker.setupTicket())
  ours = await tenant(broker, defaultOrganizationId, "ours")
  for (const [name, secret] of ours.secrets) secrets.set(name, secret)
  // A sign-in that stops half way, a step-up, and guesses of every kind.
  const half = browser(broker)
  await half.post("session", { name: "ours owner", password })
  secrets.set("half a sign-in", half.jar.get("broker_ceremony") ?? "")
  const key = authenticator(broker.audience)
  const passkey = browser(broker)
  const asked = await passkey.post("session/passkey/options")
  secrets.set("sign-in by passkey", passkey.jar.get("broker_ceremony") ?? "")
  secrets.set("challenge of a passkey", String(asked.json["challenge"]))
  assert.throws(() => key.get(asked.json))
  await passkey.post("session/passkey", { response: { id: "x", response: { signature: "a wrong signature of mine" } } })
  await ours.owner.post("session/step-up/options")
  secrets.set("step-up", ours.owner.jar.get("broker_ceremony") ?? "")
  const [code = ""] = [...ours.secrets].filter(([name]) => name.startsWith("recovery")).map(([, code]) => code)
  await half.post("session/factor", { kind: "recovery-code", code })
  secrets.set("session by recovery code", half.jar.get("broker_session") ?? "")
  const renewed = await ours.owner.post("account/recovery-codes")
  for (const [at, code] of (renewed.json["recoveryCodes"] as ReadonlyArray<string>).entries())
    secrets.set(`new recovery code ${at}`, code)
  const wrong = "a password that was mistyped"
  secrets.set("mistyped password", wrong)
  await broker.ask("POST", "/rpc/session", { body: { name: wrong, password: wrong } })
  await broker.ask("POST", "/rpc/links", { body: { token: secrets.get("reset"), password: wrong } })
  await ours.gateway.ask("POST", "/api/v1/servers/self/heartbeat", { body: heartbeat() })
  await broker.ask("GET", "/api/v1/servers", { bearer: ours.apiToken })
  await broker.ask("GET", `/api/v1/servers?token=${ours.apiToken}`, { bearer: ours.apiToken })
  await eventually("a checkpoint of the log, which has a key of its own", async () => {
    const [keys] = await broker.sql("select count(*)::int as n from signing_keys")
    return Number(keys?.["n"]) > 0
  })
})
afterAll(() => broker?.[Symbol.asyncDispose]())

/** A secret as it may stand somewhere: as text, as bytes, or as the bytes that it spells. */
const spellings = (secret: string) => {
  const bytes = /^[\w-]{40,}$/.test(secret) ? [Buffer.from(secret, "base64url")] : []
  const base32 = /^[A-Z2-7]{26,}$/.test(secret)
    ? [
        Buffer.from(
          (
            Array.from(secret, (letter) =>
              "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")
            )
              .join("")
              .match(/.{8}/g) ?? []
          ).map((octet) => Number.parseInt(octet, 2))
        )
      ]
    : []
  return [
    secret,
    Buffer.from(secret).toString("hex"),
    Buffer.from(secret).toString("base64"),
    ...[...bytes, ...base32].flatMap((each) => [each.toString("hex"), each.toString("base64")])
  ]
}

describe("J6 B9 a dump of the database", () => {
  let dump: ReadonlyArray<{ readonly table: string; readonly row: string }> = []

  it("is of every table, and has rows of all that was done", async () => {
    const tables = await broker.sql(`
      select schemaname || '.' || tablename as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`)
    const rows = await Promise.all(
      tables.map(async ({ name }) =>
        (await broker.sql(`select t::text as row from ${name} t`)).map(({ row }) => ({
          table: String(name),
          row: String(row)
        }))
      )
    )
    dump = rows.flat()
    const filled = new Set(dump.map(({ table }) => table.replace("public.", "")))
    for (const table of ["admins", "admin_sessions", "admin_ceremonies", "admin_links", "recovery_codes", "passkeys"])
      assert.isTrue(filled.has(table), table)
    for (const table of [
      "api_tokens",
      "known_browsers",
      "server_tokens",
      "personal_keys",
      "signing_keys",
      "audit_entries"
    ])
      assert.isTrue(filled.has(table), table)
  })

  it("holds none of the secrets that were shown, however spelled", () => {
    assert.isAbove(secrets.size, 35)
    const found: Array<string> = []
    for (const [name, secret] of secrets) {
      assert.isAtLeast(secret.length, 11, `${name} is there`)
      // It is in every browser for a minute, and is worth nothing without the authenticator.
      if (name === "challenge of a passkey") continue
      const looked = spellings(secret)
      found.push(
        ...dump
          .filter(({ row }) => looked.some((each) => row.includes(each)))
          .map(({ row, table }) => `${name} in ${table}: ${row}`)
      )
    }
    assert.deepStrictEqual(found, [])
  })

  it("holds no private key in clear: what signs grants and the audit log is sealed", async () => {
    const [keys] = await broker.sql(`
      select count(*) filter (where private_key is not null)::int as clear, count(sealed_key)::int as sealed from signing_keys`)
    assert.strictEqual(keys?.["clear"], 0)
    assert.isAbove(Number(keys?.["sealed"]), 0)
    // PKCS#8 of an Ed25519 key, and the letters that PEM and JWK begin with.
    const clear = dump.filter(({ row }) =>
      /302e020100300506032b6570|BEGIN [A-Z ]*PRIVATE|"d"{1,2}: ?"{1,2}[\w-]{43}/.test(row)
    )
    assert.deepStrictEqual(clear, [])
  })

  it("keeps passwords as argon2id alone", async () => {
    const hashes = await broker.sql("select password_hash as hash from admins where password_hash is not null")
    assert.isAbove(hashes.length, 1)
    for (const { hash } of hashes) assert.match(String(hash), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  })
})

describe("B9 the log, at Debug", () => {
  it("holds none of the secrets, however spelled", () => {
    assert.isAbove(broker.log.length, 20)
    const found: Array<string> = []
    for (const [name, secret] of secrets) {
      const looked = spellings(secret)
      found.push(
        ...broker.log.filter((line) => looked.some((each) => line.includes(each))).map((line) => `${name}: ${line}`)
      )
    }
    assert.deepStrictEqual(found, [])
  })
})

describe("B9 what is shown again of a secret", () => {
  it("is a hint that opens nothing", async () => {
    const shown: Array<unknown> = []
    for (const name of [
      "account.sessions",
      "account.passkeys",
      "account.apiTokens",
      "apiTokens.list",
      "admins.list",
      "admins.invitations"
    ])
      shown.push(await ours.owner.call("query", name))
    shown.push(await ours.owner.call("query", "personalKeys.list", { userId: ours.ids["user"] }))
    shown.push(await ours.owner.call("query", "registrationKeys.list", { states: [], limit: 10, cursor: null }))
    shown.push(
      (await broker.ask("GET", "/rpc/audit/export?format=json", { headers: { cookie: ours.owner.cookie() } })).text
    )
    const text = JSON.stringify(shown as unknown as Json)
    for (const [name, secret] of secrets) {
      if (secret !== "") assert.isFalse(text.includes(secret), name)
    }
  })
})

it("the encryption key is in no file that the repository ships", () => {
  const compose = new URL("../../../../docs/encryption.md", import.meta.url)
  assert.notMatch(readFileSync(compose, "utf8"), /ENCRYPTION_KEY=[\w-]{43}\b/)
})
