/**
 * Proof of possession, for gateways that want more than the grant itself: the device signs the gateway's nonce by the
 * key that the grant is bound to (`cnf`, RFC 7800). What travels between the two is theirs; the broker takes no part.
 */
import { createPublicKey, verify } from "node:crypto"
import type { GrantClaims } from "@broker/domain/Grant"
import type { KeyPair } from "./KeyPair.ts"

/** Which connection is to be opened, and what the gateway made up for this one time. */
export interface Challenge {
  readonly audience: string
  readonly serverId: string
  readonly connectionId: string
  readonly nonce: string
}

/** The signed string: UTF-8, fields joined by a line feed, the first line a domain. */
const text = ({ audience, connectionId, nonce, serverId }: Challenge) =>
  ["broker-grant-proof-v1", audience, serverId, connectionId, nonce].join("\n")

/** What the device answers. */
export const prove = (keyPair: KeyPair, challenge: Challenge) => keyPair.sign(text(challenge))

/** Whether the device of a grant gave this answer. A grant that is bound to no key is nobody's to prove. */
export const isProven = ({ aud, cnf, connection, server }: GrantClaims, nonce: string, proof: string) =>
  cnf !== undefined &&
  verify(
    null,
    Buffer.from(text({ audience: aud, serverId: server, connectionId: connection, nonce })),
    createPublicKey({ key: { ...cnf.jwk }, format: "jwk" }),
    Buffer.from(proof, "base64url")
  )
