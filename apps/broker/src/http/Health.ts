/** Whether the process lives, whether it can serve, and its figures. */

import { createHash, timingSafeEqual } from "node:crypto"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Context, Duration, Effect, Metric, Option, Redacted, Result } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { PrometheusMetrics } from "effect/observability"
import { problem } from "./Failures.ts"
import { Closing } from "./Listener.ts"

/** Something the broker can't serve without. Fails with a sentence that anybody may read. */
export interface Check {
  readonly name: string
  readonly run: Effect.Effect<void, string>
}

/** The checks behind `/readyz`. */
export const Readiness = Context.Reference<ReadonlyArray<Check>>("@broker/http/Readiness", { defaultValue: () => [] })

export interface Options {
  readonly version: string
  /** Without it `/metrics` is for this machine only. */
  readonly metricsToken?: Redacted.Redacted<string> | undefined
  /** A check that takes longer has failed. */
  readonly checkTimeout?: Duration.Input | undefined
}

interface CheckResult {
  readonly name: string
  readonly ok: boolean
  readonly detail?: string
}

const runCheck = (check: Check, timeout: Duration.Input): Effect.Effect<CheckResult> =>
  check.run.pipe(
    Effect.as<CheckResult>({ name: check.name, ok: true }),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail("No answer in time") }),
    Effect.catch((detail) => Effect.succeed<CheckResult>({ name: check.name, ok: false, detail })),
    Effect.catchCause((cause) =>
      Effect.as(Effect.logError("Readiness check failed", cause), {
        name: check.name,
        ok: false,
        detail: "The check itself failed"
      })
    )
  )

const alive = HttpServerResponse.jsonUnsafe({ status: "ok" })

/** Probes come from many places, and nobody has to prove who they are: the checks run once a second at most. */
const freshness = Duration.seconds(1)

const forwardingHeaders = ["x-forwarded-for", "forwarded", "via", "x-real-ip"]

/** The TCP peer is on this machine, and is not a proxy that speaks for somebody else. */
const isLocal = (request: HttpServerRequest.HttpServerRequest) => {
  if (forwardingHeaders.some((name) => request.headers[name] !== undefined)) return false
  const peer = NetAddress.ipFromString(Option.getOrElse(request.peerAddress, () => ""))
  return Result.isSuccess(peer) && NetAddress.isLoopback(NetAddress.toCanonical(peer.success))
}

const digest = (text: string) => createHash("sha256").update(text).digest()

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const memory = gauge("process_resident_memory_bytes", "Memory the process holds")
const heap = gauge("nodejs_heap_used_bytes", "Memory used on the heap of JavaScript")
const uptime = gauge("process_uptime_seconds", "Time since the process started")
const cpu = Metric.counter("process_cpu_seconds_total", { description: "Processor time used", incremental: true })
const delayMean = gauge("nodejs_eventloop_delay_mean_seconds", "Delay of the event loop since the last reading")
const delayP99 = gauge("nodejs_eventloop_delay_p99_seconds", "Delay of the event loop since the last reading")
const delayMax = gauge("nodejs_eventloop_delay_max_seconds", "Delay of the event loop since the last reading")

/** Processor time that the counter has been told of. */
let counted = 0

const resolutionMs = 10

/** The histogram counts the resolution it samples with as delay, and is NaN before its first sample. */
const delaySeconds = (nanos: number) => (Number.isFinite(nanos) ? Math.max(0, nanos / 1e9 - resolutionMs / 1e3) : 0)

/** Reads the figures of the process into its metrics, when somebody asks for them. */
const processMetrics = Effect.fnUntraced(function* (version: string) {
  const loop = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const started = monitorEventLoopDelay({ resolution: resolutionMs })
      started.enable()
      return started
    }),
    (started) => Effect.sync(() => started.disable())
  )
  const build = Metric.gauge("broker_build_info", {
    description: "What is running",
    attributes: { node: process.version, version }
  })

  return Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const { heapUsed, rss } = process.memoryUsage()
      const { system, user } = process.cpuUsage()
      const used = (system + user) / 1e6
      memory.updateUnsafe(rss, context)
      heap.updateUnsafe(heapUsed, context)
      uptime.updateUnsafe(process.uptime(), context)
      cpu.updateUnsafe(used - counted, context)
      counted = used
      delayMean.updateUnsafe(delaySeconds(loop.mean), context)
      delayP99.updateUnsafe(delaySeconds(loop.percentile(99)), context)
      delayMax.updateUnsafe(delaySeconds(loop.max), context)
      build.updateUnsafe(1, context)
      loop.reset()
    })
  )
})

export const layer = (options: Options) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const closing = yield* Closing
      const checks = yield* Readiness
      const measure = yield* processMetrics(options.version)
      const expected = options.metricsToken && digest(`Bearer ${Redacted.value(options.metricsToken)}`)

      const results = yield* Effect.cachedWithTTL(
        Effect.forEach(checks, (check) => runCheck(check, options.checkTimeout ?? "2 seconds"), {
          concurrency: "unbounded"
        }),
        freshness
      )

      const ready = Effect.gen(function* () {
        const draining = yield* closing.draining
        const all: ReadonlyArray<CheckResult> = [
          { name: "listener", ok: !draining, ...(draining ? { detail: "This node is about to stop" } : {}) },
          ...(yield* results)
        ]
        return all.every(({ ok }) => ok)
          ? HttpServerResponse.jsonUnsafe({ status: "ready", checks: all })
          : problem(draining ? "stopping" : "not_ready", undefined, undefined, { checks: all })
      })

      const metrics = Effect.andThen(measure, PrometheusMetrics.format()).pipe(
        Effect.map((text) => HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" }))
      )

      yield* router.add("GET", "/healthz", alive)
      yield* router.add("GET", "/readyz", ready)
      yield* router.add("GET", "/metrics", (request) => {
        if (isLocal(request)) return metrics
        if (expected === undefined) return Effect.succeed(problem("not_found", "There is nothing at /metrics"))
        return timingSafeEqual(digest(request.headers.authorization ?? ""), expected)
          ? metrics
          : Effect.succeed(problem("metrics_token_refused", undefined, { "www-authenticate": "Bearer" }))
      })
    })
  )
