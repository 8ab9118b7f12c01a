/** The audit log in words: who did what to what, and which fields it changed. */
import type { ActorKind, AuditChange, AuditEntry, SubjectKind } from "@broker/domain/AuditEntry"
import { shortId } from "./ids.ts"
import { capital } from "./words.ts"

export type Outcome = AuditEntry["outcome"]

export const actorKinds: Record<ActorKind, { readonly word: string; readonly meaning: string }> = {
  admin: { word: "Admins", meaning: "People who are signed in to the dashboard." },
  "api-token": { word: "API tokens", meaning: "Machines, in the name of the admin who owns the token." },
  server: { word: "Servers", meaning: "Registered gateways." },
  client: { word: "Clients", meaning: "Devices of users." },
  command: { word: "Command line", meaning: "Whoever ran the broker's own commands." },
  broker: { word: "Broker", meaning: "The broker itself, at its scheduled work." },
  stranger: { word: "Strangers", meaning: "Whoever is not signed in: a registration, or a sign-in that was refused." },
  database: { word: "Database", meaning: "Whoever changed the database without saying who they are." }
}

export const actorKindOrder: ReadonlyArray<ActorKind> = [
  "admin",
  "api-token",
  "server",
  "client",
  "command",
  "broker",
  "stranger",
  "database"
]

export const subjectKinds: Record<SubjectKind, string> = {
  server: "Server",
  group: "Group",
  "maintenance-window": "Maintenance",
  "fleet-guard": "Fleet guard",
  "saved-view": "Saved view",
  "bulk-act": "Bulk action",
  "registration-key": "Registration key",
  admin: "Admin",
  challenge: "Challenge",
  user: "User",
  "personal-key": "Personal key",
  device: "Device",
  connection: "Connection",
  role: "Role",
  invitation: "Invitation",
  passkey: "Passkey",
  "admin-session": "Session of an admin",
  "api-token": "API token",
  "audit-log": "Audit log",
  "sign-in-failure": "Failed sign-in",
  "security-policy": "Security settings",
  organization: "Organization",
  "signing-key": "Signing key",
  "encryption-key": "Encryption key",
  webhook: "Webhook",
  report: "Report",
  inventory: "Inventory",
  procedure: "Dashboard",
  endpoint: "API"
}

/** Whole phrases, as in "to …" and "they …", where the two halves of an action do not make one. */
const phrases: Readonly<Record<string, readonly [string, string]>> = {
  "admins:sign-in": ["sign in", "signed in"],
  "admins:sign-out": ["sign out", "signed out"],
  "admins:accept": ["accept an invitation", "accepted an invitation"],
  "admins:set-password": ["set a new password", "set a new password"],
  "admins:step-up": ["confirm that it is them", "confirmed that it was them"],
  "admins:change-role": ["change the role of an admin", "changed the role of an admin"],
  "admins:change-password": ["change their password", "changed their password"],
  "admins:reset-factors": ["reset the second factors of an admin", "reset the second factors of an admin"],
  "admins:reset-password": ["reset the password of an admin", "reset the password of an admin"],
  "admins:update": ["change the role of an admin", "changed the role of an admin"],
  "admins:reset": ["reset how an admin signs in", "reset how an admin signs in"],
  "api-tokens:read": ["see everybody's API tokens", "looked at everybody's API tokens"],
  "audit-log:export": ["export the audit log", "exported the audit log"],
  "audit-log:read": ["read the audit log", "read the audit log"],
  "audit-log:make-key": ["make a key for checkpoints", "made a key for checkpoints"],
  "audit-log:verify": ["verify the audit log", "verified the audit log"],
  "clients:sign-in": ["sign in with a personal key", "signed in with a personal key"],
  "connections:disconnect": ["end a connection", "ended a connection"],
  "invitations:expire": ["let an invitation expire", "let an invitation expire"],
  "recovery-codes:renew": ["make new recovery codes", "made new recovery codes"],
  "second-factors:begin": ["begin to add a second factor", "began to add a second factor"],
  "servers:register-again": ["join again as a server", "joined again as a server"],
  "registration-keys:replace": ["create a replacement key", "created a replacement key"],
  "security-policy:update": ["change the security settings", "changed the security settings"],
  "servers:limit": ["change the connection limit of a server", "changed the connection limit of a server"],
  "servers:drain": ["change the duty of a server", "changed the duty of a server"],
  "servers:register": ["join as a server", "joined as a server"],
  "servers:rotate-key": ["change the key of a server", "changed the key of a server"],
  "servers:verify": ["ask a server to prove its key", "asked a server to prove its key"],
  "sign-in-failures:lift": ["let somebody try again", "let somebody try again"],
  "users:resume": ["let a user connect again", "let a user connect again"]
}

/** One of them; what is not here is read from the word itself. */
const nouns: Readonly<Record<string, string>> = {
  "api-tokens": "an API token",
  audit: "the audit log",
  "audit-log": "the audit log",
  "security-policy": "the security settings",
  "sign-in-failures": "failed sign-ins",
  overview: "the overview",
  analytics: "the analytics",
  account: "their own account"
}

const nounWords = (noun: string) => {
  const known = nouns[noun]
  if (known !== undefined) return known
  const one = noun.replace(/s$/, "").replaceAll("-", " ")
  return `${/^[aeio]/.test(one) ? "an" : "a"} ${one}`
}

