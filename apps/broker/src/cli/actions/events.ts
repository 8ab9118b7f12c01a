import { Events } from "@broker/core/events/Events"
import { Event, EventPlace, EventsListQuery, type EventType } from "@broker/domain/Event"
import { messageOf } from "@broker/domain/EventWords"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { Page, Uuid } from "@broker/domain/Primitives"
import { DateTime, Effect, Option, Schema, Stream } from "effect"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { pageOf } from "./pages.ts"
import { timeOf } from "./timeOf.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly types: ReadonlyArray<EventType>
  readonly subject: Option.Option<string>
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

/** Whoever is at the command line may see everything. */
const reader = { organizationId: defaultOrganizationId, permissions: new Set(Permission.literals) }

const encodePage = Schema.encodeSync(Page(Event))
const encode = Schema.encodeSync(Event)

const subjectOf = ({ subject }: Common) =>
  Option.match(subject, {
    onNone: () => Effect.succeed(null),
    onSome: (text) =>
      Schema.decodeEffect(Uuid)(text.trim().toLowerCase()).pipe(
        Effect.mapError(() => usage(`--subject is no id: ${text}`, "Take an id, as `broker server list` shows it."))
      )
  })

export const list = Effect.fnUntraced(function* (
  flags: Common & {
    readonly from: Option.Option<string>
    readonly to: Option.Option<string>
    readonly search: string
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const [from, to] = [yield* timeOf("--from", flags.from), yield* timeOf("--to", flags.to)]
  const query = yield* Schema.decodeEffect(Schema.toType(EventsListQuery))({
    ...(yield* pageOf(flags)),
    from,
    to,
    types: flags.types,
    subjectId: yield* subjectOf(flags),
    text: flags.search
  }).pipe(
    Effect.mapError((error) =>
      usage(wrongFlags(error, { text: "--search", cursor: "--cursor" }), "Take a text of 128 characters at most.")
    )
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const events = yield* Events
      const page = yield* events.list(reader, query)
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(
          ["PLACE", "WHEN", "TYPE", "WHAT"],
          page.items.map((event) => [event.place, Output.relative(event.at, now), event.type, messageOf(event)])
        ),
        "No event matches."
      )
    })
  )
})

export const follow = Effect.fnUntraced(function* (
  flags: Common & {
    readonly after: Option.Option<string>
    readonly count: Option.Option<number>
  }
) {
  const subjectId = yield* subjectOf(flags)
  const after = yield* Option.match(flags.after, {
    onNone: () => Effect.succeed(null),
    onSome: (text) =>
      Schema.decodeEffect(EventPlace)(text).pipe(
        Effect.mapError(() => usage(`--after is no place: ${text}`, "Take the number at the beginning of a line."))
      )
  })
  const lineOf = (event: Event) =>
    flags.json
      ? JSON.stringify(encode(event))
      : `${event.place}  ${DateTime.formatIso(event.at)}  ${event.type}  ${messageOf(event)}`
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const events = yield* Events
      yield* Output.note("Following. Ctrl-C ends it.")
      yield* events.changes(reader, { after, types: flags.types, subjectId }).pipe(
        Stream.flatMap(({ items }) => Stream.fromIterable(items)),
        Stream.take(Option.getOrElse(flags.count, () => Number.POSITIVE_INFINITY)),
        Stream.runForEach((event) => Output.text(lineOf(event)))
      )
    })
  )
})
