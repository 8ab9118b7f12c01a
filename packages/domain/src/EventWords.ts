/** Events in words: what happened, as a sentence for the dashboard and for exports. */
import type { ActorKind } from "./AuditEntry.ts"
import { didWords } from "./AuditWords.ts"
import { endReasonWords } from "./ConnectionWords.ts"
import type { Event, EventType } from "./Event.ts"
import type { SecurityEventKind, Severity } from "./SecurityEvent.ts"
import { moveReason, moveVerb } from "./ServerWords.ts"
import { capital, phraseOf, readable } from "./Wording.ts"

/** The types by their noun, in the order of the catalogue, with what the nouns are called. */
export const eventNouns: Readonly<Record<string, string>> = {
  server: "Servers",
  connection: "Connections",
  fleet_guard: "Fleet guard",
  security_event: "Security",
  audit: "Audit log",
  webhook: "Webhooks",
  report: "Reports"
}

export const nounOf = (type: EventType) => type.slice(0, type.indexOf("."))

/** A type as a choice: "Liveness changed". */
export const verbOf = (type: EventType) => capital(readable(type.slice(type.indexOf(".") + 1)))

type Of<Type extends EventType> = Extract<Event, { readonly type: Type }>["data"]

const because = (sentence: string, reason: string | null) => (reason === null ? sentence : `${sentence}: ${reason}`)

const fields: Readonly<Record<string, string>> = {
  connectionLimit: "connection limit",
  publicKey: "key"
}

const list = (words: ReadonlyArray<string>) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const

const bytes = (value: number) => {
  const at = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10))
  return `${Number((value / 1024 ** at).toFixed(at === 0 ? 0 : 1))} ${units[at]}`
}

const verdicts = {
  confirmed: "both sides count alike",
  client_only: "the server never told its end",
  server_only: "the client never told its end",
  byte_mismatch: "both sides count differently"
} as const

const settled = ({ rxBytes, server, txBytes, user, verdict }: Of<"connection.settled">) => {
  const told = [
    ...(rxBytes === null ? [] : [`${bytes(rxBytes)} received`]),
    ...(txBytes === null ? [] : [`${bytes(txBytes)} sent`]),
    ...(verdict === null ? [] : [verdicts[verdict]])
  ]
  return because(`The account of ${user.name} on ${server.name} is settled`, told.length === 0 ? null : told.join(", "))
}

const guardCauses = {
  broker: "the broker itself could not hear them",
  network: "they share a network",
  group: "they share a group",
  version: "they share a version",
  unclear: "with no cause that the broker knows of"
} as const

const guardEnds = {
  recovered: "all were heard again",
  steady: "the rest was taken for gone",
  confirmed: "they were said to be gone",
  expired: "it held for as long as it may"
} as const

const securityKinds: Record<SecurityEventKind, string> = {
  challenge_failed: "A challenge was signed with the wrong key",
  device_key_mismatch: "A device came with another key than its own",
  fleet_silent: "Much of the fleet fell silent at once",
  passkey_cloned: "A passkey seems to have been copied",
  public_key_reused: "A public key was used again",
  server_forked: "Two machines claim to be one server",
  token_reused: "A token that was replaced was used",
  sign_in_slowed: "Sign-ins failed so often that they are slowed down"
}

const isKnown = (kind: string): kind is SecurityEventKind => Object.hasOwn(securityKinds, kind)

const security = ({ address, kind, server }: Of<"security_event.raised">) =>
  [
    isKnown(kind) ? securityKinds[kind] : `Something suspicious: ${readable(kind)}`,
    ...(server === null ? [] : [` by ${server.name}`]),
    ...(address === null ? [] : [` from ${address}`])
  ].join("")

/** Whoever did something, where they have a name that people know. */
const nameless: Partial<Record<ActorKind, string>> = {
  server: "A server",
  client: "A client",
  broker: "The broker",
  command: "Somebody at the command line",
  database: "Somebody at the database"
}

