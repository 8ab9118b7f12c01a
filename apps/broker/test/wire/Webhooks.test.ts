/** W1, J2: a broker is killed while it sends events to webhooks; none is lost, and each subject's come in order. */
import { randomInt, randomUUID } from "node:crypto"
import { createServer } from "node:http"
import * as Networks from "@broker/core/api-tokens/Networks"
import { Option } from "effect"
import { Webhook } from "standardwebhooks"
import { assert, describe, it } from "vitest"
import { serve } from "./Process.ts"
import { eventually, query, sharedDatabase, start } from "./Wire.ts"

const subjectCount = 12
const eventsPerSubject = 15

interface Heard {
  readonly at: number
  readonly id: string
  readonly subject: string
  readonly body: string
}

/** A receiver as its makers would write it: it checks the signature with the kept library, and takes its time. */
const receiver = async () => {
  const secrets = new Map<string, string>()
  const heard = new Map<string, Array<Heard>>()
  const complaints: Array<string> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const path = request.url ?? ""
      const body = Buffer.concat(chunks).toString()
      try {
        const headers = Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, String(value)])
        )
        new Webhook(secrets.get(path) ?? "").verify(body, headers)
        const { id, subject } = JSON.parse(body)
        if (headers["webhook-id"] !== id) complaints.push(`${id} came as ${headers["webhook-id"]}`)
        heard.set(path, [...(heard.get(path) ?? []), { at: performance.now(), id, subject: subject.id, body }])
      } catch (error) {
        complaints.push(String(error))
      }
      setTimeout(() => response.writeHead(204).end(), randomInt(10, 40))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    secrets,
    heard,
    complaints,
    url: (path: string) => `http://127.0.0.1:${port}${path}`,
    count: () => [...heard.values()].reduce((sum, { length }) => sum + length, 0),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

describe("kill -9 amid deliveries", { timeout: 60_000 }, () => {
  it("W1 J2: every event comes, in order per subject, again only under its id, and within seconds", async () => {
    await using shared = await sharedDatabase()
    await using there = await receiver()
    const seed = await start({
      database: shared.database,
      audience: "http://broker.test",
      webhooks: { http: true, allowedNetworks: Option.toArray(Networks.parse("127.0.0.1")) }
    })
    for (const path of ["/one", "/two"]) {
      const { secret } = await seed.webhook(there.url(path), ["server.updated"])
      there.secrets.set(path, secret)
    }
    await seed[Symbol.asyncDispose]()

    const reach = { WEBHOOK_NETWORKS: "127.0.0.1", WEBHOOK_HTTP: "yes" }
    await using doomed = await serve(shared.database, reach)
    await using _ = await serve(shared.database, reach)

    const subjects = Array.from({ length: subjectCount }, () => randomUUID())
    const happened = new Map<string, Array<string>>(subjects.map((subject) => [subject, []]))
    const rows = Array.from({ length: subjectCount * eventsPerSubject }, (_, n) => {
      const subject = subjects[n % subjectCount] ?? assert.fail()
      const id = randomUUID()
      happened.get(subject)?.push(id)
      return `('${id}'::uuid, '${subject}'::uuid, ${n})`
    })
    await query(
      shared.database,
      `insert into event_outbox (id, organization_id, type, subject_kind, subject_id, subject_name, data, at)
       select e.id, o.id, 'server.updated', 'server', e.subject, 'fra-1',
              jsonb_build_object('server', name_of(e.subject, 'fra-1'), 'group', null, 'changed', '["tags"]'::jsonb),
              clock_timestamp()
         from (values ${rows.join(", ")}) as e (id, subject, n), (select id from organizations limit 1) o
        order by e.n`
    )
    const total = 2 * rows.length
    const killedAfter = randomInt(20, total / 2)
    await eventually("some are delivered", () => there.count() >= killedAfter, { everyMs: 1 })
    doomed.child.kill("SIGKILL")
    const killedAt = performance.now()
    assert.strictEqual(await doomed.exited, "SIGKILL")
    const left = async () => {
      const [row] = await query(shared.database, "select count(*)::int as n from webhook_lanes")
      return row?.["n"] === 0
    }
    await eventually("all are delivered", left, { withinMs: 20_000, everyMs: 50 })

    assert.deepStrictEqual(there.complaints, [])
    let again = 0
    let last = 0
    for (const path of ["/one", "/two"]) {
      const heard = there.heard.get(path) ?? []
      for (const [subject, events] of happened) {
        const came = heard.filter((one) => one.subject === subject)
        const firsts = came.filter(({ id }, at) => came.findIndex((one) => one.id === id) === at)
        assert.deepStrictEqual(
          firsts.map(({ id }) => id),
          events
        )
        for (const [at, { body, id }] of came.entries()) {
          const first = firsts.find((one) => one.id === id)
          assert.strictEqual(body, first?.body)
          // Whatever comes again comes before its successor.
          if (first !== came[at]) assert.strictEqual(came[at - 1]?.id, id)
        }
        again += came.length - firsts.length
      }
      last = Math.max(last, ...heard.map(({ at }) => at))
    }
    // At most what was under way.
    assert.isAtMost(again, 2 * 8)
    const took = Math.round(last - killedAt)
    console.log(
      `${total} deliveries, killed after ${killedAfter}: none lost, ${again} made again, done ${took} ms later`
    )
  })
})
