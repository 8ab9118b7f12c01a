/** A gateway by hand: keys, signatures and messages as the pages of the contract describe them. */

import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto"
import { type Answer, type Ask, ask, type Json } from "./Wire.ts"

export interface Identity {
  readonly publicKey: string
  readonly sign: (...lines: ReadonlyArray<string>) => string
}

const signWith = (key: KeyObject, lines: ReadonlyArray<string>) =>
  sign(null, Buffer.from(lines.join("\n")), key).toString("base64url")

export const identity = (): Identity => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  return {
    publicKey: publicKey.export({ format: "jwk" }).x ?? "",
    sign: (...lines) => signWith(privateKey, lines)
  }
}

/** The id inside a credential: the 22 characters after its prefix. */
export const idOf = (credential: string) => {
  const hex = Buffer.from(credential.slice(8, 30), "base64url").toString("hex")
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
}

/** A credential of another kind, or of whatever stands in it, that is spelled right. */
export const respelled = (credential: string, prefix: string) => {
  const body = `${prefix}${credential.slice(8, 62)}`
  let crc = -1
  for (const character of body) {
    crc ^= character.charCodeAt(0)
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(~crc >>> 0)
  return body + checksum.toString("base64url")
}

export interface Home {
  readonly url: string
  readonly audience: string
}

/** The body of a registration. What is given stands, and the signature covers it. */
export const registration = (
  { audience }: Home,
  key: string,
  name: string,
  by: Identity = identity(),
  given: Json = {}
): Json => {
  const timestamp = new Date().toISOString()
  const signed = { name, publicKey: by.publicKey, timestamp, ...given }
  return {
    ...signed,
    signature: by.sign(
      "broker-register-v1",
      audience,
      idOf(key),
      String(signed.name),
      String(signed.publicKey),
      String(signed.timestamp)
    ),
    ...given
  }
}

export const heartbeat = (given: Json = {}): Json => ({
  bootId: randomUUID(),
  seq: 1,
  sentAt: new Date().toISOString(),
  activeConnections: 3,
  metrics: { cpu: 0.25, memoryUsedBytes: 1024 },
  ...given
})

export interface Gateway {
  readonly id: string
  readonly token: string
  readonly identity: Identity
  readonly challenge: Challenge
  /** Its registration as it was sent, and the answer to it. */
  readonly sent: Json
  readonly joined: Answer
  readonly ask: (method: string, path: string, given?: Ask) => Promise<Answer>
  /** One boot that counts up. */
  readonly beat: (given?: Json) => Promise<Answer>
  readonly prove: (challenge?: Challenge) => Promise<Answer>
}

interface Challenge {
  readonly id: string
  readonly nonce: string
  readonly expiresAt: string
}

export const register = (home: Home, key: string, body: unknown, given: Ask = {}) =>
  ask(home.url, "POST", "/api/v1/servers", { bearer: key, body, ...given })

/** The server that an answer to a registration speaks of. */
export const member = (home: Home, by: Identity, sent: Json, joined: Answer): Gateway => {
  const { challenge, server, token } = joined.json as unknown as {
    readonly server: { readonly id: string }
    readonly token: string
    readonly challenge: Challenge
  }
  const bootId = randomUUID()
  let seq = 0
  const asked = (method: string, path: string, given: Ask = {}) =>
    ask(home.url, method, path, { bearer: token, ...given })
  return {
    id: server.id,
    token,
    identity: by,
    challenge,
    sent,
    joined,
    ask: asked,
    beat: (given) => {
      seq += 1
      return asked("POST", "/api/v1/servers/self/heartbeat", { body: heartbeat({ bootId, seq, ...given }) })
    },
    prove: ({ expiresAt, id, nonce } = challenge) =>
      asked("POST", `/api/v1/servers/self/challenges/${id}`, {
        body: { signature: by.sign("broker-challenge-v1", home.audience, server.id, id, nonce, expiresAt) }
      })
  }
}

export const join = async (home: Home, key: string, name: string, given: Json = {}) => {
  const by = identity()
  const sent = registration(home, key, name, by, given)
  const joined = await register(home, key, sent)
  if (joined.status !== 201) throw new Error(`${name} could not join: ${joined.status} ${joined.text}`)
  return member(home, by, sent, joined)
}

/** A gateway that clients may be sent to: it has proven its key, and is heard of. */
export const serving = async (home: Home, key: string, name: string, given: Json = {}) => {
  const gateway = await join(home, key, name, given)
  for (const answer of [await gateway.prove(), await gateway.beat({ activeConnections: 0 })]) {
    if (answer.status !== 200) throw new Error(`${name} does not serve: ${answer.status} ${answer.text}`)
  }
  return gateway
}
