/**
 * Ten thousand requests and more that are wrong by chance: bodies from the OpenAPI document and from the schemas of
 * the dashboard's procedures, and around them methods, paths, headers and framing that no client would send. What the
 * schemas refuse one by one is tried in `wire/Hostile.test.ts`; here several things are wrong at once.
 *
 * `FUZZ_SEED` repeats a run that failed.
 */
import { Duration } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { mutation, pick, randomFrom } from "../wire/Hostile.ts"
import { type RawAnswer, type RawRequest, raw } from "../wire/Raw.ts"
import {
  apiTargets,
  complaintOf,
  faultyLines,
  rpcTargets,
  type Stage,
  sessionTargets,
  setUp,
  type Target
} from "../wire/Targets.ts"
import { start } from "../wire/Wire.ts"

const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 32)
const random = randomFrom(seed)
const label = `FUZZ_SEED=${seed}`

const bodies = 8_000
const framings = 3_000

let stage: Stage
let targets: ReadonlyArray<Target>
beforeAll(async () => {
  const long = Duration.minutes(30)
  const broker = await start({
    policy: { challengeLifetime: long, heartbeatInterval: long },
    connections: { sessionLifetime: long, intentLifetime: long, grantLifetime: long, settlement: long }
  })
  stage = await setUp(broker)
  targets = [
    ...apiTargets(stage),
    ...sessionTargets(stage),
    // A stream stays open; its input is tried one by one elsewhere.
    ...rpcTargets(stage).filter(({ name }) => name !== "fleet.live")
  ]
})
afterAll(() => stage?.broker[Symbol.asyncDispose]())

/** Who may do what: nobody's may change by what somebody sends wrongly. What is new may be there, as an owner may make it. */
const rights = async () => {
  const tables = {
    organizations: "id, name",
    memberships: "admin_id, organization_id, role, custom_role_id, disabled_at",
    admins: "id, name, password_hash, totp_secret, totp_confirmed_at",
    passkeys: "id, admin_id, public_key",
    registration_keys: "id, organization_id, revoked_at"
  }
  const rows = await Promise.all(
    Object.entries(tables).map(async ([table, columns]) => {
      const made = `created_at <= '${began}'`
      return [table, await stage.broker.sql(`select (${columns})::text as row from ${table} where ${made} order by 1`)]
    })
  )
  const server = await stage.broker.sql(`select admission, verified from servers where id = '${stage.gateway.id}'`)
  return { ...Object.fromEntries(rows), server }
}
let began: string

const headersOf = (target: Target): ReadonlyArray<readonly [string, string]> => {
  const { client, cookie } = stage
  const origin = ["origin", stage.broker.url] as const
  if (target.path.startsWith("/rpc/")) return [["cookie", cookie], origin, ["host", new URL(stage.broker.url).host]]
  return [["authorization", `Bearer ${target.bearer ?? client.token}`]]
}

const json = ["content-type", "application/json"] as const

const bodyRequest = (target: Target): RawRequest => {
  const body = mutation(target, random)
  if (target.method === "GET") {
    // Whatever does not fit a URL would be refused by its length alone.
    const input = encodeURIComponent(Buffer.from(body).toString("latin1")).slice(0, 6_000)
    return { method: "GET", path: `${target.path}?input=${input}`, headers: headersOf(target) }
  }
  const chunkedBy = random() < 0.1 ? { chunkedBy: 1 + Math.floor(random() * 500) } : {}
  return { method: target.method, path: target.path, headers: [json, ...headersOf(target)], body, ...chunkedBy }
}

const methods = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "PROPFIND",
  "QUERY",
  "get",
  "G'ET"
]

const types = [
  "application/json",
  "application/json; charset=utf-16",
  "application/jsonp",
  "text/plain",
  "text/html",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "multipart/form-data",
  "application/xml",
  "application/grpc",
  "",
  ";",
  "application/json, text/plain",
  "a/b".repeat(200)
]

const oddities: ReadonlyArray<readonly [string, string]> = [
  ["x-forwarded-for", "127.0.0.1, ::1, <script>"],
  ["x-forwarded-proto", "https"],
  ["x-forwarded-host", "evil.example"],
  ["x-original-url", "/rpc/admins.list"],
  ["x-rewrite-url", "/metrics"],
  ["x-http-method-override", "DELETE"],
  ["x-request-id", "\\x1b[31m' or 1=1"],
  ["forwarded", "for=127.0.0.1;host=evil.example;proto=https"],
  ["accept", "text/html;q=nonsense, */*;q=-1"],
  ["accept-encoding", "br;q=9, *;q=0, gzip, identity;q=0"],
  ["if-none-match", "*"],
  ["if-none-match", `"${"x".repeat(1_000)}"`],
  ["range", "bytes=0-0,1-1,2-,-1"],
  ["expect", "100-continue"],
  ["expect", "the unexpected"],
  ["upgrade", "websocket"],
  ["connection", "keep-alive, upgrade, x-nothing"],
  ["content-encoding", "gzip"],
  ["content-length", "-1"],
  ["content-length", "5, 5"],
  ["transfer-encoding", "gzip, chunked"],
  ["transfer-encoding", "\u000bchunked"],
  ["te", "trailers"],
  ["cookie", "broker_session=; broker_session=x; __proto__=1; =;;"],
  ["cookie", `a=${"x".repeat(4_000)}`],
  ["authorization", "Bearer \u00ff\u00fe"],
  ["authorization", "Basic YWRhOmFkYQ=="],
  ["idempotency-key", "\u00e9\u0001"],
  ["traceparent", "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff"],
  ["user-agent", '\u001b[2J"}\\n{"level":"FATAL"'],
  ["host", "evil.example"],
  ["host", "a:b:c@[::1"],
  ["x-long", "x".repeat(7_000)],
  ["x-too-long", "x".repeat(20_000)],
  ["no colon and a \u0000", "x"]
]

