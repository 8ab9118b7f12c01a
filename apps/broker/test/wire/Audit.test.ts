/** The audit log as a download: who may have it, and that it proves itself (A6). */
import { hash } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { procedure, signIn } from "./Dashboard.ts"
import { start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let owner: string
beforeAll(async () => {
  broker = await start()
  await broker.admin("Ada", password)
  await broker.admin("Viktor", password, "viewer")
  owner = await signIn(broker, "Ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const download = (query: string, cookie?: string, headers: Readonly<Record<string, string>> = {}) =>
  broker.ask("GET", `/rpc/audit/export?${query}`, {
    headers: { ...(cookie === undefined ? {} : { cookie }), ...headers }
  })

describe("the export", () => {
  it("is a file of lines that SHA-256 alone can check", async () => {
    await procedure(broker, "mutation", "users.create", { name: "=cmd()", email: null, note: "" }, owner)
    const answer = await download("format=json", owner)
    assert.strictEqual(answer.status, 200)
    assert.strictEqual(answer.headers.get("content-type"), "application/x-ndjson")
    assert.match(
      answer.headers.get("content-disposition") ?? "",
      /^attachment; filename="audit-log-\d{4}-\d\d-\d\d\.ndjson"$/
    )
    const lines = answer.text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    const entries = lines.filter((line) => line.checkpoint === undefined)
    let before = "0".repeat(64)
    for (const entry of entries) {
      assert.strictEqual(JSON.parse(entry.text)[0], before)
      assert.strictEqual(hash("sha256", entry.text, "hex"), entry.hash)
      before = entry.hash
    }
    const actions = entries.map(({ action }) => action)
    assert.includeMembers(actions, ["admins:create", "admins:sign-in", "users:create", "audit-log:export"])
    assert.strictEqual(actions.at(-1), "audit-log:export")
  })

  it("takes the filters of the page", async () => {
    const answer = await download("format=csv&action=users:create&actorKinds=admin&actorKinds=command", owner)
    const lines = answer.text.trimEnd().split("\r\n")
    assert.match(lines[0] ?? "", /^seq,at,actor_kind/)
    assert.strictEqual(lines.filter((line) => line.includes(",users:create,")).length, 1)
    assert.isFalse(answer.text.includes("admins:sign-in"))
  })

  it("refuses whoever may not, and records it", async () => {
    const viewer = await signIn(broker, "Viktor", password)
    const answer = await download("format=csv", viewer)
    assert.strictEqual(`${answer.status} ${answer.json["code"]}`, "403 permission_missing")
    const entries = await broker.sql("select outcome, actor_name from audit_entries where action = 'audit:export'")
    assert.deepStrictEqual(entries, [{ outcome: "refused", actor_name: "Viktor" }])
  })

  it("refuses nobody's and another site's requests, and what is no filter", async () => {
    assert.strictEqual((await download("format=csv")).status, 401)
    assert.strictEqual((await download("format=csv", owner, { "sec-fetch-site": "cross-site" })).status, 403)
    for (const query of [
      "",
      "format=xml",
      "format=csv&actorId=1",
      "format=csv&from=yesterday",
      "format=csv&outcome=x"
    ]) {
      assert.strictEqual((await download(query, owner)).status, 400, query)
    }
  })
})
