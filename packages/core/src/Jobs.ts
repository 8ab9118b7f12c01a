/**
 * The broker's scheduled work. Each job runs on one node, the leader, and writes under its fence (J1); each is
 * bounded per run, and repeating a run changes nothing. What takes more than one node, such as deliveries, all share.
 */
import { Duration, Effect, Layer } from "effect"
import { AdminLinks } from "./admin-links/AdminLinks.ts"
import { AdminSessions } from "./admin-sessions/AdminSessions.ts"
import { Analytics } from "./analytics/Analytics.ts"
import { AuditLog } from "./audit/AuditLog.ts"
import { BulkActs } from "./bulk-acts/BulkActs.ts"
import { Challenges } from "./challenges/Challenges.ts"
import { ClientSessions } from "./client-sessions/ClientSessions.ts"
import { Connections } from "./connections/Connections.ts"
import { ConnectionsPolicy } from "./connections/ConnectionsPolicy.ts"
import { Events } from "./events/Events.ts"
import { EventsPolicy } from "./events/EventsPolicy.ts"
import { Liveness } from "./heartbeats/Liveness.ts"
import { Idempotency } from "./Idempotency.ts"
import { Metrics } from "./metrics/Metrics.ts"
import { Monitoring } from "./monitoring/Monitoring.ts"
import { Leadership } from "./nodes/Leadership.ts"
import { NodeMeter } from "./nodes/NodeMeter.ts"
import * as Nodes from "./nodes/Nodes.ts"
import { RateLimits } from "./rate-limits/RateLimits.ts"
import { Reports } from "./reports/Reports.ts"
import { ServersPolicy } from "./servers/ServersPolicy.ts"
import { SigningKeys } from "./signing-keys/SigningKeys.ts"
import { CapabilityChecks } from "./verification/CapabilityChecks.ts"
import { VerificationPolicy } from "./verification/VerificationPolicy.ts"
import { Deliveries } from "./webhooks/Deliveries.ts"

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
    Leadership.job({
      name: "servers-sweep",
      every: sweepEvery,
      budget: Duration.seconds(30),
      run: Effect.gen(function* () {
        const liveness = yield* Liveness
        const leadership = yield* Leadership
        const moved = yield* liveness.sweepWithin(leadership.fenced)
        if (Object.values(moved).some((servers) => servers > 0))
          yield* Effect.logInfo("Gave up on silent servers", moved)
      })
    })
  )
)

const challenges = Layer.unwrap(
  Effect.map(VerificationPolicy, ({ every }) =>
    job(
      "challenges-renew",
      every,
      "Renewed challenges",
      Challenges.use(({ renew }) => renew)
    )
  )
)

