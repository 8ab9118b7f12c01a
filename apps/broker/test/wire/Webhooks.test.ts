/**
 * W1, J2: a broker is killed while it sends events to webhooks; none is lost, and each subject's come in order. By https,
 * to whoever proves their name.
 */
import { randomInt, randomUUID } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Networks from "@broker/core/api-tokens/Networks"
import { Option } from "effect"
import { Webhook } from "standardwebhooks"
import { assert, describe, it } from "vitest"
import { type Certificate, selfSigned } from "./certificate.ts"
import { serve } from "./Process.ts"
import { eventually, query, sharedDatabase, start } from "./Wire.ts"

const subjectCount = 12
const eventsPerSubject = 10

interface Heard {
  readonly at: number
  readonly id: string
  readonly subject: string
  readonly body: string
}

/** A receiver as its makers would write it: it checks the signature with the kept library, and takes its time. */
const receiver = async ({ cert, key }: Certificate) => {
  const secrets = new Map<string, string>()
  const heard = new Map<string, Array<Heard>>()
  const complaints: Array<string> = []
  const server = createServer({ cert, key }, (request, response) => {
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
    url: (path: string) => `https://localhost:${port}${path}`,
    count: () => [...heard.values()].reduce((sum, { length }) => sum + length, 0),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

describe("kill -9 amid deliveries", { timeout: 120_000 }, () => {
  it("W1 J2: every event comes, in order per subject, again only under its id, and within seconds", async () => {
    await using shared = await sharedDatabase()
    const trusted = selfSigned("receiver")
    await using there = await receiver(trusted)
    await using impostor = await receiver(selfSigned("impostor"))
    const folder = await mkdtemp(join(tmpdir(), "broker-ca-"))
    await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
    await writeFile(join(folder, "ca.pem"), trusted.cert)
    const inside = ["127.0.0.1", "::1"]
    const seed = await start({
      database: shared.database,
      audience: "http://broker.test",
      webhooks: { allowedNetworks: inside.flatMap((address) => Option.toArray(Networks.parse(address))) }
    })
    for (const path of ["/one", "/two"]) {
      const { secret } = await seed.webhook(there.url(path), ["server.updated"])
      there.secrets.set(path, secret)
    }
    const { id: misled } = await seed.webhook(impostor.url("/three"), ["server.updated"])
    await seed[Symbol.asyncDispose]()

    const reach = { WEBHOOK_NETWORKS: inside.join(), NODE_EXTRA_CA_CERTS: join(folder, "ca.pem") }
    const nodes = await Promise.all([1, 2].map(() => serve(shared.database, reach, 40_000)))
    const [first = assert.fail(), second = assert.fail()] = nodes
    await using doomed = first
    await using _ = second

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
      const [row] = await query(
        shared.database,
        `select count(*)::int as n from webhook_lanes where webhook_id <> '${misled}'`
      )
      return row?.["n"] === 0
    }
    await eventually("all are delivered", left, { withinMs: 30_000, everyMs: 50 })

    assert.deepStrictEqual(there.complaints, [])
    // Nothing is told to somebody who cannot prove the name.
    assert.deepStrictEqual([impostor.count(), impostor.complaints], [0, []])
    const [{ problem } = {}] = await query(
      shared.database,
      `select last_problem as problem from webhooks where id = '${misled}'`
    )
    assert.match(String(problem), /self-signed certificate/)
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