const pieces = [
  "..",
  ".",
  "%2e%2e",
  "%2f",
  "%00",
  "%ff",
  "%",
  "\\",
  "//",
  ";",
  "*",
  "'",
  "\u00ff",
  "~",
  "__proto__",
  "?",
  "#",
  "@",
  "x".repeat(500)
]

const pathOf = (known: ReadonlyArray<string>) => {
  const path = pick(random, known)
  if (random() < 0.5) return path
  const parts = path.split("/")
  parts[Math.floor(random() * parts.length)] = pick(random, pieces)
  const query = random() < 0.3 ? `?${pick(random, pieces)}=${pick(random, pieces)}&batch=1&input=%7B` : ""
  const all = `${parts.join("/")}${query}`.replaceAll(" ", "")
  return random() < 0.05 ? `http://evil.example${all}` : all === "" ? "/" : all
}

/** Signing out, leaving, and taking a factor of one's own away: a method alone does it, and rightly so. */
const rightful =
  /^(?:http:\/\/evil\.example)?\/(?:rpc\/(?:session|account\/totp)|api\/v1\/(?:sessions\/current|servers\/self))(?:[?#]|$)/

const framed = (known: ReadonlyArray<string>): RawRequest => {
  const target = pick(random, targets)
  const method = pick(random, methods)
  const strange = Array.from({ length: Math.floor(random() * 4) }, () => pick(random, oddities))
  const withBody = random() < 0.6
  const path = random() < 0.3 ? target.path : pathOf(known)
  if (method === "DELETE" && rightful.test(path)) return framed(known)
  return {
    method,
    path,
    headers: [
      ...(random() < 0.5 ? headersOf(target).filter(([name]) => name !== "host") : []),
      ...(random() < 0.7 ? [["content-type", pick(random, types)] as const] : []),
      ...strange
    ],
    ...(withBody ? { body: mutation(target, random) } : {}),
    ...(withBody && random() < 0.3 ? { chunkedBy: 1 + Math.floor(random() * 100) } : {})
  }
}

/** Sends all of them over a few connections that are kept; tells what is wrong with which answer. */
const sendAll = async (count: number, next: () => RawRequest, judge: (answer: RawAnswer) => string | undefined) => {
  const complaints: Array<string> = []
  const statuses = new Map<number, number>()
  let left = count
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const connection = raw(stage.broker.url)
      while (left > 0) {
        left -= 1
        const request = next()
        // Once more where it was hung up on: the broker may have closed after the request before.
        const answer = (await connection.ask(request)) ?? (await connection.ask(request))
        statuses.set(answer?.status ?? 0, (statuses.get(answer?.status ?? 0) ?? 0) + 1)
        const wrong = answer === undefined ? "was hung up on" : judge(answer)
        if (wrong === undefined) continue
        const shown = JSON.stringify({ ...request, body: request.body === undefined ? "" : String(request.body) })
        complaints.push(`${wrong} to ${shown.slice(0, 600)}`)
      }
      connection.close()
    })
  )
  assert.deepStrictEqual(complaints.slice(0, 10), [], label)
  return statuses
}

describe(`wrong by chance (${label})`, { timeout: 240_000 }, () => {
  it("bodies and inputs of everything that takes any: no fault, nothing of the inside, no secret, nobody's rights", async () => {
    began = String((await stage.broker.sql("select now()::text as now"))[0]?.["now"])
    const before = await rights()
    const statuses = await sendAll(
      bodies,
      () => bodyRequest(pick(random, targets)),
      (answer) => complaintOf(answer, stage.secrets)
    )
    assert.deepStrictEqual(await rights(), before, label)
    // Not all of it was turned away at the door.
    assert.isAbove((statuses.get(200) ?? 0) + (statuses.get(404) ?? 0), bodies / 20, label)
    assert.isAbove(statuses.get(400) ?? 0, bodies / 4, label)
    const still = await stage.broker.ask("GET", "/rpc/session.current", { headers: { cookie: stage.cookie } })
    assert.strictEqual(still.status, 200, label)
  })

  it("methods, paths, headers and framing: an answer each time, and never a fault", async () => {
    const known = [
      ...Object.keys(stage.document.paths).map((path) =>
        path.replaceAll(/\{\w+\}/g, "019845e1-682f-7b02-a706-3b2422d13aec")
      ),
      ...targets.map(({ path }) => path),
      "/",
      "/docs",
      "/healthz",
      "/readyz",
      "/metrics",
      "/problems/rate_limited",
      "/.well-known/jwks.json",
      "/rpc/audit/export",
      "/rpc/session.current,fleet.overview",
      "/rpc/single-sign-on"
    ]
    const before = await rights()
    const statuses = await sendAll(
      framings,
      () => framed(known),
      (answer) => {
        // The pages are the same for everybody, whatever was sent; their scripts have words of SQL and stacks.
        if (answer.status === 200 && (answer.headers.get("content-type") ?? "").startsWith("text/html"))
          return undefined
        // What is not HTTP is refused before it is a request, by an answer without an id.
        if (answer.headers.get("x-request-id") !== null || answer.status >= 500)
          return complaintOf(answer, stage.secrets)
        return [400, 408, 413, 417, 431].includes(answer.status) ? undefined : `has no id: ${answer.status}`
      }
    )
    assert.deepStrictEqual(await rights(), before, label)
    assert.isAbove(statuses.size, 6, label)
  })

  it("leaves no fault, no stack and no secret in the log, each line of which is one object", () => {
    assert.isAbove(stage.broker.log.length, bodies)
    assert.deepStrictEqual(faultyLines(stage).slice(0, 5), [], label)
  })
})
