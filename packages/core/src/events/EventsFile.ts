/** Events as a file for people and spreadsheets: one a line, with what happened in words. */
import { Event, type EventsExportFormat } from "@broker/domain/Event"
import { messageOf, severityOf } from "@broker/domain/EventWords"
import { DateTime, Schema, Stream } from "effect"
import { row } from "../Csv.ts"

const columns = [
  "place",
  "id",
  "at",
  "type",
  "severity",
  "message",
  "subject_kind",
  "subject_id",
  "subject_name",
  "data"
] as const

const encode = Schema.encodeSync(Event)

const csvLine = (event: Event) =>
  row([
    event.place,
    event.id,
    DateTime.formatIso(event.at),
    event.type,
    severityOf(event),
    messageOf(event),
    event.subject.kind,
    event.subject.id,
    event.subject.name,
    JSON.stringify(encode(event).data)
  ])

const formats = {
  csv: { head: row(columns), line: csvLine },
  /** As other systems read it. */
  ndjson: { head: "", line: (event: Event) => `${JSON.stringify(encode(event))}\n` }
} as const satisfies Record<EventsExportFormat, unknown>

export const lines = <E, R>(
  format: EventsExportFormat,
  events: Stream.Stream<Event, E, R>
): Stream.Stream<string, E, R> => {
  const { head, line } = formats[format]
  const beginning = head === "" ? Stream.empty : Stream.make(head)
  return Stream.concat(beginning, Stream.map(events, line))
}
