/**
 * Plays scenarios, each on a database and a broker of its own:
 * `pnpm bench:scenarios [name …] [--servers 1000] [--seconds 30] [--interval 30] [--output bench/results]`.
 *
 * Without a name, all of them. Each leaves its figures as JSON and a plot as SVG; the table of docs/sizing.md is made
 * of all that the directory holds, by `--table`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { plot } from "./Plot.ts"
import type { Result } from "./Result.ts"
import { Stage } from "./Stage.ts"
import { scenarios } from "./scenarios.ts"
import { report, sizing } from "./Table.ts"

const { positionals, values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== "--"),
  allowPositionals: true,
  options: {
    servers: { type: "string", default: "1000" },
    seconds: { type: "string", default: "30" },
    interval: { type: "string", default: "30" },
    output: { type: "string", default: "bench/results" },
    table: { type: "boolean", default: false }
  }
})

const options = {
  servers: Number(values.servers),
  seconds: Number(values.seconds),
  interval: Number(values.interval)
}
const names = positionals.length === 0 ? Object.keys(scenarios) : positionals
const unknown = names.find((name) => scenarios[name] === undefined)
if (unknown !== undefined || Object.values(options).some((value) => !(value > 0))) {
  console.error(`There are these scenarios: ${Object.keys(scenarios).join(", ")}.`)
  console.error(
    "pnpm bench:scenarios [name …] [--servers 1000] [--seconds 30] [--interval 30] [--output DIR] [--table]"
  )
  process.exit(2)
}

const say = (line: string) => console.error(`  ${line}`)

mkdirSync(values.output, { recursive: true })

if (!values.table) {
  for (const [at, name] of names.entries()) {
    console.error(`${at + 1} of ${names.length}: ${scenarios[name]?.title}`)
    await using stage = await Stage.set(options, say)
    const result = await scenarios[name]?.play(name, stage)
    if (result === undefined) continue
    const file = join(values.output, `${name}-${options.servers}`)
    writeFileSync(`${file}.json`, `${JSON.stringify(result, null, 2)}\n`)
    writeFileSync(`${file}.svg`, plot(result))
    console.log(`\n${report(result)}\n`)
    say(`Wrote ${file}.json and ${file}.svg.`)
  }
}

const results = readdirSync(values.output)
  .filter((file) => file.endsWith(".json"))
  .map((file) => JSON.parse(readFileSync(join(values.output, file), "utf8")) as Result)
  .toSorted(
    (a, b) =>
      Object.keys(scenarios).indexOf(a.scenario) - Object.keys(scenarios).indexOf(b.scenario) || a.servers - b.servers
  )
console.log(sizing(results))
