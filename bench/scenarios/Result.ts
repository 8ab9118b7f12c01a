/** What a run of a scenario leaves behind: enough to draw its plot and its row of the table again. */

/** All requests of one kind. */
export interface Operation {
  readonly name: string
  readonly count: number
  readonly perSecond: number
  /** In milliseconds, of those that were answered; null where none was. */
  readonly p50: number | null
  readonly p90: number | null
  readonly p99: number | null
  readonly max: number | null
  /** How many failed, by the code of the problem, the status, or what the socket said. */
  readonly errors: Readonly<Record<string, number>>
}

/** One second of a run. */
export interface Moment {
  /** Seconds from the start. */
  readonly at: number
  readonly done: number
  readonly errors: number
  readonly p50: number | null
  readonly p99: number | null
  /** Of one processor; null where the machine does not tell. */
  readonly brokerCpu: number | null
  readonly databaseCpu: number | null
  readonly brokerMegabytes: number | null
}

interface Statement {
  readonly text: string
  readonly calls: number
  readonly rows: number
  readonly milliseconds: number
}

export interface Result {
  readonly scenario: string
  readonly title: string
  readonly servers: number
  readonly seconds: number
  readonly startedAt: string
  readonly machine: {
    readonly processors: number
    readonly model: string
    readonly gigabytes: number
    readonly node: string
    readonly postgres: string
    /** Processes that wanted to run, on average over a minute. */
    readonly loadBefore: number
    readonly loadAfter: number
  }
  readonly operations: ReadonlyArray<Operation>
  readonly broker: { readonly cpuSeconds: number | null; readonly mostMegabytes: number | null }
  readonly database: {
    readonly cpuSeconds: number | null
    readonly statements: number
    readonly rows: number
    readonly milliseconds: number
    readonly walBytes: number
    /** The costliest ones. */
    readonly top: ReadonlyArray<Statement>
  }
  /** What asked: where it took a processor for itself, the figures are its own. */
  readonly asker: { readonly cpuSeconds: number }
  readonly notes: ReadonlyArray<string>
  readonly moments: ReadonlyArray<Moment>
}
