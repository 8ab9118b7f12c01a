/**
 * Bearer secrets (B9): what they look like, and how to tell a typo from a credential without looking anything up.
 *
 * `brk_srv_` + 22 characters of id + 32 characters of secret (192 random bits) + 6 characters of checksum. The id
 * finds the row, the secret is kept as its SHA-256 only, and the checksum covers every character before it.
 */
import { Option, Redacted, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { Base64UrlFromBytes } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

/** The five kinds, by the prefix that tells them apart. */
export const prefixes = {
  registrationKey: "brk_reg_",
  serverToken: "brk_srv_",
  personalKey: "brk_usr_",
  clientSession: "brk_ses_",
  apiToken: "brk_api_"
} as const

export type CredentialKind = keyof typeof prefixes

const kinds = Object.keys(prefixes) as ReadonlyArray<CredentialKind>

/** The readable secret. Redacted as soon as it is decoded, so it cannot be logged. */
export const Secret = Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(128)), { label: "secret" })
export type Secret = typeof Secret.Type

/** SHA-256 of a secret, as base64url here and `bytea` in SQL. No salt is needed, as secrets are random. */
export const SecretDigest = Schema.String.pipe(Schema.brand("SecretDigest"))
export type SecretDigest = typeof SecretDigest.Type
export const SecretDigestFromBytes = Base64UrlFromBytes.pipe(Schema.decodeTo(SecretDigest))

/** A credential that was spelled right. Whether it is known is the database's to say. */
export interface Credential<Kind extends CredentialKind = CredentialKind> {
  readonly kind: Kind
  /** The id of the row that holds its digest. */
  readonly id: string
  readonly secret: Secret
}

/** CRC-32 (ISO-HDLC), the checksum of zip and PNG: any single wrong character changes it. */
const crc32 = (text: string) => {
  let crc = -1
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at)
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  return ~crc >>> 0
}

const checksum = (text: string) => {
  const crc = crc32(text)
  return Base64Url.encode(new Uint8Array([crc >>> 24, crc >>> 16, crc >>> 8, crc]))
}

const uuidBytes = (id: string) =>
  Uint8Array.from(id.replaceAll("-", "").match(/../g) ?? [], (byte) => parseInt(byte, 16))

const uuidText = (bytes: Uint8Array) => {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** How many random bytes the secret part takes. */
export const secretBytes = 24

/** Spells a credential. `random` must be `secretBytes` long. */
export const format = (kind: CredentialKind, id: string, random: Uint8Array): Secret => {
  const body = `${prefixes[kind]}${Base64Url.encode(uuidBytes(id))}${Base64Url.encode(random)}`
  return Redacted.make(body + checksum(body), { label: "secret" })
}

/** The part of a credential that may be shown again, and by which people tell two apart: its kind and its id. */
export const hint = (kind: CredentialKind, id: string) => `${prefixes[kind]}${Base64Url.encode(uuidBytes(id))}…`

const shape = /^(brk_(?:reg|srv|usr|ses|api)_)([A-Za-z0-9_-]{21}[AQgw])([A-Za-z0-9_-]{32})([A-Za-z0-9_-]{6})$/

/** Reads a credential; none for anything that is misspelled. */
export const parse = (secret: Secret): Option.Option<Credential> => {
  const match = shape.exec(Redacted.value(secret))
  if (match === null) return Option.none()
  const [text, prefix, id, , sum] = match as unknown as [string, string, string, string, string]
  const kind = kinds.find((kind) => prefixes[kind] === prefix)
  if (kind === undefined || checksum(text.slice(0, -6)) !== sum) return Option.none()
  return Option.map(Option.getSuccess(Base64Url.decode(id)), (bytes) => ({ kind, id: uuidText(bytes), secret }))
}

/** The kind that a text claims to be by its prefix, spelled right or not. */
export const claimedKind = (secret: Secret): CredentialKind | undefined =>
  kinds.find((kind) => Redacted.value(secret).startsWith(prefixes[kind]))

/** No such credential, or none at all. Misspelled, revoked, replaced and expired ones look alike. */
export class UnknownCredential extends Problem<UnknownCredential>()("UnknownCredential", {
  code: "unknown_credential",
  status: 401,
  title: "Unknown credential",
  detail: "The request carries no credential that the broker knows.",
  remedy: "Send `Authorization: Bearer …` with a valid credential. A server whose token is unknown registers again."
}) {}

/** A credential of another kind than the route takes. */
export class WrongCredentialKind extends Problem<WrongCredentialKind>()("WrongCredentialKind", {
  code: "wrong_credential_kind",
  status: 401,
  title: "Wrong kind of credential",
  detail: "This route takes another kind of credential.",
  remedy:
    "Look at the prefix: brk_reg_ registers a server, brk_srv_ is a server's own, brk_usr_ signs a client in, brk_ses_ is what it gets for that, and brk_api_ is a machine's."
}) {}
