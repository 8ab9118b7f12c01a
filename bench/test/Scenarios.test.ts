/** What a run left behind is drawn and told; the runs themselves take minutes and are no tests. */
import { assert, describe, it } from "@effect/vitest"
import { plot } from "../scenarios/Plot.ts"
import { Recorder } from "../scenarios/Recorder.ts"
import type { Result } from "../scenarios/Result.ts"
import { report, sizing } from "../scenarios/Table.ts"

const recorded: Result = {
  scenario: "steady",
  title: "Steady fleet: <every> server & its beat",
  servers: 1_000,
  seconds: 3,
  startedAt: "2026-11-23T18:00:00.000Z",
  machine: {
    processors: 2,
    model: "A processor (linux)",
    gigabytes: 8,
    node: "v24.21.0",
    postgres: "18.4",
    loadBefore: 0.1,
    loadAfter: 0.9
  },
  operations: [
    {
      name: "heartbeat",
      count: 100,
      perSecond: 33.3,
      p50: 3.2,
      p90: 5,
      p99: 12.5,
      max: 20.1,
      errors: { overloaded: 2 }
    },
    { name: "proof", count: 0, perSecond: 0, p50: null, p90: null, p99: null, max: null, errors: { ECONNREFUSED: 1 } }
  ],
  broker: { cpuSeconds: 0.6, mostMegabytes: 210 },
  database: {
    cpuSeconds: 0.3,
    statements: 90,
    rows: 300,
    milliseconds: 45,
    walBytes: 307_200,
    top: [{ text: "with beat as (…", calls: 30, rows: 100, milliseconds: 40 }]
  },
  asker: { cpuSeconds: 0.3 },
  notes: ["All were heard again."],
  moments: [
    { at: 0, done: 30, errors: 0, p50: 3, p99: 12, brokerCpu: 0.2, databaseCpu: 0.1, brokerMegabytes: 200 },
    // Nothing was answered in this one.
    { at: 1, done: 0, errors: 3, p50: null, p99: null, brokerCpu: 0.2, databaseCpu: 0.1, brokerMegabytes: 205 },
    { at: 2, done: 70, errors: 0, p50: 3.3, p99: 13, brokerCpu: 0.2, databaseCpu: 0.1, brokerMegabytes: 210 }
  ]
}

describe("Scenarios", () => {
  it("a plot is a well-formed picture of the run, for white and for black paper", () => {
    const svg = plot(recorded)
    assert.match(svg, /^<svg [^>]+role="img"/)
    assert.include(svg, "&lt;every&gt; server &amp; its beat")
    assert.include(svg, "prefers-color-scheme: dark")
    assert.notMatch(svg, /NaN|undefined|Infinity/)
    for (const label of ["answered", "failed", "half are faster than", "broker", "PostgreSQL"])
      assert.include(svg, label)
    const open = svg.match(/<(\w+)[^>]*[^/]>/g)?.length
    assert.strictEqual(open, svg.match(/<\/\w+>/g)?.length)
    assert.include(
      plot({ ...recorded, moments: recorded.moments.map((one) => ({ ...one, brokerCpu: null, databaseCpu: null })) }),
      "This machine does not tell."
    )
    assert.notMatch(plot({ ...recorded, moments: [] }), /NaN/)
  })

  it("tables tell throughput, latency, failures and what the database did", () => {
    const told = report(recorded)
    assert.match(told, /\| heartbeat \|\s+100 \|\s+33\.3 \|\s+3\.2 \|\s+5 \|\s+12\.5 \|\s+20\.1 \|\s+2 × overloaded \|/)
    assert.match(told, /\| proof\s+\|\s+0 \|\s+0 \|\s+– \|/)
    assert.include(told, "Broker: 20 % of a processor, 210 MB at most.")
    assert.include(told, "30 statements and 100 rows a second, 0.3 MB of WAL")
    assert.match(
      sizing([recorded]),
      /\| steady\s+\|\s+1,000 \|\s+33 \|\s+3\.2 \|\s+12\.5 \|\s+3 \|\s+20 % \|\s+210 MB \|.*\| 0\.1–0\.9 \|/
    )
  })

  it("a recorder counts what was answered apart from what failed, from the moment it begins", () => {
    const recorder = new Recorder()
    recorder.note("early", 0, { status: 200 })
    recorder.begin()
    const now = performance.now()
    recorder.note("beat", now - 5, { status: 200 })
    recorder.note("beat", now, { status: 503, code: "overloaded" })
    recorder.note("beat", now, { status: 0, code: "ECONNREFUSED" })
    const [beat, ...others] = recorder.operations(1)
    assert.strictEqual(others.length, 0)
    assert.deepStrictEqual(beat?.errors, { overloaded: 1, ECONNREFUSED: 1 })
    assert.strictEqual(beat?.count, 1)
    assert.isAtLeast(beat?.p50 ?? 0, 5)
    assert.deepStrictEqual(
      recorder.moments().map(({ done, errors }) => [done, errors]),
      [[1, 2]]
    )
  })
})
