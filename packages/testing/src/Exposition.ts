/** Reads Prometheus' text format 0.0.4 as strictly as its specification says, and refuses whatever is none. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly help: string
  readonly type: string
  readonly samples: ReadonlyArray<Sample>
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const number = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i
const special: Readonly<Record<string, number>> = { NaN: Number.NaN, "+Inf": Infinity, "-Inf": -Infinity }

const refuse = (line: string, reason: string): never => {
  throw new Error(`${reason}: ${line}`)
}

const unescaped: Readonly<Record<string, string>> = { "\\": "\\", '"': '"', n: "\n" }

const labelsOf = (line: string, text: string): Readonly<Record<string, string>> => {
  const labels: Record<string, string> = {}
  let at = 0
  while (at < text.length) {
    const equals = text.indexOf('="', at)
    const name = text.slice(at, equals)
    if (equals < 0 || !labelName.test(name)) refuse(line, "a label has no name")
    if (name in labels) refuse(line, "a label stands there twice")
    let value = ""
    at = equals + 2
    while (text[at] !== '"') {
      if (at >= text.length) refuse(line, "a label does not end")
      if (text[at] === "\\") {
        value += unescaped[text[at + 1] ?? ""] ?? refuse(line, "nothing else is escaped")
        at += 2
      } else {
        value += text[at]
        at += 1
      }
    }
    labels[name] = value
    at += 1
    if (at < text.length && text[at] !== ",") refuse(line, "labels are set apart by commas")
    at += 1
  }
  return labels
}

const sampleOf = (line: string): Sample => {
  const [, name = "", , labels = "", value = ""] =
    /^([^\s{]+)(\{(.*)\})? (\S+)$/s.exec(line) ?? refuse(line, "no sample")
  if (!metricName.test(name)) refuse(line, "no name of a metric")
  if (!number.test(value) && !(value in special)) refuse(line, "no number")
  return { name, labels: labelsOf(line, labels), value: special[value] ?? Number(value) }
}

/** The families by name. */
export const parse = (text: string): ReadonlyMap<string, Family> => {
  if (text !== "" && !text.endsWith("\n")) refuse(text.slice(-80), "the last line does not end")
  const families = new Map<string, { help: string; type: string; samples: Array<Sample> }>()
  const series = new Set<string>()
  let current: { readonly name: string; type: string; help: string; samples: Array<Sample> } | undefined
  for (const line of text.split("\n").slice(0, -1)) {
    if (line.startsWith("# HELP ")) {
      const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/.exec(line) ?? refuse(line, "no help")
      if (families.has(name)) refuse(line, "a family is introduced twice")
      current = { name, help, type: "", samples: [] }
      families.set(name, current)
    } else if (line.startsWith("# TYPE ")) {
      const [, name, type = ""] =
        /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? refuse(line, "no type")
      if (current === undefined || current.name !== name || current.type !== "" || current.samples.length > 0) {
        return refuse(line, "a type stands after its help, once, and before all samples")
      }
      current.type = type
    } else {
      const sample = sampleOf(line)
      if (current === undefined || sample.name !== current.name)
        return refuse(line, "a sample stands outside its family")
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()])
      if (series.has(key)) refuse(line, "a series stands there twice")
      series.add(key)
      current.samples.push(sample)
    }
  }
  return families
}
