/** What happened around a user, in words. */
import type { UserActivity } from "@broker/domain/User"
import { plural } from "#lib/numbers.ts"
import type { Tone } from "#lib/status.ts"
import { dated, span } from "#lib/time.ts"
import { capital, readable } from "#lib/words.ts"

export interface Story {
  readonly tone: Tone
  /** What happened, as the start of a sentence. */
  readonly what: string
  /** What it happened to, or with. */
  readonly subject: string | null
  /** Why, and what was changed. */
  readonly details: ReadonlyArray<string>
  /** Who did it, or on what. Nobody knows who was refused. */
  readonly by: string | null
}

const acts: Readonly<Record<string, { readonly what: string; readonly tone: Tone; readonly named: boolean }>> = {
  "users:create": { what: "Created", tone: "ok", named: false },
  "users:update": { what: "Edited", tone: "idle", named: false },
  "users:suspend": { what: "Suspended", tone: "bad", named: false },
  "users:resume": { what: "Resumed", tone: "ok", named: false },
  "personal-keys:create": { what: "Key created:", tone: "ok", named: true },
  "personal-keys:rotate": { what: "Key rotated:", tone: "info", named: true },
  "personal-keys:revoke": { what: "Key revoked:", tone: "bad", named: true },
  "devices:block": { what: "Device blocked:", tone: "bad", named: true },
  "devices:unblock": { what: "Device unblocked:", tone: "ok", named: true },
  "devices:remove": { what: "Device removed:", tone: "warn", named: true },
  "clients:sign-in": { what: "Signed in with", tone: "info", named: true }
}

const refusals: Readonly<Record<string, string>> = {
  expired: "the key is expired",
  revoked: "the key is revoked",
  user_suspended: "the user is suspended",
  wrong_secret: "the secret is wrong"
}

const fields: Readonly<Record<string, string>> = { name: "Name", email: "E-mail", note: "Note" }

const texts = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((one) => typeof one === "string") : []

const quoted = (text: string | undefined) => (text === undefined || text === "" ? "nothing" : `“${text}”`)

/** "Name: “Grace” is now “Grace Hopper”". */
const changes = (details: UserActivity["details"]) => {
  const [before, after] = [texts(details["before"]), texts(details["after"])]
  return texts(details["fields"]).map(
    (field, at) => `${fields[field] ?? capital(readable(field))}: ${quoted(before[at])} is now ${quoted(after[at])}`
  )
}

const overlap = (seconds: unknown) => {
  if (typeof seconds !== "number") return []
  return [seconds === 0 ? "the old key ended at once" : `the old key goes on for ${span(seconds * 1_000)}`]
}

/** What a new key is good for. */
const terms = ({ connectionLimit, expiresAt }: UserActivity["details"]) => [
  ...(typeof connectionLimit === "number" ? [`${plural(connectionLimit, "connection")} at once`] : []),
  typeof expiresAt === "string" ? `until ${dated(Date.parse(expiresAt))}` : "does not expire"
]

const reasonOf = ({ details, outcome }: UserActivity) => {
  const reason = details["reason"]
  if (typeof reason !== "string" || reason === "") return []
  return [outcome === "refused" ? (refusals[reason] ?? readable(reason)) : readable(reason)]
}

export const tell = (activity: UserActivity): Story => {
  const { action, by, details, outcome, subject } = activity
  const act = acts[action]
  const what = act?.what ?? capital(readable(action.replaceAll(/[:-]/g, "_")))
  const refused = action === "clients:sign-in" ? "Sign-in refused with" : `Refused: ${what.toLowerCase()}`
  return {
    tone: outcome === "refused" ? "warn" : (act?.tone ?? "idle"),
    what: outcome === "refused" ? refused : what,
    subject: (act?.named ?? true) ? subject : null,
    details: [
      ...reasonOf(activity),
      ...changes(details),
      ...overlap(details["overlapSeconds"]),
      ...(action === "personal-keys:create" ? terms(details) : [])
    ],
    by: action !== "clients:sign-in" ? `by ${by}` : outcome === "done" ? `on ${by}` : null
  }
}
