/**
 * The broker's scheduled work. Each job runs on one node, the leader, and writes under its fence (J1); each is
 * bounded per run, and repeating a run changes nothing.
 */
import { Duration, Effect, Layer } from "effect"
import { AdminLinks } from "./admin-links/AdminLinks.ts"
import { AdminSessions } from "./admin-sessions/AdminSessions.ts"
import { Analytics } from "./analytics/Analytics.ts"
import { AuditLog } from "./audit/AuditLog.ts"
import { Challenges } from "./challenges/Challenges.ts"
import { ClientSessions } from "./client-sessions/ClientSessions.ts"
import { Connections } from "./connections/Connections.ts"
import { ConnectionsPolicy } from "./connections/ConnectionsPolicy.ts"
import { Liveness } from "./heartbeats/Liveness.ts"
import { Idempotency } from "./Idempotency.ts"
import { Leadership } from "./nodes/Leadership.ts"
import * as Nodes from "./nodes/Nodes.ts"
import { RateLimits } from "./rate-limits/RateLimits.ts"
import { ServersPolicy } from "./servers/ServersPolicy.ts"
import { SigningKeys } from "./signing-keys/SigningKeys.ts"

/** A job that says in the log what it did, when it did something; quietly where that is all the time. */
const job = <A extends Readonly<Record<string, number>>, R>(
  name: string,
  every: Duration.Duration,
  done: string,
  run: Effect.Effect<A, never, R>,
  log: (done: string, counts: A) => Effect.Effect<void> = Effect.logInfo
) =>
  Leadership.job({
    name,
    every,
    budget: Duration.seconds(30),
    run: Leadership.use((leadership) => leadership.fenced(run)).pipe(
      Effect.tap((counts) => (Object.values(counts).some((count) => count > 0) ? log(done, counts) : Effect.void))
    )
  })

const sweep = Layer.unwrap(
  Effect.map(ServersPolicy, ({ sweepEvery }) =>
    job(
      "servers-sweep",
      sweepEvery,
      "Gave up on silent servers",
      Liveness.use(({ sweep }) => sweep)
    )
  )
)

const challenges = job(
  "challenges-renew",
  Duration.seconds(5),
  "Renewed challenges",
  Challenges.use(({ renew }) => renew)
)

const connections = Layer.unwrap(
  Effect.map(ConnectionsPolicy, ({ sweepEvery }) =>
    job(
      "connections-sweep",
      sweepEvery,
      "Settled connections",
      Connections.use(({ sweep }) => sweep),
      Effect.logDebug
    )
  )
)

const usage = job(
  "connection-usage",
  Duration.seconds(10),
  "Rolled up what connections came to",
  Effect.map(
    Analytics.use(({ rollUp }) => rollUp),
    (quarters) => ({ quarters })
  ),
  Effect.logDebug
)

const signingKeys = job(
  "signing-keys",
  Duration.minutes(1),
  "Renewed signing keys",
  SigningKeys.use(({ renew }) => renew)
)

const checkpoints = job(
  "audit-checkpoints",
  Duration.minutes(1),
  "Signed the ends of audit logs",
  Effect.map(
    AuditLog.use(({ checkpoint }) => checkpoint),
    (chains) => ({ chains })
  ),
  Effect.logDebug
)

const auditRetention = job(
  "audit-retention",
  Duration.minutes(1),
  "Deleted audit entries past their time",
  Effect.map(
    AuditLog.use(({ prune }) => prune),
    (entries) => ({ entries })
  )
)

const prune = job(
  "prune",
  Duration.minutes(1),
  "Deleted what is past its time",
  Effect.all({
    samples: Liveness.use(({ prune }) => prune),
    sessions: AdminSessions.use(({ prune }) => prune),
    links: AdminLinks.use(({ prune }) => prune),
    clientSessions: ClientSessions.use(({ prune }) => prune),
    connections: Connections.use(({ prune }) => prune),
    usage: Analytics.use(({ prune }) => prune),
    idempotencyKeys: Idempotency.use(({ prune }) => prune),
    rateLimits: RateLimits.use(({ prune }) => prune)
  })
)

/** All jobs of a node, the sign of life that tells when nobody ran them, and what nodes tell each other. */
export const layer = Layer.mergeAll(
  sweep,
  challenges,
  connections,
  usage,
  signingKeys,
  checkpoints,
  auditRetention,
  prune
).pipe(Layer.provide(Leadership.layer), Layer.provideMerge(Layer.mergeAll(Nodes.beating, RateLimits.exchanging)))
