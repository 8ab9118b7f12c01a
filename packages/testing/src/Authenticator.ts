/**
 * What admins hold in their hands, in software: an authenticator app that tells codes, and an authenticator that makes
 * passkeys and signs with them (WebAuthn level 3, ES256, attestation "none"). Written from the specifications and not
 * from the libraries that the broker checks it with, so that the two prove each other.
 */
import { createHash, createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { Redacted } from "effect"

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

const fromBase32 = (text: string) => {
  const bits = Array.from(text, (letter) => base32.indexOf(letter).toString(2).padStart(5, "0")).join("")
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)))
}

/** Seconds that a code is shown. */
const totpStep = 30

/** The code that an authenticator app shows for a secret in base32, at a time in milliseconds (RFC 6238). */
export const totpCode = (secret: string | Redacted.Redacted<string>, at: number) => {
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(at / 1_000 / totpStep)))
  const key = fromBase32(typeof secret === "string" ? secret : Redacted.value(secret))
  const mac = createHmac("sha1", key).update(step).digest()
  const number = mac.readUInt32BE((mac.at(-1) ?? 0) & 0x0f) & 0x7fffffff
  return `${number % 1_000_000}`.padStart(6, "0")
}

/** What the browser was asked, as it came: the fields that an authenticator looks at are read from it. */
export type Asked = Readonly<Record<string, unknown>>

/** How a response differs from an honest one. */
export interface Flaws {
  readonly origin?: string
  readonly rpId?: string
  readonly challenge?: string
  readonly userVerified?: boolean
  readonly userPresent?: boolean
  /** What it counts instead of one more than before. */
  readonly counter?: number
  readonly signature?: (signature: Buffer) => Buffer
  /** Whose passkey it claims to be, in base64url. */
  readonly userHandle?: string
  readonly credentialId?: string
  readonly type?: string
  readonly crossOrigin?: boolean
  /** What vouches for a new passkey: nothing, its own key, or a certificate of the maker. */
  readonly attestation?: "none" | "self" | "certificate"
}

/** As `navigator.credentials` answers, in JSON. */
export interface CreatedResponse extends Record<string, unknown> {
  readonly id: string
  readonly response: {
    readonly clientDataJSON: string
    readonly attestationObject: string
    readonly transports: ReadonlyArray<string>
  }
}

export interface SignedResponse extends Record<string, unknown> {
  readonly id: string
  readonly response: {
    readonly clientDataJSON: string
    readonly authenticatorData: string
    readonly signature: string
    readonly userHandle: string
  }
}

export interface Authenticator {
  /** Makes a passkey. Throws when it has one of those that are to be left out, as real ones do. */
  create(options: Asked, flaws?: Flaws): CreatedResponse
  /** Signs by the passkey that is asked for, or by the newest of the site. Throws when it has none. */
  get(options: Asked, flaws?: Flaws): SignedResponse
}

interface Credential {
  readonly id: string
  readonly rpId: string
  readonly userHandle: string
  readonly privateKey: KeyObject
  counter: number
}

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest()

/** CBOR (RFC 8949), as far as attestations need it: whole numbers, bytes, text, lists, and maps in the order given. */
type Cbor =
  | number
  | string
  | Uint8Array
  | { readonly list: ReadonlyArray<Cbor> }
  | { readonly map: ReadonlyArray<readonly [number | string, Cbor]> }

const cborHead = (major: number, size: number) => {
  if (size < 24) return Buffer.from([(major << 5) | size])
  if (size < 256) return Buffer.from([(major << 5) | 24, size])
  return Buffer.from([(major << 5) | 25, size >> 8, size & 0xff])
}

const cbor = (value: Cbor): Buffer => {
  if (typeof value === "number") return value < 0 ? cborHead(1, -1 - value) : cborHead(0, value)
  if (typeof value === "string") return Buffer.concat([cborHead(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (value instanceof Uint8Array) return Buffer.concat([cborHead(2, value.length), value])
  if ("list" in value) return Buffer.concat([cborHead(4, value.list.length), ...value.list.map(cbor)])
  return Buffer.concat([cborHead(5, value.map.length), ...value.map.flatMap(([key, of]) => [cbor(key), cbor(of)])])
}

/** A public key of P-256 as COSE (RFC 9053): the point, for ES256. */
const coseKey = (key: KeyObject) => {
  const { x, y } = key.export({ format: "jwk" })
  return cbor({
    map: [
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, Buffer.from(x ?? "", "base64url")],
      [-3, Buffer.from(y ?? "", "base64url")]
    ]
  })
}

const textAt = (from: unknown, ...path: ReadonlyArray<string>): string | undefined => {
  const found = path.reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined),
    from
  )
  return typeof found === "string" ? found : undefined
}

