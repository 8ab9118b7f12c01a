/**
 * Signed ends of chains: a compact JWS (RFC 7515) by EdDSA over the number and the hash of an entry. Whoever can write
 * to the database, but does not have the encryption key, cannot make another (A6).
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto"
import { Effect, Option, Schema } from "effect"
import { CompactSign, compactVerify, decodeProtectedHeader } from "jose"
import { auditKey, place as placeOf } from "../crypto/SealedColumns.ts"

const algorithm = "EdDSA"
const type = "audit-checkpoint"

export const Claims = Schema.Struct({
  /** The organization, or the nil UUID for the installation. */
  org: Schema.String,
  seq: Schema.Int,
  hash: Schema.String,
  at: Schema.DateTimeUtcFromString
})
export type Claims = typeof Claims.Type

const ClaimsFromText = Schema.fromJsonString(Claims)

export interface Signer {
  readonly id: string
  readonly key: KeyObject
}

/** A key of the database. Without a signer it is none of ours. */
export interface Held {
  readonly id: string
  readonly publicKey: Uint8Array
  readonly signer: Option.Option<Signer>
}

/** Where a private key is kept, which is what its seal is bound to. */
export const place = (id: string) => placeOf(auditKey, id)

const jwk = (publicKey: Uint8Array) => ({ kty: "OKP", crv: "Ed25519", x: Buffer.from(publicKey).toString("base64url") })

/** None where the private key is not that of the public one. */
export const signer = (id: string, publicKey: Uint8Array, secret: Uint8Array): Option.Option<Signer> => {
  const d = Buffer.from(secret).toString("base64url")
  const key = createPrivateKey({ format: "jwk", key: { ...jwk(publicKey), d } })
  return createPublicKey(key).export({ format: "jwk" }).x === jwk(publicKey).x
    ? Option.some({ id, key })
    : Option.none()
}

export const generate = (id: string) => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const { d = "", x = "" } = privateKey.export({ format: "jwk" })
  return {
    publicKey: new Uint8Array(Buffer.from(x, "base64url")),
    secret: new Uint8Array(Buffer.from(d, "base64url")),
    signer: { id, key: privateKey } satisfies Signer
  }
}

export const sign = ({ id, key }: Signer, claims: Claims) =>
  Effect.flatMap(Schema.encodeEffect(ClaimsFromText)(claims), (text) =>
    Effect.promise(() =>
      new CompactSign(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: algorithm, kid: id, typ: type })
        .sign(key)
    )
  )

const keyIdOf = (jws: string) => {
  try {
    return decodeProtectedHeader(jws).kid
  } catch {
    return undefined
  }
}

/** What a checkpoint says of a chain, and what is wrong with it. */
export const judge = Effect.fnUntraced(function* (jws: string, held: ReadonlyArray<Held>, chain: string) {
  const key = held.find(({ id }) => id === keyIdOf(jws))
  if (key === undefined) return { claims: undefined, wrong: "It is signed by a key that is not known here." }
  if (Option.isNone(key.signer)) {
    return { claims: undefined, wrong: "The key it is signed by does not open under the encryption key of the broker." }
  }
  const publicKey = createPublicKey({ format: "jwk", key: jwk(key.publicKey) })
  const payload = yield* Effect.option(
    Effect.tryPromise(() => compactVerify(jws, publicKey, { algorithms: [algorithm] }))
  )
  if (Option.isNone(payload)) return { claims: undefined, wrong: "Its signature does not hold." }
  const claims = Schema.decodeOption(ClaimsFromText)(new TextDecoder().decode(payload.value.payload))
  if (Option.isNone(claims) || claims.value.org !== chain) {
    return { claims: undefined, wrong: "It is the checkpoint of another chain." }
  }
  return { claims: claims.value, wrong: undefined }
})

/** Where a good checkpoint and the chain of now do not agree. */
export const contradiction = (
  { hash, seq }: Claims,
  head: { readonly seq: number; readonly firstSeq: number; readonly anchor: string },
  entryHash: string | null
): string | undefined => {
  if (seq > head.seq) return `The chain ended at ${seq} or later when it was signed, and ends at ${head.seq} now.`
  if (seq === head.firstSeq - 1) {
    return hash === head.anchor ? undefined : "What is kept does not go on from the entry that was signed."
  }
  // Past its time, and gone.
  if (seq < head.firstSeq) return undefined
  if (entryHash === null) return "The entry that was signed is missing."
  return hash === entryHash ? undefined : "The entry that was signed had another hash."
}
