import * as Fs from "node:fs"
import { finished } from "node:stream/promises"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { type AuditExportFormat, type AuditFilter, AuditVerdict } from "@broker/domain/AuditEntry"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { DateTime, Effect, Option, Schema, Stream } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed, Ended, usage } from "../Failure.ts"
import * as Output from "../Output.ts"

interface Common {
  readonly dataDir: Option.Option<string>
}

const chainOf = ({ installation }: { readonly installation: boolean }) => (installation ? null : defaultOrganizationId)

const encode = Schema.encodeSync(AuditVerdict)

const unreadable = (file: string) => (cause: unknown) =>
  new CommandFailed({
    code: ExitCode.usage,
    what: `${file} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: "Check the name, and whether you may read or write there."
  })

const told = (name: string, verdict: AuditVerdict, now: DateTime.Utc) => [
  ...Output.fields([
    [name, verdict.intact ? "intact" : "BROKEN"],
    [
      "entries",
      verdict.entries === 0 ? "none" : `${verdict.entries}, from ${verdict.first ?? 0} to ${verdict.last ?? 0}`
    ],
    ["last hash", Output.or(verdict.hash)],
    [
      "checkpoints",
      verdict.checkpoints === 0
        ? "none"
        : `${verdict.checkpoints}, the last ${Output.relative(verdict.lastCheckpointAt, now)}`
    ]
  ]),
  ...(verdict.faults.length === 0
    ? []
    : [
        "",
        ...Output.table(
          ["ENTRY", "FAULT", "WHAT"],
          verdict.faults.map(({ detail, kind, seq }) => [String(seq), kind, detail])
        )
      ])
]

export const verify = Effect.fnUntraced(function* (
  flags: Common & {
    readonly installation: boolean
    readonly checkpoint: Option.Option<string>
    readonly json: boolean
  }
) {
  const kept = Option.isNone(flags.checkpoint)
    ? undefined
    : yield* Effect.try({
        try: () => Fs.readFileSync(Option.getOrThrow(flags.checkpoint), "utf8"),
        catch: unreadable(Option.getOrThrow(flags.checkpoint))
      })
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      let next = 100_000
      const onProgress = (entries: number) =>
        Effect.suspend(() => {
          if (entries < next) return Effect.void
          next += 100_000
          return Output.note(`${entries} entries …`)
        })
      const installation = yield* log.verify(null, {
        checkpoint: flags.installation ? kept : undefined,
        onProgress
      })
      const organization = flags.installation
        ? undefined
        : yield* log.verify(defaultOrganizationId, { checkpoint: kept, onProgress })
      const keys = yield* log.keys
      const now = yield* DateTime.now
      yield* Output.either(
        flags.json,
        {
          ...(organization === undefined ? {} : { organization: encode(organization) }),
          installation: encode(installation),
          keys
        },
        [
          ...(organization === undefined ? [] : [...told("organization", organization, now), ""]),
          ...told("installation", installation, now),
          ...(keys.length === 0
            ? []
            : [
                "",
                ...Output.table(
                  ["KEY OF CHECKPOINTS", "ED25519"],
                  keys.map(({ id, publicKey }) => [id, publicKey])
                )
              ])
        ]
      )
      if (organization?.intact === false || !installation.intact) return yield* new Ended({ code: ExitCode.unexpected })
    })
  )
})

const timeOf = (flag: string, text: Option.Option<string>) =>
  Option.match(text, {
    onNone: () => Effect.succeed(null),
    onSome: (text) =>
      Option.match(DateTime.make(text), {
        onNone: () => Effect.fail(usage(`${flag} is no time: ${text}`, "Say it like 2026-11-01T08:00:00Z.")),
        onSome: (at) => Effect.succeed(DateTime.toUtc(at))
      })
  })

/** Written as it comes: a log may be larger than the memory. */
const write = <E, R>(lines: Stream.Stream<string, E, R>, to: NodeJS.WritableStream) =>
  Stream.runForEach(lines, (line) =>
    Effect.callback<void>((resume) => {
      if (to.write(line)) resume(Effect.void)
      else to.once("drain", () => resume(Effect.void))
    })
  )

export const exportTo = Effect.fnUntraced(function* (
  flags: Common & {
    readonly installation: boolean
    readonly format: AuditExportFormat
    readonly from: Option.Option<string>
    readonly to: Option.Option<string>
    readonly output: Option.Option<string>
  }
) {
  const filter: AuditFilter = {
    from: yield* timeOf("--from", flags.from),
    to: yield* timeOf("--to", flags.to),
    text: "",
    action: null,
    actorKinds: [],
    actorId: null,
    subjectKind: null,
    subjectId: null,
    outcome: null
  }
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      const lines = log.export(chainOf(flags), filter, flags.format)
      if (Option.isNone(flags.output)) return yield* write(lines, process.stdout)
      const file = flags.output.value
      // Nobody else's to read: it tells who did what from where.
      const descriptor = yield* Effect.try({ try: () => Fs.openSync(file, "wx", 0o600), catch: unreadable(file) })
      const target = Fs.createWriteStream(file, { fd: descriptor })
      yield* write(lines, target)
      target.end()
      yield* Effect.tryPromise({ try: () => finished(target), catch: unreadable(file) })
      yield* Output.note(`Wrote ${file}.`)
    })
  )
})

export const checkpoint = (flags: Common & { readonly installation: boolean; readonly json: boolean }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const log = yield* AuditLog
      yield* log.checkpoint
      const newest = yield* log.newestCheckpoint(chainOf(flags))
      if (Option.isNone(newest)) {
        return yield* new CommandFailed({
          code: ExitCode.refused,
          what: "There is nothing in the audit log yet.",
          remedy: "Come back when somebody has done something."
        })
      }
      yield* Output.either(flags.json, { checkpoint: newest.value }, [newest.value])
    })
  )