/** Looks outside of the fence, which is only held to write: a server that does not answer holds up nobody. */
const capabilities = Layer.unwrap(
  Effect.map(VerificationPolicy, ({ checkEvery }) =>
    Leadership.job({
      name: "capability-checks",
      every: checkEvery,
      budget: Duration.minutes(5),
      run: Effect.gen(function* () {
        const checks = yield* CapabilityChecks
        const leadership = yield* Leadership
        const checked = yield* Effect.flatMap(checks.due, checks.probe)
        const capabilities = yield* leadership.fenced(checks.record(checked))
        if (capabilities > 0) yield* Effect.logDebug("Checked capabilities", { capabilities })
      })
    })
  )
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

const fleetMoments = job(
  "fleet-moments",
  Duration.minutes(1),
  "Noted how fleets do",
  Effect.map(
    Monitoring.use(({ note }) => note),
    (fleets) => ({ fleets })
  ),
  Effect.logDebug
)

/** Often, as it gives way to whoever is at the same tables. */
const metricsPartitions = job(
  "metrics-partitions",
  Duration.minutes(1),
  "Made partitions of metrics, and dropped old ones",
  Metrics.use(({ partition }) => partition),
  Effect.logDebug
)

/** Minutes and hours apart, so that neither holds the other up; in many small transactions, each of them fenced. */
const metricsRollUps = Layer.mergeAll(
  Leadership.job({
    name: "metrics-rollup",
    every: Duration.seconds(30),
    run: Effect.gen(function* () {
      const metrics = yield* Metrics
      const minutes = yield* metrics.rollUpMinutes((yield* Leadership).fenced)
      if (minutes > 0) yield* Effect.logDebug("Rolled up metrics", { minutes })
    })
  }),
  Leadership.job({
    name: "metrics-hours",
    every: Duration.minutes(1),
    run: Effect.gen(function* () {
      const metrics = yield* Metrics
      const hours = yield* metrics.rollUpHours((yield* Leadership).fenced)
      if (hours > 0) yield* Effect.logDebug("Rolled up metrics", { hours })
    })
  })
)

/** Holds the fence for one server at a time, so that none of them holds up another, or an admin. */
const bulkActs = Leadership.job({
  name: "bulk-acts",
  every: Duration.millis(500),
  budget: Duration.minutes(1),
  run: Effect.gen(function* () {
    const servers = yield* BulkActs.use(({ advance }) => advance)
    if (servers > 0) yield* Effect.logDebug("Took bulk actions further", { servers })
  })
})

/** Looks outside of the fence, which is only held to write: most of the time there is nothing. */
const events = Layer.unwrap(
  Effect.map(EventsPolicy, ({ publishEvery }) =>
    Leadership.job({
      name: "events-publish",
      every: publishEvery,
      budget: Duration.seconds(30),
      run: Effect.gen(function* () {
        const events = yield* Events
        yield* events.publishWithin((yield* Leadership).fenced)
      })
    })
  )
)

const eventRetention = Leadership.job({
  name: "event-retention",
  every: Duration.minutes(1),
  run: Effect.gen(function* () {
    const events = yield* Events
    const gone = yield* events.pruneWithin((yield* Leadership).fenced)
    if (gone > 0) yield* Effect.logInfo("Deleted events past their time", { events: gone })
  })
})

const deliveryRetention = Leadership.job({
  name: "webhook-retention",
  every: Duration.minutes(1),
  budget: Duration.seconds(30),
  run: Effect.gen(function* () {
    const deliveries = yield* Deliveries
    const gone = yield* deliveries.pruneWithin((yield* Leadership).fenced)
    if (gone > 0) yield* Effect.logInfo("Deleted deliveries past their time", { deliveries: gone })
  })
})

const reportSchedules = job(
  "report-schedules",
  Duration.seconds(10),
  "Noted scheduled reports to be made",
  Effect.map(
    Reports.use(({ schedule }) => schedule),
    (slots) => ({ slots })
  )
)

/**
 * Neither holds the fence: whoever makes a report or sends one has that row to itself for a while, and what a node that
 * was overtaken has made counts for nothing.
 */
const reports = Layer.mergeAll(
  Leadership.job({
    name: "reports-make",
    every: Duration.seconds(2),
    budget: Duration.minutes(5),
    run: Effect.gen(function* () {
      const made = yield* Reports.use(({ makeDue }) => makeDue)
      if (made > 0) yield* Effect.logInfo("Made reports", { reports: made })
    })
  }),
  Leadership.job({
    name: "reports-send",
    every: Duration.seconds(5),
    budget: Duration.minutes(5),
    run: Effect.gen(function* () {
      const sent = yield* Reports.use(({ sendDue }) => sendDue)
      if (sent > 0) yield* Effect.logInfo("Sent reports", { reports: sent })
    })
  })
)

const prune = job(
  "prune",
  Duration.minutes(1),
  "Deleted what is past its time",
  Effect.all({
    challenges: Challenges.use(({ prune }) => prune),
    sessions: AdminSessions.use(({ prune }) => prune),
    links: AdminLinks.use(({ prune }) => prune),
    clientSessions: ClientSessions.use(({ prune }) => prune),
    connections: Connections.use(({ prune }) => prune),
    usage: Analytics.use(({ prune }) => prune),
    monitoring: Monitoring.use(({ prune }) => prune),
    bulkActs: BulkActs.use(({ prune }) => prune),
    reports: Reports.use(({ prune }) => prune),
    idempotencyKeys: Idempotency.use(({ prune }) => prune),
    rateLimits: RateLimits.use(({ prune }) => prune)
  })
)

/** Of every node, and under no fence: whoever takes something up says so in its row. */
const deliveries = Layer.effectDiscard(Effect.forkScoped(Deliveries.use(({ deliver }) => deliver)))

/** All jobs of a node, the sign of life that tells when nobody ran them, and what nodes tell each other. */
export const layer = Layer.mergeAll(
  sweep,
  challenges,
  capabilities,
  connections,
  usage,
  signingKeys,
  checkpoints,
  auditRetention,
  bulkActs,
  reportSchedules,
  reports,
  metricsPartitions,
  metricsRollUps,
  fleetMoments,
  events,
  eventRetention,
  deliveryRetention,
  deliveries,
  prune
).pipe(
  // The node that beats is the one that leads, so that the lease tells which it is.
  Layer.provide(Layer.unwrap(Nodes.Nodes.use(({ id }) => Effect.succeed(Leadership.layerOf(id))))),
  Layer.provideMerge(Layer.mergeAll(Nodes.beating.pipe(Layer.provide(NodeMeter.layer)), RateLimits.exchanging))
)
