/** Secrets that travel in cookies and links: 256 random bits, of which only the digest is kept. */
import { hash } from "node:crypto"
import { Effect, Redacted } from "effect"
import { Base64Url } from "effect/encoding"
import type { Secrets } from "../crypto/Secrets.ts"

/** The secret of a session's cookie, of a ceremony, or of a link. */
export type Ticket = Redacted.Redacted<string>

/** What is stored in place of a ticket. No salt is needed, as tickets are random. */
export const digestOf = (ticket: Ticket) => hash("sha256", Redacted.value(ticket), "buffer")

export const mint = (secrets: Secrets["Service"]) =>
  Effect.map(secrets.bytes(32), (bytes): Ticket => Redacted.make(Base64Url.encode(bytes), { label: "ticket" }))