/** Somebody who signs in is nobody yet: whom it is done to is who did it. */
const audited = ({ action, actor }: Of<"audit.recorded">, { kind, name }: Event["subject"]) => {
  if (actor.kind === "stranger" && kind === "admin" && name !== null) return `${name} ${didWords(action)}`
  const who = nameless[actor.kind] ?? (actor.kind === "stranger" ? `Somebody by ${actor.name}` : actor.name)
  return `${who} ${didWords(action)}${name === null ? "" : `: ${name}`}`
}

/** What happened, as a sentence without its full stop. */
export const messageOf = (event: Event): string => {
  switch (event.type) {
    case "server.registered": {
      const { after, server } = event.data
      return `${server.name} ${moveVerb({ axis: "admission", before: null, after })}`
    }
    case "server.admission_changed": {
      const { after, before, server } = event.data
      return because(`${server.name} ${moveVerb({ axis: "admission", before, after })}`, moveReason(event.data))
    }
    case "server.liveness_changed": {
      const { after, before, server } = event.data
      return because(`${server.name} ${moveVerb({ axis: "liveness", before, after })}`, moveReason(event.data))
    }
    case "server.duty_changed": {
      const { after, before, server } = event.data
      return because(`${server.name} ${moveVerb({ axis: "duty", before, after })}`, moveReason(event.data))
    }
    case "server.verification_changed": {
      const { after, before, server } = event.data
      return because(`${server.name} ${moveVerb({ axis: "verification", before, after })}`, moveReason(event.data))
    }
    case "server.updated": {
      const { changed, server } = event.data
      return changed.length === 0
        ? `${server.name} changed`
        : `${server.name} changed its ${list(changed.map((field) => phraseOf(fields, field) ?? field))}`
    }
    case "connection.created":
      return `${event.data.user.name} is on the way to ${event.data.server.name} with ${event.data.device.name}`
    case "connection.started":
      return `${event.data.user.name} is connected to ${event.data.server.name} with ${event.data.device.name}`
    case "connection.ended": {
      const { reason, server, user } = event.data
      return because(`${user.name} is no longer connected to ${server.name}`, endReasonWords(reason))
    }
    case "connection.expired": {
      const { reason, server, user } = event.data
      return because(`${user.name} never got connected to ${server.name}`, endReasonWords(reason))
    }
    case "connection.refused": {
      const { reason, server, user } = event.data
      const words = reason === "server_refused" ? null : endReasonWords(reason)
      return because(`${server.name} refused ${user.name}`, words)
    }
    case "connection.settled":
      return settled(event.data)
    case "fleet_guard.began": {
      const { cause, causeDetail, expected, seen } = event.data
      const why = causeDetail === null ? guardCauses[cause] : `${guardCauses[cause]}, ${causeDetail}`
      return because(`${expected - seen} of ${expected} servers fell silent at once, and are held as unknown`, why)
    }
    case "fleet_guard.ended": {
      const { end, endedBy } = event.data
      const how = end === null ? null : `${guardEnds[end]}${endedBy === null ? "" : ` by ${endedBy}`}`
      return because("The fleet guard ended", how)
    }
    case "security_event.raised":
      return security(event.data)
    case "webhook.paused": {
      const { because: why, problem, webhook } = event.data
      return why === "admin"
        ? `The webhook ${webhook.name} was paused`
        : because(`The broker paused the webhook ${webhook.name}`, problem?.replace(/\.$/, "") ?? "it failed for days")
    }
    case "webhook.resumed":
      return `The webhook ${event.data.webhook.name} is sent events again`
    case "webhook.test":
      return `A test of the webhook ${event.data.webhook.name}`
    case "report.ready": {
      const formats = event.data.files.map(({ format }) => format.toUpperCase())
      const report = event.subject.name === null ? `A report of ${event.data.kind}` : `The report ${event.subject.name}`
      return because(`${report} is ready`, formats.length === 0 ? null : list(formats))
    }
    case "audit.recorded":
      return audited(event.data, event.subject)
  }
}

/** How grave it is, where that is known. */
export const severityOf = (event: Event): Severity | null =>
  event.type === "security_event.raised" ? event.data.severity : null
