import { AuditLog } from "@broker/core/audit/AuditLog"
import { type AuditExportFormat, type AuditFilter, AuditVerdict } from "@broker/domain/AuditEntry"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { DateTime, Effect, Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed, Ended } from "../Failure.ts"
import * as Output from "../Output.ts"
import { print, readText, writeNew } from "./files.ts"
import { timeOf } from "./timeOf.ts"

interface Common {
  readonly dataDir: Option.Option<string>
}

const chainOf = ({ installation }: { readonly installation: boolean }) => (installation ? null : defaultOrganizationId)

const encode = Schema.encodeSync(AuditVerdict)

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
  const kept = Option.isNone(flags.checkpoint) ? undefined : yield* readText(flags.checkpoint.value)
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
      yield* Option.isNone(flags.output) ? print(lines) : writeNew(flags.output.value, lines)
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
