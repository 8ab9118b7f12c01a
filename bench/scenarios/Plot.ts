/** A run as a picture: requests, latency and processors by the second. Readable on white and on black. */
import { scaleLinear } from "d3-scale"
import { area, line } from "d3-shape"
import type { Moment, Result } from "./Result.ts"

const width = 860
const left = 64
const right = 16
const panelHeight = 120
const panelGap = 54
const top = 92

interface Line {
  readonly label: string
  /** Neither colour alone nor dashes alone tell lines apart. */
  readonly tone: "a" | "b"
  readonly value: (moment: Moment) => number | null
  readonly filled?: boolean
}

interface Panel {
  readonly title: string
  readonly unit: string
  readonly lines: ReadonlyArray<Line>
}

const percent = (share: number | null) => (share === null ? null : share * 100)

const panels: ReadonlyArray<Panel> = [
  {
    title: "Requests",
    unit: "a second",
    lines: [
      { label: "answered", tone: "a", value: ({ done }) => done, filled: true },
      { label: "failed", tone: "b", value: ({ errors }) => errors }
    ]
  },
  {
    title: "Latency",
    unit: "ms",
    lines: [
      { label: "half are faster than", tone: "a", value: ({ p50 }) => p50 },
      { label: "99 of 100 are faster than", tone: "b", value: ({ p99 }) => p99 }
    ]
  },
  {
    title: "Processor",
    unit: "% of one",
    lines: [
      { label: "broker", tone: "a", value: ({ brokerCpu }) => percent(brokerCpu) },
      { label: "PostgreSQL", tone: "b", value: ({ databaseCpu }) => percent(databaseCpu) }
    ]
  }
]

const style = `
  text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #3d4852 }
  .title { font-size: 16px; font-weight: 600; fill: #17202a }
  .name { font-weight: 600; fill: #17202a }
  .paper { fill: #ffffff } .grid { stroke: #e3e7eb }
  .a { stroke: #0f766e } .b { stroke: #b4530a }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round } .line.b { stroke-dasharray: 5 3 }
  .fill { fill: #0f766e; opacity: .14; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #b6c2cd } .title, .name { fill: #eef3f7 }
    .paper { fill: #10161c } .grid { stroke: #2a343d }
    .a { stroke: #2dd4bf } .b { stroke: #fb923c } .fill { fill: #2dd4bf }
  }`

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const number = (value: number) => Intl.NumberFormat("en").format(value)

/** Characters of the legend are about so wide. */
const character = 6.4

const panel = ({ lines, title, unit }: Panel, moments: ReadonlyArray<Moment>, y: number) => {
  const values = lines.flatMap(({ value }) => moments.map(value)).filter((value) => value !== null)
  const x = scaleLinear([0, Math.max(1, (moments.at(-1)?.at ?? 0) + 1)], [left, width - right])
  const scale = scaleLinear([0, Math.max(1, ...values)], [y + panelHeight, y]).nice(4)
  const grid = scale
    .ticks(4)
    .map(
      (tick) =>
        `<line class="grid" x1="${left}" x2="${width - right}" y1="${scale(tick)}" y2="${scale(tick)}"/>` +
        `<text x="${left - 8}" y="${scale(tick) + 4}" text-anchor="end">${number(tick)}</text>`
    )
  const seconds = x
    .ticks(8)
    .map((tick) => `<text x="${x(tick)}" y="${y + panelHeight + 16}" text-anchor="middle">${tick} s</text>`)
  const points = ({ value }: Line) =>
    moments.map((moment): [number, number | null] => [x(moment.at + 0.5), value(moment)])
  const drawn = lines.map((one) => {
    const path = line<[number, number | null]>()
      .defined(([, value]) => value !== null)
      .y(([, value]) => scale(value ?? 0))
    const below = area<[number, number | null]>()
      .defined(([, value]) => value !== null)
      .y0(scale(0))
      .y1(([, value]) => scale(value ?? 0))
    const filled = one.filled === true ? `<path class="fill" d="${below(points(one)) ?? ""}"/>` : ""
    return `${filled}<path class="line ${one.tone}" d="${path(points(one)) ?? ""}"/>`
  })
  let at = left + (title.length + unit.length + 4) * character + 24
  const legend = lines.map(({ label, tone }) => {
    const here = at
    at += label.length * character + 48
    return (
      `<line class="line ${tone}" x1="${here}" x2="${here + 22}" y1="${y - 16}" y2="${y - 16}"/>` +
      `<text x="${here + 28}" y="${y - 12}">${escape(label)}</text>`
    )
  })
  const none = values.length === 0 ? `<text x="${left}" y="${y + 60}">This machine does not tell.</text>` : ""
  return [
    `<text x="${left}" y="${y - 12}"><tspan class="name">${title}</tspan>, ${unit}</text>`,
    ...legend,
    ...grid,
    ...seconds,
    ...drawn,
    none
  ].join("\n")
}

export const plot = (result: Result) => {
  const { machine, moments, scenario, servers, startedAt, title } = result
  const height = top + panels.length * (panelHeight + panelGap)
  const about =
    `${number(servers)} servers; ${machine.processors} processors (${machine.model}), ${machine.gigabytes} GB, ` +
    `PostgreSQL ${machine.postgres}; load before ${machine.loadBefore}, after ${machine.loadAfter}; ${startedAt.slice(0, 10)}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${scenario}-title">
<style>${style}</style>
<rect class="paper" width="${width}" height="${height}" rx="8"/>
<text class="title" id="${scenario}-title" x="${left}" y="30">${escape(title.length > 96 ? `${title.slice(0, 95)}…` : title)}</text>
<text x="${left}" y="50">${escape(about.length > 130 ? `${about.slice(0, 129)}…` : about)}</text>
${panels.map((one, at) => panel(one, moments, top + at * (panelHeight + panelGap))).join("\n")}
</svg>
`
}
