/** The inventory as a download and as a file that is imported: who may, and how much of it is taken. */
import { maxInventory } from "@broker/domain/Inventory"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { failure, procedure, signIn } from "./Dashboard.ts"
import { serving } from "./Gateway.ts"
import { start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let owner: string
let viewer: string
beforeAll(async () => {
  broker = await start()
  await broker.admin("Ada", password)
  await broker.admin("Viktor", password, "viewer")
  owner = await signIn(broker, "Ada", password)
  viewer = await signIn(broker, "Viktor", password)
  await serving(broker, await broker.key(), "fra-1")
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const download = (query: string, cookie?: string) =>
  broker.ask("GET", `/rpc/inventory/export?${query}`, { headers: cookie === undefined ? {} : { cookie } })
const recorded = (action: string) =>
  broker.sql(`select outcome, actor_name from audit_entries where action = '${action}' order by at`)

const header = "kind,group,name,tags\r\n"
/** Groups, so many that the file has about as many bytes. */
const fileOf = (bytes: number) => {
  const row = (at: number) => `group,eu/site ${at},,\r\n`
  return `${header}group,eu,,\r\n${Array.from({ length: Math.ceil(bytes / row(1_000).length) }, (_, at) => row(at)).join("")}`
}
const plan = (text: string, cookie?: string) =>
  procedure(broker, "mutation", "inventory.plan", { format: "csv", text }, cookie)

describe("the inventory", () => {
  it("A6 is downloaded by whoever may, and by nobody else; both is recorded", async () => {
    const answer = await download("format=csv", owner)
    assert.strictEqual(answer.status, 200)
    assert.match(
      answer.headers.get("content-disposition") ?? "",
      /^attachment; filename="inventory-\d{4}-\d\d-\d\d\.csv"$/
    )
    assert.strictEqual(answer.headers.get("cache-control"), "no-store")
    assert.include(answer.text, "fra-1")
    assert.strictEqual(JSON.parse((await download("format=json", owner)).text).format, "broker-inventory")
    const refused = await download("format=csv", viewer)
    assert.strictEqual(`${refused.status} ${refused.json["code"]}`, "403 permission_missing")
    assert.strictEqual((await download("format=csv")).status, 401)
    assert.strictEqual((await download("format=xml", owner)).status, 400)
    assert.deepStrictEqual(await recorded("inventory:export"), [
      { outcome: "done", actor_name: "Ada" },
      { outcome: "done", actor_name: "Ada" },
      { outcome: "refused", actor_name: "Viktor" }
    ])
  })

  it("is taken as a file that is larger than any other body, from whoever may, and no larger than an import", async () => {
    const large = fileOf(300_000)
    const looked = await plan(large, owner)
    assert.strictEqual(looked.status, 200, looked.text.slice(0, 400))
    const refused = await plan(large, viewer)
    assert.strictEqual(failure(refused).problem, "permission_missing")
    assert.strictEqual((await plan(large)).status, 401)
    assert.strictEqual((await plan(" ".repeat(2 * maxInventory.bytes), owner)).status, 413)
    // Everything else takes what it took before.
    const other = { name: "Ada", email: null, note: "x".repeat(100_000) }
    assert.strictEqual((await procedure(broker, "mutation", "users.create", other, owner)).status, 413)
  }, 30_000)
})
