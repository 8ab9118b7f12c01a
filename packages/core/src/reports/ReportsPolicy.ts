/** How reports are made, sent and kept. */
import { Context, Duration } from "effect"

export const ReportsPolicy = Context.Reference<{
  /** So long after a time is over, what happened in it has been told by all who were there. */
  readonly settledAfter: Duration.Duration
  /** Scheduled ones wait for all that is to be counted, but not longer than that. */
  readonly patience: Duration.Duration
  /** How many rows tables have at most: on screen and in a PDF, and in files for programs. */
  readonly shownRows: number
  readonly fileRows: number
  /** How long a node has a report to itself; its making takes no longer. */
  readonly hold: Duration.Duration
  /** How often making one is tried. */
  readonly attempts: number
  /** How many slots, reports and e-mails one run of a job takes on. */
  readonly slotsPerRun: number
  readonly reportsPerRun: number
  readonly mailsPerRun: number
  /** How long after each failure an e-mail is tried again; after the last, it is given up. */
  readonly mailDelays: ReadonlyArray<Duration.Duration>
  /** So many bytes of files one e-mail has at most; what is beyond them is downloaded. Mail servers refuse larger ones. */
  readonly attachedBytes: number
  /** How long what was made is kept. */
  readonly history: Duration.Duration
}>("@broker/core/reports/ReportsPolicy", {
  defaultValue: () => ({
    settledAfter: Duration.minutes(5),
    patience: Duration.minutes(20),
    shownRows: 100,
    fileRows: 100_000,
    hold: Duration.minutes(2),
    attempts: 3,
    slotsPerRun: 50,
    reportsPerRun: 5,
    mailsPerRun: 20,
    mailDelays: [1, 5, 15, 60, 240, 480, 720].map(Duration.minutes),
    attachedBytes: 10_000_000,
    history: Duration.days(400)
  })
})
