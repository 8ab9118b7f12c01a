/** Acts in words, by rule where there is no phrase: "Suspended a server". */
import type { AuditEntry } from "./AuditEntry.ts"
import { capital } from "./Wording.ts"

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
  "reports:download": ["download a report", "downloaded a report"],
  "reports:run": ["make a report", "made a report"],
  "reports:send": ["send a report", "sent a report"],
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
  "servers:prove-key": ["prove its key", "proved its key"],
  "servers:verify": ["ask a server to prove its key", "asked a server to prove its key"],
  "sign-in-failures:lift": ["let somebody try again", "let somebody try again"],
  "webhooks:rotate-secret": ["rotate the secret of a webhook", "rotated the secret of a webhook"],
  "webhooks:replay": ["deliver events to a webhook again", "delivered events to a webhook again"],
  "webhooks:test": ["send a test event to a webhook", "sent a test event to a webhook"],
  "users:resume": ["let a user connect again", "let a user connect again"]
}

/** One of them; what is not here is read from the word itself. */
const nouns: Readonly<Record<string, string>> = {
  "api-tokens": "an API token",
  audit: "the audit log",
  "audit-log": "the audit log",
  inventory: "the inventory",
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

/** The same in the middle of a sentence: "suspended a server". */
export const didWords = (action: string) => phraseOf(action)[1]
