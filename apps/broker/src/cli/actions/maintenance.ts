import { Availability } from "@broker/core/availability/Availability"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import {
  ListedWindow,
  MaintenanceWindowId,
  MaintenanceWindowNotFound,
  MaintenanceWindowRequest
} from "@broker/domain/Availability"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { DateTime, Effect, Option, Schema } from "effect"
import * as Kind from "../../settings/Kind.ts"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { idOf } from "./idOf.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(ListedWindow.json)
const encodePage = Schema.encodeSync(Page(ListedWindow.json))

const about = ({ about, serverId }: ListedWindow) =>
  about === null ? "the whole fleet" : serverId === null ? `group ${about}` : about

const state = (window: ListedWindow, now: DateTime.Utc) =>
  DateTime.isLessThanOrEqualTo(window.endsAt, now)
    ? "over"
    : DateTime.isGreaterThan(window.startsAt, now)
      ? "announced"
      : "now"

export const list = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const items = yield* Availability.use((all) => all.windows(defaultOrganizationId))
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["ABOUT", "STATE", "FROM", "TO", "REASON", "BY", "ID"],
          items.map((window) => [
            about(window),
            state(window, now),
            DateTime.formatIso(window.startsAt),
            DateTime.formatIso(window.endsAt),
            Output.or(window.reason),
            window.createdBy,
            window.id
          ])
        ),
        "No maintenance is announced, and none was in the last 30 days."
      )
    })
  )

export const announce = Effect.fnUntraced(function* (
  flags: Common & {
    readonly server: Option.Option<string>
    readonly group: Option.Option<string>
    readonly from: Option.Option<string>
    readonly duration: string
    readonly reason: string
  }
) {
  const lasts = yield* Schema.decodeEffect(Kind.DurationText)(flags.duration).pipe(
    Effect.mapError(() => usage(`--for is ${JSON.stringify(flags.duration)}.`, "Take a time such as 30m or 2h."))
  )
  const now = yield* DateTime.now
  const from = Option.isNone(flags.from) ? Option.some(now) : DateTime.make(flags.from.value.trim())
  if (Option.isNone(from)) {
    return yield* usage(
      `--from is ${JSON.stringify(Option.getOrElse(flags.from, () => ""))}.`,
      "Take a time such as 2026-12-01T22:00:00Z."
    )
  }
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const serverId = Option.isNone(flags.server)
        ? null
        : (yield* Servers.use((servers) =>
            servers.find(
              defaultOrganizationId,
              Option.getOrElse(flags.server, () => "")
            )
          )).id
      const groupId = Option.isNone(flags.group)
        ? null
        : (yield* Groups.use((groups) =>
            groups.find(defaultOrganizationId, Option.getOrElse(flags.group, () => "").trim())
          )).id
      const request = yield* Schema.decodeEffect(MaintenanceWindowRequest)(
        {
          serverId,
          groupId,
          reason: flags.reason,
          startsAt: DateTime.formatIso(from.value),
          endsAt: DateTime.formatIso(DateTime.addDuration(from.value, lasts))
        },
        { errors: "all" }
      ).pipe(
        Effect.mapError((error) =>
          usage(
            wrongFlags(error, { reason: "--reason", endsAt: "--for", groupId: "--group" }),
            "Take --server or --group, not both, 31 days at most, and a reason of 256 characters at most."
          )
        )
      )
      const window = yield* Availability.use((all) => all.announce(defaultOrganizationId, request))
      yield* Output.either(flags.json, encode(window), [
        `Maintenance of ${about(window)} is announced until ${DateTime.formatIso(window.endsAt)}.`,
        "",
        `Call it off with: broker maintenance call-off ${window.id}`
      ])
    })
  )
})

export const callOff = (flags: Common & { readonly id: string }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* idOf(MaintenanceWindowId, flags.id, () => new MaintenanceWindowNotFound())
      yield* Availability.use((all) => all.callOff(defaultOrganizationId, id))
      yield* Output.either(flags.json, { id }, ["The maintenance is called off."])
    })
  )
