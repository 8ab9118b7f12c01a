/** What can keep a broker from working well, looked at one after the other without changing anything. */
import { Effect, Option, Result } from "effect"
import * as Settings from "../Settings.ts"
import * as DatabaseChecks from "./DatabaseChecks.ts"
import type { Finding } from "./Finding.ts"
import * as MachineChecks from "./MachineChecks.ts"
import * as NetworkChecks from "./NetworkChecks.ts"

export type { Finding } from "./Finding.ts"

const settingsFindings = (reading: Result.Result<Settings.Reading, Settings.SettingsInvalid>): ReadonlyArray<Finding> =>
  Result.match(reading, {
    onFailure: ({ problems }) =>
      problems.map((problem) => ({
        check: "settings",
        level: "error",
        message: problem,
        remedy: "`broker config` lists all settings once this is mended."
      })),
    onSuccess: ({ file }) => [
      {
        check: "settings",
        level: "ok",
        message: Option.match(file, {
          onNone: () => "valid; no file is read",
          onSome: (file) => `valid, with ${file}`
        }),
        remedy: null
      }
    ]
  })

/** Everything that was found, the good as well. With wrong settings most questions make no sense, and are left out. */
export const checkup = Effect.fn("Doctor.checkup")(function* (flags: Settings.Flags) {
  const reading = yield* Effect.result(Settings.read(flags))
  const first = [...MachineChecks.node, ...settingsFindings(reading)]
  if (Result.isFailure(reading)) return first
  const { values } = reading.success
  const checks = [
    MachineChecks.dataDirectory(values),
    MachineChecks.secretFiles(reading.success),
    MachineChecks.disk(values),
    DatabaseChecks.database(values),
    NetworkChecks.port(values),
    NetworkChecks.certificate(values),
    NetworkChecks.publicUrl(reading.success),
    NetworkChecks.mail(values),
    MachineChecks.dashboard
  ]
  return [...first, ...(yield* Effect.all(checks)).flat()]
})