const idsAt = (options: Asked, key: string): ReadonlyArray<string> => {
  const listed = options[key]
  return Array.isArray(listed) ? listed.flatMap((one: unknown) => textAt(one, "id") ?? []) : []
}

/**
 * An authenticator with a browser around it at this origin. `counts` is for a security key that counts its signatures;
 * passkeys that are copied between machines do not.
 */
export const authenticator = (origin: string, { counts = false } = {}): Authenticator => {
  const credentials: Array<Credential> = []

  const clientData = (type: string, options: Asked, flaws: Flaws) =>
    Buffer.from(
      JSON.stringify({
        type: flaws.type ?? type,
        challenge: flaws.challenge ?? textAt(options, "challenge"),
        origin: flaws.origin ?? origin,
        crossOrigin: flaws.crossOrigin ?? false
      })
    )

  /** Present, verified, and for what does not count: copied elsewhere, as it may be. */
  const authenticatorData = (rpId: string, counter: number, flaws: Flaws, attested = Buffer.alloc(0)) => {
    const flags =
      (flaws.userPresent === false ? 0 : 0x01) |
      (flaws.userVerified === false ? 0 : 0x04) |
      (counts ? 0 : 0x18) |
      (attested.length === 0 ? 0 : 0x40)
    const count = Buffer.alloc(4)
    count.writeUInt32BE(counter)
    return Buffer.concat([sha256(flaws.rpId ?? rpId), Buffer.from([flags]), count, attested])
  }

  const create: Authenticator["create"] = (options, flaws = {}) => {
    const excluded = idsAt(options, "excludeCredentials")
    if (credentials.some(({ id }) => excluded.includes(id))) throw new Error("InvalidStateError: registered already")
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const id = flaws.credentialId ?? randomBytes(32).toString("base64url")
    const rpId = textAt(options, "rp", "id") ?? ""
    const counter = flaws.counter ?? (counts ? 1 : 0)
    credentials.push({ id, rpId, userHandle: textAt(options, "user", "id") ?? "", privateKey, counter })
    const raw = Buffer.from(id, "base64url")
    const size = Buffer.alloc(2)
    size.writeUInt16BE(raw.length)
    const attested = Buffer.concat([Buffer.alloc(16), size, raw, coseKey(publicKey)])
    const data = authenticatorData(rpId, counter, flaws, attested)
    const client = clientData("webauthn.create", options, flaws)
    const { attestation = "none" } = flaws
    const statement: Cbor = {
      map:
        attestation === "none"
          ? []
          : [
              ["alg", -7],
              ["sig", sign("sha256", Buffer.concat([data, sha256(client)]), privateKey)],
              ...(attestation === "certificate" ? ([["x5c", { list: [randomBytes(300)] }]] as const) : [])
            ]
    }
    return {
      id,
      rawId: id,
      type: "public-key",
      clientExtensionResults: { credProps: { rk: true } },
      response: {
        clientDataJSON: client.toString("base64url"),
        attestationObject: cbor({
          map: [
            ["fmt", attestation === "none" ? "none" : "packed"],
            ["attStmt", statement],
            ["authData", data]
          ]
        }).toString("base64url"),
        transports: ["internal", "hybrid"]
      }
    }
  }

  const get: Authenticator["get"] = (options, flaws = {}) => {
    const allowed = idsAt(options, "allowCredentials")
    const rpId = textAt(options, "rpId")
    const credential = credentials.findLast(
      (one) => one.rpId === rpId && (allowed.length === 0 || allowed.includes(one.id))
    )
    if (credential === undefined) throw new Error("NotAllowedError: no passkey for this site")
    if (counts) credential.counter = flaws.counter ?? credential.counter + 1
    const data = authenticatorData(credential.rpId, flaws.counter ?? credential.counter, flaws)
    const client = clientData("webauthn.get", options, flaws)
    const signature = sign("sha256", Buffer.concat([data, sha256(client)]), credential.privateKey)
    const id = flaws.credentialId ?? credential.id
    return {
      id,
      rawId: id,
      type: "public-key",
      clientExtensionResults: {},
      response: {
        clientDataJSON: client.toString("base64url"),
        authenticatorData: data.toString("base64url"),
        signature: (flaws.signature?.(signature) ?? signature).toString("base64url"),
        userHandle: flaws.userHandle ?? credential.userHandle
      }
    }
  }

  return { create, get }
}
