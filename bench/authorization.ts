/**
 * What it costs to know who asks, and that guesses cost no less: `node bench/authorization.ts [times]`.
 *
 * The core on a database of its own. Sessions and tokens are looked up as every request does it; sign-ins are timed for
 * a name that is known and one that is not, beside one argon2id alone; heartbeats are timed while sign-ins storm.
 */
import { randomBytes, randomUUID } from "node:crypto"
import { loadavg } from "node:os"
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Passwords } from "@broker/core/admins/Passwords"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Actor } from "@broker/core/audit/Actor"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { format, secretBytes } from "@broker/domain/Credential"
import * as Fixtures from "@broker/testing/Fixtures"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { percentile } from "./measure.ts"

const [times = 20_000] = process.argv.slice(2, 3).map(Number)
const signIns = 60

const line = (label: string, taken: ReadonlyArray<number>) => {
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => percentile(taken, share).toFixed(3).padStart(10))
  console.log(`${label.padEnd(44)} ${String(taken.length).padStart(6)} ${p50} ${p90} ${p99}`)
}

/** Milliseconds that each of so many runs took, one after the other. */
const timed = <A, E, R>(count: number, run: (at: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }), (_, at) =>
    Effect.suspend(() => {
      const begun = performance.now()
      return Effect.map(Effect.exit(run(at)), () => performance.now() - begun)
    })
  )

const from = (address: string) => Effect.provideService(Actor, { ...Fixtures.actor, kind: "stranger", address })

const bench = Effect.gen(function* () {
  const sessions = yield* AdminSessions
  const tokens = yield* ApiTokens
  const passwords = yield* Passwords

  const { admin, ticket } = yield* Fixtures.adminSession()
  const { token } = yield* tokens.create(admin, {
    name: "bench",
    scopes: ["servers:read"],
    networks: ["203.0.113.0/24"],
    expiresInSeconds: 3_600
  })
  const credential = Fixtures.credential("apiToken", token)

  console.log(`load ${loadavg()[0]?.toFixed(1)}; milliseconds`)
  console.log(`${"".padEnd(44)} ${"times".padStart(6)} ${["p50", "p90", "p99"].map((p) => p.padStart(10)).join(" ")}`)
  line("nothing", yield* timed(times, () => Effect.void))
  line(
    "session and permission",
    yield* timed(times, () =>
      Effect.map(sessions.authenticate(ticket), ({ permissions }) => permissions.has("servers:read"))
    )
  )
  line("API token and scope", yield* timed(times, () => tokens.authenticate(credential, "203.0.113.9")))

  const wrong = Redacted.make("a guess that is not right")
  line("argon2id alone", yield* timed(signIns, () => passwords.matches(undefined, wrong)))
  // A name each, as names that failed have to wait.
  const names = yield* Effect.forEach(Array.from({ length: signIns }), () => Fixtures.admin({ role: "viewer" }))
  const guess = (name: string, address: string) =>
    from(address)(sessions.signIn({ name, password: wrong }, Fixtures.browser))
  const [known, unknown] = [[] as number[], [] as number[]]
  for (const [at, { name }] of names.entries()) {
    known.push(...(yield* timed(1, () => guess(name, `10.1.0.${at}`))))
    unknown.push(...(yield* timed(1, () => guess(Fixtures.unique("nobody"), `10.2.0.${at}`))))
  }
  line("sign-in refused, a name that somebody has", known)
  line("sign-in refused, a name that nobody has", unknown)

  const clients = yield* ClientSessions
  const device = { device: Fixtures.deviceStatement() }
  const keys = yield* Effect.forEach(Array.from({ length: signIns }), () =>
    Effect.flatMap(Fixtures.user(), (user) => Fixtures.personalKey(user))
  )
  const misspelt = (id: string) => ({
    kind: "personalKey" as const,
    id,
    secret: format("personalKey", id, randomBytes(secretBytes))
  })
  const [ofSome, ofNone] = [[] as number[], [] as number[]]
  for (const [at, { id }] of keys.entries()) {
    const present = (id: string, address: string) => from(address)(clients.signIn(misspelt(id), device))
    ofSome.push(...(yield* timed(1, () => present(id, `10.68.0.${at}`))))
    ofNone.push(...(yield* timed(1, () => present(randomUUID(), `10.69.0.${at}`))))
  }
  line("personal key refused, one that somebody has", ofSome)
  line("personal key refused, one that nobody has", ofNone)

  const server = yield* Fixtures.verified()
  const boot = Fixtures.boot()
  const beats = (begin: number) => timed(400, (at) => Fixtures.beat(server, boot, begin + at))
  line("heartbeat, flushed", yield* beats(1))
  let at = 0
  const storm = yield* Effect.forkScoped(
    Effect.forever(
      Effect.suspend(() => {
        at += 1
        return Effect.exit(
          guess(Fixtures.unique("nobody"), `10.${3 + ((at >> 16) & 63)}.${(at >> 8) & 255}.${at & 255}`)
        )
      })
    ).pipe((one) =>
      Effect.all(
        Array.from({ length: 32 }, () => one),
        { concurrency: "unbounded" }
      )
    )
  )
  line("heartbeat, flushed, while 32 guess at once", yield* beats(1_000))
  yield* Fiber.interrupt(storm)
})

await Effect.runPromise(
  bench.pipe(Effect.provide(Layer.mergeAll(Fixtures.layer, Passwords.layer)), Effect.scoped, Effect.orDie)
)
