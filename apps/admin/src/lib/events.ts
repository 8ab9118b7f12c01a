/** Events as they arrive, and how they look. */
import { catalogue, Event, EventPlace, EventsPage, type EventType, eventTypes } from "@broker/domain/Event"
import { eventNouns, nounOf, severityOf, verbOf } from "@broker/domain/EventWords"
import type { Permission } from "@broker/domain/Permission"
import { Page } from "@broker/domain/Primitives"
import type { Severity } from "@broker/domain/SecurityEvent"
import { Schema } from "effect"
import type { Wording } from "./connection.ts"
import { shortId } from "./ids.ts"
import { moveTone, type Tone } from "./status.ts"
import { capital, readable } from "./words.ts"

export type EventView = typeof Event.Type

export const decodeEvent = Schema.decodeUnknownSync(Event)
export const decodeEventsPage = Schema.decodeUnknownSync(Page(Event))
/** How a subject is called: by its name, by the end of its id, or not at all where it is the only one of its kind. */
export const subjectWords = ({ id, kind, name }: EventView["subject"]) =>
  name ?? (kind === "organization" ? null : shortId(id))

export const decodePlace = Schema.decodeUnknownSync(EventPlace)
export const decodeFeed = Schema.decodeUnknownSync(EventsPage)

/** As other systems get it. */
const encodeEvent = Schema.encodeUnknownSync(Event)
export const eventJson = (event: EventView) => JSON.stringify(encodeEvent(event), null, 2)

export const severities: Record<Severity, Wording> = {
  critical: { word: "Critical", tone: "bad", meaning: "Somebody should look now." },
  high: { word: "High", tone: "bad", meaning: "Somebody should look today." },
  medium: { word: "Medium", tone: "warn", meaning: "Worth a look." },
  low: { word: "Low", tone: "info", meaning: "Good to know." }
}

const tones: Partial<Record<EventType, Tone>> = {
  "connection.started": "ok",
  "connection.refused": "bad",
  "connection.expired": "warn",
  "fleet_guard.began": "warn",
  "fleet_guard.ended": "ok",
  "webhook.paused": "warn",
  "webhook.resumed": "ok"
}

/** How good or bad the news is, for the mark before it; what it is stands in the words beside. */
export const toneOf = (event: EventView): Tone => {
  const severity = severityOf(event)
  if (severity !== null) return severities[severity].tone
  switch (event.type) {
    case "server.registered":
    case "server.admission_changed":
    case "server.liveness_changed":
    case "server.duty_changed":
    case "server.verification_changed":
      return moveTone(event.data)
    default:
      return tones[event.type] ?? "idle"
  }
}

const nounTitleOf = (noun: string) => eventNouns[noun] ?? capital(readable(noun))

export const byNoun = (types: ReadonlyArray<EventType>) =>
  [...Map.groupBy(types, nounOf)].map(([noun, types]) => ({ noun, title: nounTitleOf(noun), types }))

export type TypeGroup = ReturnType<typeof byNoun>[number]

/** The types that somebody may hear of, by their noun. */
export const typesByNoun = (permissions: ReadonlyArray<Permission>) =>
  byNoun(eventTypes.filter((type) => permissions.includes(catalogue[type].permission)))

/** "Servers: liveness changed" for one, a number for several. */
export const typesWords = (types: ReadonlyArray<EventType>) => {
  const [only] = types
  if (only === undefined) return "Any type"
  if (types.length > 1) return `${types.length} types`
  return `${nounTitleOf(nounOf(only))}: ${verbOf(only).toLowerCase()}`
}
