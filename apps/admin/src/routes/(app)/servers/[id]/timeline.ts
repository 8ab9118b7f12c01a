/** All that happened to a server in one list: moves, changes, verification, maintenance and outages. */
import type { BrokerOutage } from "@broker/domain/Availability"
import { messageOf, severityOf } from "@broker/domain/EventWords"
import type { ServerChange } from "@broker/domain/Fleet"
import { fieldChanges, fieldName, told, valueWords } from "#lib/audit.ts"
import type { WindowView } from "#lib/availability.ts"
import { type EventView, toneOf } from "#lib/events.ts"
import type { ChallengeView, TransitionView } from "#lib/fleet.ts"
import { moveReason, moveTone, moveVerb, type Tone } from "#lib/status.ts"
import { duration, maybeMillis, millis } from "#lib/time.ts"
import { capital } from "#lib/words.ts"

export const kinds = [
  { value: "state", word: "State", meaning: "Where it stood: liveness, admission and duty." },
  { value: "changes", word: "Changes", meaning: "What was changed about it, and by whom." },
  { value: "verification", word: "Verification", meaning: "Whether it proved who it is." },
  { value: "security", word: "Security", meaning: "What the broker found suspicious." },
  { value: "maintenance", word: "Maintenance", meaning: "Windows in which nobody expects it." },
  { value: "outages", word: "Outages of the broker", meaning: "Times in which no broker was there to hear it." }
] as const

export type Kind = (typeof kinds)[number]["value"]

export interface Happening {
  readonly key: string
  readonly at: number
  readonly kind: Kind
  readonly tone: Tone
  readonly title: string
  /** Why, by whom, or for how long. */
  readonly detail: string | null
  /** Fields that were changed. */
  readonly fields: ReadonlyArray<string>
}

interface Told {
  readonly transitions: ReadonlyArray<TransitionView>
  readonly challenges: ReadonlyArray<ChallengeView>
  readonly changes: ReadonlyArray<ServerChange>
  readonly windows: ReadonlyArray<WindowView>
  readonly outages: ReadonlyArray<BrokerOutage>
  /** Security events. */
  readonly alarms: ReadonlyArray<EventView>
  /** The paths of groups by their ids, as far as they may be seen. */
  readonly groups: ReadonlyMap<string, string>
}

/** Fields that moves tell of already, or that follow from others. */
const toldElsewhere = new Set([
  "admission",
  "admissionReason",
  "admissionSince",
  "duty",
  "dutySince",
  "id",
  "organizationId",
  "tags",
  "labels"
])
const camel = (field: string) => field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** "Version: 1.4.0 → 1.5.0". */
const fieldsOf = (change: ServerChange, groups: Told["groups"]) => {
  const all = fieldChanges({ before: change.before, after: change.after })
  const names = new Set(all.map(({ field }) => camel(field)))
  return all
    .filter(({ field }) => {
      const name = camel(field)
      if (name === "tags") return !names.has("assignedTags") && !names.has("declaredTags")
      if (name === "labels") return !names.has("assignedLabels") && !names.has("declaredLabels")
      return !toldElsewhere.has(name)
    })
    .map(({ after, before, field }) => {
      const isGroup = camel(field) === "groupId"
      const value = (each: unknown) =>
        isGroup && typeof each === "string" ? (groups.get(each) ?? "a group that is gone") : valueWords(each)
      return `${isGroup ? "Group" : fieldName(field)}: ${value(before)} → ${value(after)}`
    })
}

const challengeWords: Record<ChallengeView["state"], { readonly title: string; readonly tone: Tone }> = {
  open: { title: "Is asked to prove its key", tone: "info" },
  passed: { title: "Proved its key", tone: "ok" },
  failed: { title: "Signed a challenge with the wrong key", tone: "bad" },
  expired: { title: "Left a challenge unanswered", tone: "warn" },
  superseded: { title: "A challenge was replaced by another", tone: "idle" }
}

const purposes: Record<ChallengeView["purpose"], string> = {
  registration: "on joining",
  scheduled: "scheduled",
  requested: "asked for by an admin"
}

const moves = ({ transitions }: Told) =>
  transitions.map(
    (move): Happening => ({
      key: `move-${move.id}`,
      at: millis(move.at),
      kind: move.axis === "verification" ? "verification" : "state",
      tone: moveTone(move),
      title: capital(moveVerb(move)),
      detail: moveReason(move),
      fields: []
    })
  )

const changes = ({ changes, groups }: Told) =>
  changes.flatMap((change, index): ReadonlyArray<Happening> => {
    const fields = fieldsOf(change, groups)
    return fields.length === 0
      ? []
      : [
          {
            key: `change-${index}-${millis(change.at)}`,
            at: millis(change.at),
            kind: "changes",
            tone: "info",
            title: told({ action: change.action, outcome: "done" }),
            detail: change.actorName === null ? null : `by ${change.actorName}`,
            fields
          }
        ]
  })

const challenges = ({ challenges }: Told) =>
  challenges.map(
    ({ answeredAt, id, issuedAt, purpose, state }): Happening => ({
      key: `challenge-${id}`,
      at: maybeMillis(answeredAt) ?? millis(issuedAt),
      kind: "verification",
      ...challengeWords[state],
      detail: purposes[purpose],
      fields: []
    })
  )

const alarms = ({ alarms }: Told) =>
  alarms.map(
    (event): Happening => ({
      key: `event-${event.id}`,
      at: millis(event.at),
      kind: "security",
      tone: toneOf(event),
      title: messageOf(event),
      detail: severityOf(event) === null ? null : `${severityOf(event)} severity`,
      fields: []
    })
  )

const windows = ({ windows }: Told) =>
  windows.map(
    ({ about, createdBy, endsAt, id, reason, serverId, startsAt }): Happening => ({
      key: `window-${id}`,
      at: millis(startsAt),
      kind: "maintenance",
      tone: "idle",
      title: `Maintenance of ${serverId !== null ? "this server" : about === null ? "the fleet" : `the group ${about}`}, ${duration(millis(endsAt) - millis(startsAt))}`,
      detail: `${reason === "" ? "" : `${reason}, `}announced by ${createdBy}`,
      fields: []
    })
  )

const outages = ({ outages }: Told) =>
  outages.map(
    ({ beganAt, endedAt }): Happening => ({
      key: `outage-${millis(beganAt)}`,
      at: millis(beganAt),
      kind: "outages",
      tone: "warn",
      title: `No broker was there for ${duration(millis(endedAt) - millis(beganAt))}`,
      detail: "not held against any server",
      fields: []
    })
  )

/** The newest first. */
export const happenings = (all: Told): ReadonlyArray<Happening> =>
  [...moves(all), ...changes(all), ...challenges(all), ...alarms(all), ...windows(all), ...outages(all)].toSorted(
    (a, b) => b.at - a.at
  )

const isKind = (word: string): word is Kind => kinds.some(({ value }) => value === word)

/** Which kinds a link shows; all where it names none. */
export const parseKinds = (value: string | null): ReadonlyArray<Kind> => (value ?? "").split(",").filter(isKind)
