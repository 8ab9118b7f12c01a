/**
 * The token that a server checks before it accepts a connection, without asking the broker (C3).
 *
 * A compact JWS by EdDSA, of the type `grant+jwt`. Its key is one of the broker's published set (RFC 7517).
 */
import { Schema } from "effect"
import { ConnectionId } from "./Connection.ts"
import { DeviceId } from "./Device.ts"
import { PublicKey, ServerId } from "./Server.ts"
import { UserId } from "./User.ts"

/** Stands in the header, so that no other token of the broker's passes for a grant. */
export const grantType = "grant+jwt"

/** What it says. `aud` and `iss` are the broker's public origin; times are in whole seconds (RFC 7519). */
export const GrantClaims = Schema.Struct({
  iss: Schema.String,
  aud: Schema.String,
  sub: UserId,
  /** The connection once more: a grant is good for one. */
  jti: ConnectionId,
  iat: Schema.Int,
  exp: Schema.Int,
  connection: ConnectionId,
  device: DeviceId,
  server: ServerId,
  /** The device's own key, where it has one: only whoever can sign by it is the device (RFC 7800, RFC 8037). */
  cnf: Schema.optionalKey(
    Schema.Struct({ jwk: Schema.Struct({ kty: Schema.Literal("OKP"), crv: Schema.Literal("Ed25519"), x: PublicKey }) })
  )
})
export type GrantClaims = typeof GrantClaims.Type

/** One of the keys at `/.well-known/jwks.json`. */
export const PublishedKey = Schema.Struct({
  kty: Schema.Literal("OKP"),
  crv: Schema.Literal("Ed25519"),
  x: PublicKey,
  kid: Schema.String,
  alg: Schema.Literal("EdDSA"),
  use: Schema.Literal("sig")
})

export const PublishedKeys = Schema.Struct({ keys: Schema.Array(PublishedKey) })
export type PublishedKeys = typeof PublishedKeys.Type
