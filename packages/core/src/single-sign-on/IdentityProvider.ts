/** The identity provider that admins may sign in through, as it is asked (OpenID Connect). */
import { Cache, Duration, Effect, Exit, Option, Redacted, Schema } from "effect"
import * as oidc from "openid-client"

export interface IdentityProvider {
  /** Its origin and path, as its discovery document states it. */
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: Redacted.Redacted<string>
  /** What it is called on the button. */
  readonly name: string
}

/** How long it may take for one answer. A sign-in needs up to four. */
const patience = Duration.seconds(5)

/** How long its endpoints are gone by, before they are asked for again. Its keys are looked up when an unknown one signs. */
const freshness = Duration.hours(1)

/** The provider, or the way to it, is at fault. */
export class ProviderAway extends Schema.TaggedError<ProviderAway>()("ProviderAway", { cause: Schema.Defect() }) {}

/** What came back is no proof of anything. */
export class AnswerRefused extends Schema.TaggedError<AnswerRefused>()("AnswerRefused", { cause: Schema.Defect() }) {}

/** Thrown through the library, which passes on what is a `TypeError`. */
class Away extends TypeError {}

const fetching: oidc.CustomFetch = async (url, options) => {
  let response: Response
  try {
    response = await fetch(url, options as RequestInit)
  } catch (cause) {
    throw new Away("The identity provider does not answer", { cause })
  }
  if (response.status >= 500) throw new Away(`The identity provider answers with ${response.status}`)
  return response
}

/** A body that stops half-way runs out of time after the headers have come. */
const isAway = (cause: unknown) =>
  cause instanceof Away || (cause instanceof oidc.ClientError && cause.code === "OAUTH_TIMEOUT")

const ask = <A>(question: () => Promise<A>) =>
  Effect.tryPromise({
    try: question,
    catch: (cause) => (isAway(cause) ? new ProviderAway({ cause }) : new AnswerRefused({ cause }))
  })

/** What was sent along, and has to come back. */
export const Sent = Schema.Struct({ state: Schema.String, nonce: Schema.String, verifier: Schema.String })
export type Sent = typeof Sent.Type

/** Whom the provider has signed in, and how. */
export interface Claims {
  readonly issuer: string
  readonly subject: string
  /** Only if the provider has made sure of it. */
  readonly email: Option.Option<string>
  /** Whether the provider has seen more than a password. */
  readonly factor: boolean
}

/** Ways to sign in that take something one has (RFC 8176), as far as they say so by themselves. */
const factors: ReadonlySet<string> = new Set(["mfa", "otp", "hwk", "swk", "pop", "sc"])

const Told = Schema.Struct({
  email: Schema.optional(Schema.String.check(Schema.isBetweenLength(3, 254))),
  email_verified: Schema.optional(Schema.Boolean)
})
const decodeTold = Schema.decodeUnknownOption(Told)

const emailIn = (told: unknown) =>
  Option.flatMap(decodeTold(told), ({ email, email_verified }) =>
    email_verified === true ? Option.fromUndefinedOr(email) : Option.none()
  )

export const make = Effect.fnUntraced(function* (provider: IdentityProvider, redirectUri: string) {
  const { clientId, issuer } = provider
  const secret = Redacted.value(provider.clientSecret)
  const insecure = issuer.startsWith("http://") ? [oidc.allowInsecureRequests] : []

  const discovered = yield* Cache.makeWith(
    (issuer: string) =>
      ask(() =>
        oidc.discovery(new URL(issuer), clientId, secret, oidc.ClientSecretPost(secret), {
          timeout: Duration.toSeconds(patience),
          [oidc.customFetch]: fetching,
          // The signature is checked as well, whoever stands between.
          execute: [oidc.enableNonRepudiationChecks, ...insecure]
        })
      ).pipe(Effect.catchTag("AnswerRefused", ({ cause }) => new ProviderAway({ cause }))),
    { capacity: 1, timeToLive: (exit) => (Exit.isSuccess(exit) ? freshness : Duration.zero) }
  )
  const configuration = Cache.get(discovered, issuer)

  /** Where to send the browser. */
  const begin = Effect.fn("IdentityProvider.begin")(function* ({ nonce, state, verifier }: Sent) {
    const config = yield* configuration
    const challenge = yield* Effect.promise(() => oidc.calculatePKCECodeChallenge(verifier))
    return oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: "openid email profile",
      state,
      nonce,
      code_challenge: challenge,
      code_challenge_method: "S256"
    }).href
  })

  /** Many providers leave the e-mail address out of the token, and tell it only when they are asked. */
  const emailOf = Effect.fnUntraced(function* (config: oidc.Configuration, claims: oidc.IDToken, accessToken: string) {
    if (claims["email"] !== undefined || config.serverMetadata().userinfo_endpoint === undefined) return emailIn(claims)
    return emailIn(yield* ask(() => oidc.fetchUserInfo(config, accessToken, claims.sub)))
  })

  /** Exchanges the code of the address that the browser came back to. */
  const finish = Effect.fn("IdentityProvider.finish")(
    function* (url: URL, { nonce, state, verifier }: Sent) {
      const config = yield* configuration
      const tokens = yield* ask(() =>
        oidc.authorizationCodeGrant(config, url, {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: verifier,
          idTokenExpected: true
        })
      )
      const claims = tokens.claims()
      if (claims === undefined) return yield* new AnswerRefused({ cause: new Error("There is no ID token") })
      return {
        issuer: claims.iss,
        subject: claims.sub,
        email: yield* emailOf(config, claims, tokens.access_token),
        factor: Array.isArray(claims["amr"]) && claims["amr"].some((way) => factors.has(String(way)))
      } satisfies Claims
    },
    // It may have moved.
    Effect.tapErrorTag("ProviderAway", () => Cache.invalidate(discovered, issuer))
  )

  return { begin, finish }
})
