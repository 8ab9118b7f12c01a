/** Prometheus' text format 0.0.4: families of samples, each introduced once. */
import { kindOf } from "@broker/domain/Metric"

export interface Family {
  readonly name: string
  readonly type: "gauge" | "counter"
  readonly help: string
}

/** Letters, digits and underscores; `rxBytes` as `rx_bytes`. */
export const sanitized = (name: string) =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(/[^A-Za-z0-9_]/g, "_")
    .toLowerCase()

const escapedHelp = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const escapedLabel = (text: string) => escapedHelp(text).replaceAll('"', '\\"')

/** Prometheus knows numbers that JavaScript writes otherwise. */
const written = (value: number) =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf"

export const introduction = ({ help, name, type }: Family) =>
  `# HELP ${name} ${escapedHelp(help)}\n# TYPE ${name} ${type}\n`

/** As they stand between braces. */
export const labels = (of: Readonly<Record<string, string>>) =>
  Object.entries(of)
    .map(([label, value]) => `${label}="${escapedLabel(value)}"`)
    .join(",")

export const sample = (name: string, labels: string, value: number) =>
  `${name}${labels === "" ? "" : `{${labels}}`} ${written(value)}\n`

/**
 * A family for each metric that servers have, of a prefix that nothing else has. Names that would be the same are
 * numbered, in the order of the names, as a family may stand there once only.
 */
export const families = (metrics: ReadonlyArray<string>): ReadonlyArray<readonly [metric: string, Family]> => {
  const taken = new Set<string>()
  return metrics.toSorted().map((metric) => {
    const type = kindOf(metric)
    const base = `broker_metric_${sanitized(metric)}`
    const name = type === "counter" && !base.endsWith("_total") ? `${base}_total` : base
    let unique = name
    for (let next = 2; taken.has(unique); next++) unique = `${name}_${next}`
    taken.add(unique)
    return [metric, { name: unique, type, help: `What servers report as ${metric}.` }]
  })
}
