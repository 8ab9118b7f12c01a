/** What roll-ups of samples are, worked out one sample at a time. */
import { isShare, kindOf } from "@broker/domain/Metric"

export interface Sample {
  readonly server: string
  readonly at: number
  readonly boot: string
  readonly seq: number
  readonly metrics: Readonly<Record<string, number>>
}

/** [weight, total, least, most] by name. */
export type Rolled = Readonly<Record<string, readonly [number, number, number, number]>>

/** [minutes, servers, total, least total, most total, least, most] by name. */
export type GroupRolled = Readonly<Record<string, ReadonlyArray<number>>>

const minute = 60_000
const longestSilence = 7_200_000

interface Part {
  readonly weight: number
  readonly total: number
  /** None of a counter that did not grow over any time. */
  readonly level: number | undefined
}

const inOrder = (a: Sample, b: Sample) =>
  a.at - b.at || (a.boot === b.boot ? 0 : a.boot < b.boot ? -1 : 1) || a.seq - b.seq

const partOf = (name: string, sample: Sample, before: Sample | undefined): Part => {
  const value = sample.metrics[name] ?? 0
  if (kindOf(name) === "gauge") return { weight: 1, total: value, level: value }
  const former = before?.metrics[name]
  const elapsed = sample.at - (before?.at ?? 0)
  if (before === undefined || former === undefined || before.boot !== sample.boot || elapsed > longestSilence) {
    return { weight: 0, total: 0, level: undefined }
  }
  if (value < former) return { weight: 0, total: 0, level: undefined }
  const seconds = elapsed / 1_000
  return {
    weight: seconds,
    total: value - former,
    level: seconds === 0 ? undefined : (value - former) / seconds
  }
}

const added = (parts: ReadonlyArray<Part>) => {
  const levels = parts.flatMap(({ level }) => (level === undefined ? [] : [level]))
  return [
    parts.reduce((sum, { weight }) => sum + weight, 0),
    parts.reduce((sum, { total }) => sum + total, 0),
    levels.length === 0 ? 0 : Math.min(...levels),
    levels.length === 0 ? 0 : Math.max(...levels)
  ] as const
}

const key = (server: string, at: number) => `${server} ${new Date(at).toISOString()}`

/** By server and span. */
export const rolled = (samples: ReadonlyArray<Sample>, span: number): Map<string, Rolled> => {
  const parts = new Map<string, Map<string, Array<Part>>>()
  for (const own of Map.groupBy(samples, ({ server }) => server).values()) {
    const ordered = own.toSorted(inOrder)
    for (const [index, sample] of ordered.entries()) {
      const of = key(sample.server, Math.floor(sample.at / span) * span)
      const names = parts.get(of) ?? new Map<string, Array<Part>>()
      parts.set(of, names)
      for (const name of Object.keys(sample.metrics)) {
        names.set(name, [...(names.get(name) ?? []), partOf(name, sample, ordered[index - 1])])
      }
    }
  }
  return new Map(
    [...parts].map(([of, names]) => [of, Object.fromEntries([...names].map(([name, parts]) => [name, added(parts)]))])
  )
}

/** By scope and minute: each server counts for all scopes that it is in. */
export const groupMinutes = (
  samples: ReadonlyArray<Sample>,
  scopesOf: (server: string) => ReadonlyArray<string>
): Map<string, GroupRolled> => {
  const scopes = new Map<string, Record<string, ReadonlyArray<number>>>()
  for (const [of, metrics] of rolled(samples, minute)) {
    const [server = "", at = ""] = of.split(" ")
    for (const scope of scopesOf(server)) {
      const so = scopes.get(`${scope} ${at}`) ?? {}
      scopes.set(`${scope} ${at}`, so)
      for (const [name, [weight, total, least, most]] of Object.entries(metrics)) {
        if (weight === 0) continue
        const [, servers = 0, sum = 0, leastSum = 0, mostSum = 0, lowest = least, highest = most] = so[name] ?? []
        so[name] = [
          1,
          servers + 1,
          sum + total / weight,
          leastSum + least,
          mostSum + most,
          Math.min(lowest, least),
          Math.max(highest, most)
        ]
      }
    }
  }
  return new Map([...scopes].filter(([, metrics]) => Object.keys(metrics).length > 0))
}

/** [mean, least, most] by name and the time that a span begins after `began`. */
export type Chart = Readonly<Record<string, ReadonlyArray<number>>>

const charted = (mean: number, least: number, most: number) =>
  [mean, least, most].map((number) => Number(number.toPrecision(9)))

/** What the chart of a server shows, straight from its samples. */
export const serverChart = (samples: ReadonlyArray<Sample>, server: string, began: number, span: number): Chart => {
  const own = samples.filter((sample) => sample.server === server)
  const shown: Record<string, ReadonlyArray<number>> = {}
  for (const [of, metrics] of rolled(own, span)) {
    const [, at = ""] = of.split(" ")
    for (const [name, [weight, total, least, most]] of Object.entries(metrics)) {
      if (weight > 0) shown[`${name} ${Date.parse(at) - began}`] = charted(total / weight, least, most)
    }
  }
  return shown
}

/** What the chart of a group or of the fleet shows, straight from its minutes. */
export const groupChart = (
  samples: ReadonlyArray<Sample>,
  scopesOf: (server: string) => ReadonlyArray<string>,
  scope: string,
  began: number,
  span: number
): Chart => {
  const spans = new Map<string, Array<ReadonlyArray<number>>>()
  for (const [of, metrics] of groupMinutes(samples, scopesOf)) {
    const [whose, at = ""] = of.split(" ")
    if (whose !== scope) continue
    for (const [name, numbers] of Object.entries(metrics)) {
      const key = `${name} ${Math.floor(Date.parse(at) / span) * span - began}`
      spans.set(key, [...(spans.get(key) ?? []), numbers])
    }
  }
  return Object.fromEntries(
    [...spans].map(([key, minutes]) => {
      const [name = ""] = key.split(" ")
      const column = (index: number) => minutes.map((numbers) => numbers[index] ?? 0)
      const sum = (index: number) => column(index).reduce((sum, number) => sum + number, 0)
      return [
        key,
        isShare(name)
          ? charted(sum(2) / sum(1), Math.min(...column(5)), Math.max(...column(6)))
          : charted(sum(2) / sum(0), Math.min(...column(3)), Math.max(...column(4)))
      ]
    })
  )
}
