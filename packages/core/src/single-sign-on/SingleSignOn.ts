/** Sign-in through an identity provider (OpenID Connect, authorization code with PKCE). */
import { SingleSignOnFailed, SingleSignOnRefused, SingleSignOnUnavailable } from "@broker/domain/AdminSession"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { AdminLinks } from "../admin-links/AdminLinks.ts"
import { AdminSessions, type Browser, type SignInStep } from "../admin-sessions/AdminSessions.ts"
import { Ceremonies } from "../admin-sessions/Ceremonies.ts"
import type { Ticket } from "../admin-sessions/Ticket.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Installation } from "../Installation.ts"
import * as IdentityProvider from "./IdentityProvider.ts"
import * as SingleSignOnSql from "./SingleSignOnSql.ts"

/** Null where admins sign in here alone. */
export const SingleSignOnPolicy = Context.Reference<IdentityProvider.IdentityProvider | null>(
  "@broker/core/single-sign-on/SingleSignOnPolicy",
  { defaultValue: () => null }
)

/** Where the provider sends browsers back to; it has to be told. */
export const callback = "/rpc/single-sign-on/callback"

/** How long somebody may take at the provider. */
const lifetime = Duration.minutes(10)

/** What is kept of a sign-in that has begun. */
const decodeBegun = Schema.decodeUnknownOption(Schema.Struct({ ...IdentityProvider.Sent.fields, to: Schema.String }))

export class SingleSignOn extends Context.Service<
  SingleSignOn,
  {
    /** Where to send the browser, and the ticket it comes back with in a cookie. Afterwards it wants to go to `to`. */
    begin(to: string): Effect.Effect<{ readonly url: string; readonly ticket: Ticket }, SingleSignOnUnavailable>
    /**
     * What came back, as the whole URL. An admin is known by the provider's subject, or at first by a verified e-mail.
     * A factor is asked for where there is one, unless the provider has seen one.
     */
    finish(
      ticket: Ticket,
      url: URL,
      browser: Browser
    ): Effect.Effect<
      { readonly step: SignInStep; readonly to: string },
      SingleSignOnRefused | SingleSignOnFailed | SingleSignOnUnavailable,
      Actor
    >
  }
