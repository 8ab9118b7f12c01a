/**
 * The audit log as a file that proves itself: each line has the text that was hashed, which begins with the hash of the
 * entry before, so that SHA-256 alone is enough to check it (A6). The last line is the newest signed checkpoint.
 */
import type { AuditExportFormat } from "@broker/domain/AuditEntry"
import { DateTime, type Effect, Option, Stream } from "effect"
import { row } from "../Csv.ts"
import type { ProvenEntry } from "./AuditLogSql.ts"

interface Trailer {
  readonly jws: string
  readonly publicKey: string | null
}

const columns = [
  "seq",
  "at",
  "actor_kind",
  "actor_id",
  "actor_name",
  "address",
  "request_id",
  "action",
  "subject_kind",
  "subject_id",
  "outcome",
  "details",
  "changes",
  "hash",
  "text"
] as const

const csvLine = (entry: ProvenEntry) =>
  row([
    String(entry.seq),
    DateTime.formatIso(entry.at),
    entry.actorKind,
    entry.actorId,
    entry.actorName,
    entry.address,
    entry.requestId,
    entry.action,
    entry.subjectKind,
    entry.subjectId,
    entry.outcome,
    JSON.stringify(entry.details),
    JSON.stringify(entry.changes),
    entry.hash,
    entry.text
  ])

const jsonLine = ({ hash, text, ...entry }: ProvenEntry) =>
  `${JSON.stringify({ ...entry, at: DateTime.formatIso(entry.at), hash, text })}\n`

const formats = {
  csv: {
    head: row(columns),
    line: csvLine,
    /** In the first and the last column, so that every line has as many cells. */
    trailer: ({ jws }: Trailer) =>
      row(columns.map((name) => (name === "seq" ? "checkpoint" : name === "text" ? jws : "")))
  },
  json: {
    head: "",
    line: jsonLine,
    trailer: ({ jws, publicKey }: Trailer) => `${JSON.stringify({ checkpoint: { jws, publicKey } })}\n`
  }
} as const satisfies Record<AuditExportFormat, unknown>

export const lines = <E, R>(
  format: AuditExportFormat,
  entries: Stream.Stream<ProvenEntry, E, R>,
  trailer: Effect.Effect<Option.Option<Trailer>>
): Stream.Stream<string, E, R> => {
  const { head, line, trailer: last } = formats[format]
  const end = Stream.fromEffect(trailer).pipe(
    Stream.flatMap((trailer) => (Option.isSome(trailer) ? Stream.make(last(trailer.value)) : Stream.empty))
  )
  const beginning = head === "" ? Stream.empty : Stream.make(head)
  return Stream.concat(beginning, Stream.concat(Stream.map(entries, line), end))
}
