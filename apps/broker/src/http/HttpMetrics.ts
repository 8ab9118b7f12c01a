/** Requests by route, counted and timed. Series are made once and kept, since this runs for every heartbeat. */
import { type Context, Metric } from "effect"

const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** A method of one's own invention must not become a series of its own. */
const known = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

interface Route {
  readonly duration: Metric.Histogram<number>
  readonly requests: Map<string, Map<number, Metric.Counter<number>>>
}

const routes = new Map<string, Route>()

const routeOf = (route: string) => {
  const existing = routes.get(route)
  if (existing !== undefined) return existing
  const made: Route = {
    duration: Metric.histogram("broker_http_request_duration_seconds", {
      description: "Time from the request's headers to its answer",
      boundaries,
      attributes: { route }
    }),
    requests: new Map()
  }
  routes.set(route, made)
  return made
}

const counterOf = (made: Route, method: string, route: string, status: number) => {
  const byStatus = made.requests.get(method) ?? new Map<number, Metric.Counter<number>>()
  made.requests.set(method, byStatus)
  const existing = byStatus.get(status)
  if (existing !== undefined) return existing
  const counter = Metric.counter("broker_http_requests_total", {
    description: "Requests answered",
    incremental: true,
    attributes: { method, route, status: String(status) }
  })
  byStatus.set(status, counter)
  return counter
}

export const record = (
  context: Context.Context<never>,
  method: string,
  route: string,
  status: number,
  seconds: number
) => {
  const made = routeOf(route)
  made.duration.updateUnsafe(seconds, context)
  counterOf(made, known.has(method) ? method : "other", route, status).updateUnsafe(1, context)
}
