/** The audit log in words: who did what to what, and which fields it changed. */
import type { ActorKind, AuditChange, AuditEntry, SubjectKind } from "@broker/domain/AuditEntry"
import { shortId } from "./ids.ts"
import { capital } from "./words.ts"

/** Exports of events tell acts in the same words, so that these are the domain's. */
export { actionChoice, told } from "@broker/domain/AuditWords"

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
    case "inventory":
      return "/inventory"
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
    case "report":
      return `/reports/${id}`
    case "api-token":
      return `/access/api-tokens?q=${id}`
    case "group":
      return `/groups/${id}`
    case "webhook":
      return `/webhooks/${id}`
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
