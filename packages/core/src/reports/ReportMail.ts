/** What an e-mail with a report says. */
import { DateTime } from "effect"
import type { Message } from "../mail/Mail.ts"
import type { ReportDownload } from "./Reports.ts"
import type { Letter } from "./ReportsSql.ts"
import { spanWords } from "./ReportWords.ts"

/** A stable id, so that whoever gets it twice can tell. */
const idOf = (run: string, audience: string) => `report.${run}@${new URL(audience).hostname}`

/** As many as fit, in their order: a PDF before what programs read. */
const fitting = (files: ReadonlyArray<ReportDownload>, limit: number) => {
  let rest = limit
  return files.filter(({ bytes }) => {
    if (bytes > rest) return false
    rest -= bytes
    return true
  })
}

export const message = (
  run: Letter,
  files: ReadonlyArray<ReportDownload>,
  { attachedBytes, audience }: { readonly attachedBytes: number; readonly audience: string }
): Message => {
  const attached = fitting(files, attachedBytes)
  const when = spanWords({ from: run.startsAt, to: run.endsAt }, run.parameters.timeZone)
  return {
    id: idOf(run.id, audience),
    to: run.mailLeft,
    subject: `${run.name}: ${when}`,
    date: DateTime.toDateUtc(run.finishedAt),
    text: [
      `${run.name}`,
      `${when} (${run.parameters.timeZone})${run.complete ? "" : ", so far: not all of it had happened or was counted"}`,
      "",
      ...files.flatMap((file) => [
        `${file.name}${attached.includes(file) ? "" : " (too large to be attached: download it)"}`,
        `SHA-256 ${file.sha256}`,
        ""
      ]),
      `They are kept at ${audience}/reports, where the same bytes can be downloaded again.`,
      ""
    ].join("\n"),
    attachments: attached.map(({ content, name, type }) => ({ name, type: type.split(";")[0] ?? type, content }))
  }
}