>()("@broker/core/single-sign-on/SingleSignOn") {
  static readonly layerNoDeps = Layer.effect(
    SingleSignOn,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* SingleSignOnSql.make
      const policy = yield* SingleSignOnPolicy
      const { audience } = yield* Installation
      const provider = policy === null ? null : yield* IdentityProvider.make(policy, audience + callback)
      const ceremonies = yield* Ceremonies
      const sessions = yield* AdminSessions
      const links = yield* AdminLinks
      const secrets = yield* Secrets
      const audit = yield* Audit

      const random = Effect.map(secrets.bytes(32), (bytes) => Base64Url.encode(bytes))

      const unavailable = ({ cause }: IdentityProvider.ProviderAway) =>
        Effect.andThen(
          Effect.logWarning("Single sign-on is not available", { issuer: policy?.issuer, reason: reasonOf(cause) }),
          new SingleSignOnUnavailable()
        )

      const begin = Effect.fn("SingleSignOn.begin")(
        function* (to: string) {
          if (provider === null) return yield* new SingleSignOnUnavailable()
          const sent = { state: yield* random, nonce: yield* random, verifier: yield* random }
          const url = yield* provider.begin(sent)
          const begun = { adminId: null, method: "single-sign-on", expected: { ...sent, to } } as const
          return { url, ticket: yield* ceremonies.begin("single-sign-on", begun, lifetime) }
        },
        Effect.catchTag("ProviderAway", unavailable)
      )

      const refused = Effect.fnUntraced(function* (
        reason: string,
        { email, subject }: IdentityProvider.Claims,
        admin: SingleSignOnSql.Found | null
      ) {
        yield* audit.record({
          organizationId: admin?.organizationId ?? null,
          action: "admins:sign-in",
          subjectKind: "admin",
          subjectId: admin?.id ?? null,
          outcome: "refused",
          details: {
            name: admin?.name ?? null,
            method: "single-sign-on",
            reason,
            subject,
            email: Option.getOrNull(email)
          }
        })
        return yield* new SingleSignOnRefused()
      })

      /** From now on the admin is known by the provider's subject, whatever becomes of their e-mail address. */
      const link = Effect.fnUntraced(function* (
        admin: SingleSignOnSql.Found,
        { email, issuer, subject }: IdentityProvider.Claims
      ) {
        yield* statements.insert({ issuer, subject, adminId: admin.id, now: yield* DateTime.now })
        yield* audit.record({
          organizationId: admin.organizationId,
          action: "admins:link-identity",
          subjectKind: "admin",
          subjectId: admin.id,
          details: { name: admin.name, issuer, subject, email: Option.getOrNull(email) }
        })
        return admin
      })

      /** Whoever has the name that the provider vouches for: an admin already, or somebody who was invited. */
      const named = Effect.fnUntraced(function* (claims: IdentityProvider.Claims, email: string) {
        const admin = yield* statements.findUnnamed({ issuer: claims.issuer, nameKey: nameKey(email) })
        // Whoever is disabled is told so below, and is not linked.
        if (Option.isSome(admin)) {
          return admin.value.organizationId === null ? admin : Option.some(yield* link(admin.value, claims))
        }
        const accepted = yield* links.acceptAs(email)
        if (Option.isNone(accepted)) return Option.none()
        return Option.some(yield* link(yield* statements.get(accepted.value), claims))
      }, sql.withTransaction)

      const whoIs = Effect.fnUntraced(function* (claims: IdentityProvider.Claims) {
        const known = yield* statements.find(claims)
        if (Option.isSome(known) || Option.isNone(claims.email)) return known
        return yield* named(claims, claims.email.value).pipe(
          // Of two at once, one was faster.
          Effect.catchReason("SqlError", "UniqueViolation", () => statements.find(claims))
        )
      })

      const finish = Effect.fn("SingleSignOn.finish")(
        function* (ticket: Ticket, url: URL, browser: Browser) {
          const ceremony = yield* ceremonies.find("single-sign-on", ticket)
          const begun = Option.flatMap(ceremony, ({ expected }) => decodeBegun(expected))
          if (provider === null || Option.isNone(begun)) return yield* new SingleSignOnFailed()
          // What was not asked for here does not even end what was.
          if (url.searchParams.get("state") !== begun.value.state) return yield* new SingleSignOnFailed()
          if (!(yield* ceremonies.finish(ticket))) return yield* new SingleSignOnFailed()
          const claims = yield* provider.finish(url, begun.value)
          const admin = yield* whoIs(claims)
          if (Option.isNone(admin)) {
            return yield* refused(Option.isNone(claims.email) ? "no_verified_email" : "unknown", claims, null)
          }
          if (admin.value.organizationId === null) return yield* refused("disabled", claims, admin.value)
          yield* statements.touch({ ...claims, now: yield* DateTime.now })
          const proof = { method: "single-sign-on", factor: claims.factor } as const
          return { step: yield* sessions.begin(admin.value.id, proof, browser), to: begun.value.to }
        },
        Effect.catchTag("ProviderAway", unavailable),
        Effect.catchTag("AnswerRefused", ({ cause }) =>
          Effect.andThen(
            Effect.logWarning("A single sign-on was not finished", { issuer: policy?.issuer, reason: reasonOf(cause) }),
            new SingleSignOnFailed()
          )
        ),
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      return SingleSignOn.of({ begin, finish })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}

/** The words of an error and of its cause; never its fields, which may hold what the provider sent. */
const reasonOf = (error: unknown): string =>
  error instanceof Error
    ? [error.message, ...(error.cause === undefined ? [] : [reasonOf(error.cause)])].join(": ")
    : ""
