/** What an e-mail with a report says. */
import { DateTime } from "effect"
import type { Message } from "../mail/Mail.ts"
import type { ReportDownload } from "./Reports.ts"
import type { Letter } from "./ReportsSql.ts"
import { spanWords } from "./ReportWords.ts"

/** A stable id, so that whoever gets it twice can tell. */
const idOf = (run: string, audience: string) => `report.${run}@${new URL(audience).hostname}`

export const message = (run: Letter, files: ReadonlyArray<ReportDownload>, audience: string): Message => {
  const when = spanWords({ from: run.startsAt, to: run.endsAt }, run.parameters.timeZone)
  return {
    id: idOf(run.id, audience),
    to: run.emails,
    subject: `${run.name}: ${when}`,
    date: DateTime.toDateUtc(run.finishedAt),
    text: [
      `${run.name}`,
      `${when} (${run.parameters.timeZone})${run.complete ? "" : ", so far: not all of it had happened or was counted"}`,
      "",
      ...files.flatMap(({ name, sha256 }) => [name, `SHA-256 ${sha256}`, ""]),
      `They are kept at ${audience}/reports, where the same bytes can be downloaded again.`,
      ""
    ].join("\n"),
    attachments: files.map(({ content, name, type }) => ({ name, type: type.split(";")[0] ?? type, content }))
  }
}