const verbs: Readonly<Record<string, readonly [string, string]>> = {
  read: ["look at", "looked at"],
  update: ["change", "changed"],
  reset: ["reset", "reset"],
  begin: ["begin with", "began with"],
  cut: ["cut", "cut"],
  drop: ["drop", "dropped"],
  enrol: ["enrol", "enrolled"],
  rewrap: ["seal anew", "sealed anew"],
  make: ["make", "made"],
  prune: ["tidy up", "tidied up"]
}

/** "enrol-totp" as what they do, and what they did. */
const verbWords = (verb: string): readonly [string, string] => {
  const known = verbs[verb]
  if (known !== undefined) return known
  const [first = "", ...rest] = verb.split("-")
  const base = verbs[first] ?? [first, first.endsWith("e") ? `${first}d` : `${first.replace(/([^aeo])y$/, "$1i")}ed`]
  const tail = rest.length === 0 ? "" : ` the ${rest.join(" ")} of`
  return [`${base[0]}${tail}`, `${base[1]}${tail}`]
}

const phraseOf = (action: string): readonly [string, string] => {
  const known = phrases[action]
  if (known !== undefined) return known
  const [noun = "", verb = ""] = action.split(":")
  const [infinitive, past] = verbWords(verb)
  return [`${infinitive} ${nounWords(noun)}`, `${past} ${nounWords(noun)}`]
}

/** An action as a choice: "Suspend a server". */
export const actionChoice = (action: string) => capital(phraseOf(action)[0])

/** What was done, or was to be done: "Suspended a server", "Tried to suspend a server". */
export const told = ({ action, outcome }: Pick<AuditEntry, "action" | "outcome">) =>
  outcome === "done" ? capital(phraseOf(action)[1]) : `Tried to ${phraseOf(action)[0]}`

const nameIn = (row: Readonly<Record<string, unknown>> | null | undefined) => {
  const name = row?.["name"]
  return typeof name === "string" && name !== "" ? name : undefined
}

/** What it was done to, by the name it had, as far as the entry tells; otherwise by the end of its id. */
export const subjectName = (entry: Pick<AuditEntry, "changes" | "details" | "subjectId" | "subjectKind">) => {
  const changed = entry.changes.find(({ id }) => id !== null && id === entry.subjectId)
  const { details } = entry
  const named = nameIn(details) ?? nameIn(changed?.after) ?? nameIn(changed?.before)
  if (named !== undefined) return named
  if (entry.subjectKind === "procedure" || entry.subjectKind === "endpoint") {
    const what = details["procedure"] ?? details["endpoint"] ?? details["path"]
    if (typeof what === "string") return what
  }
  return entry.subjectId === null ? null : shortId(entry.subjectId)
}

/** The page of what it was done to, where there is one. */
export const subjectHref = ({ subjectId: id, subjectKind }: Pick<AuditEntry, "subjectId" | "subjectKind">) => {
  switch (subjectKind) {
    case "security-policy":
      return "/settings/security"
    case "sign-in-failure":
      return "/access/sign-ins"
    case "invitation":
      return "/access/admins"
    default:
  }
  if (id === null) return null
  switch (subjectKind) {
    case "server":
      return `/servers/${id}`
    case "user":
      return `/users/${id}`
    case "connection":
      return `/connections/${id}`
    case "registration-key":
      return `/registration-keys?key=${id}`
    case "admin":
      return `/access/admins/${id}`
    case "role":
      return `/access/roles/${id}`
    case "api-token":
      return `/access/api-tokens?q=${id}`
    default:
      return null
  }
}

/** A field that an act set, took away or changed. */
export interface FieldChange {
  readonly field: string
  readonly kind: "added" | "removed" | "changed"
  readonly before: unknown
  readonly after: unknown
}

const isNothing = (value: unknown) => value === null || value === undefined

const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** Field by field. What is the same on both sides, or nothing on both, is left out. */
export const fieldChanges = ({ after, before }: Pick<AuditChange, "before" | "after">): ReadonlyArray<FieldChange> =>
  [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].flatMap((field) => {
    const [was, is] = [before?.[field], after?.[field]]
    if (isNothing(was) && isNothing(is)) return []
    // Of a secret both sides look the same; that it stands in both says that it changed.
    if (isSame(was, is) && was !== hidden) return []
    const kind = isNothing(was) ? "added" : isNothing(is) ? "removed" : "changed"
    return [{ field, kind, before: was ?? null, after: is ?? null }]
  })

/** What the log keeps in place of a secret. */
export const hidden = "(hidden)"

export const fieldName = (field: string) =>
  capital(
    field
      .replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`)
      .replaceAll("_", " ")
      .replace(/ id$/, "")
  )

/** "registration_keys" as one of them. */
export const tableName = (table: string) => {
  const one = table
    .replace(/ies$/, "y")
    .replace(/s$/, "")
    .replaceAll("_", " ")
    .replace(/^api\b/, "API")
  return capital(one)
}

/** A value as people read it. */
export const valueWords = (value: unknown): string => {
  if (isNothing(value)) return "nothing"
  if (typeof value === "boolean") return value ? "yes" : "no"
  if (typeof value === "string") return value === "" ? "empty" : value
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(valueWords).join(", ")
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}
