import { type Enrolled as EnrolledFactor, Account as OwnAccount } from "@broker/core/account/Account"
import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { AdminSessions, prove, type SignedInAdmin } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { Actor } from "@broker/core/audit/Actor"
import { SingleSignOnPolicy } from "@broker/core/single-sign-on/SingleSignOn"
import { NotSignedIn } from "@broker/domain/AdminSession"
import { FactorRefused, FactorUnconfirmed } from "@broker/domain/SecondFactor"
import { Effect, Layer, Option, Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { requestActor } from "./RequestActor.ts"
import * as SessionCookie from "./SessionCookie.ts"
import { Enrolled, SessionsApi } from "./SessionsApi.ts"

/** Nobody is signed in yet; whose name it was, if anybody's, stands in the details of the entry. */
const asStranger = Effect.provideServiceEffect(Actor, requestActor({ kind: "stranger", id: null, name: "browser" }))

/** Runs as whoever is signed in, from the dashboard itself. */
const asAdmin = <A, E, R>(run: (admin: SignedInAdmin) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* SessionCookie.sameSite
    const ticket = yield* SessionCookie.read
    if (Option.isNone(ticket)) return yield* new NotSignedIn()
    const sessions = yield* AdminSessions
    const admin = yield* sessions.authenticate(ticket.value)
    const { id, name } = admin
    return yield* Effect.provideServiceEffect(run(admin), Actor, requestActor({ kind: "admin", id, name }))
  })

/** As `asAdmin`, for what is dangerous (A4). */
const asProven = <A, E, R>(run: (admin: SignedInAdmin) => Effect.Effect<A, E, R>) =>
  asAdmin((admin) => Effect.andThen(prove(admin), run(admin)))

/** The sign-in, step-up or enrolment that this answers; one that is over, or never was, is answered rightly by nothing. */
const ceremony = <E>(gone: () => E) =>
  Effect.flatMap(
    SessionCookie.ceremony,
    Option.match({ onNone: () => Effect.fail(gone()), onSome: (ticket) => Effect.succeed(ticket) })
  )

const encode = Schema.encodeSync(Enrolled)

const enrolled = ({ recoveryCodes, session }: EnrolledFactor) =>
  SessionCookie.signedIn(session, HttpServerResponse.jsonUnsafe(encode({ recoveryCodes })))

const Sessions = HttpApiBuilder.group(
  SessionsApi,
  "sessions",
  Effect.fn(function* (handlers) {
    const admins = yield* Admins
    const links = yield* AdminLinks
    const sessions = yield* AdminSessions
    const provider = yield* SingleSignOnPolicy

    return handlers.handleAll({
      signIn: ({ payload }) =>
        Effect.andThen(SessionCookie.sameSite, SessionCookie.browser).pipe(
          Effect.flatMap((browser) => sessions.signIn(payload, browser)),
          Effect.flatMap(SessionCookie.step),
          asStranger
        ),
      answerFactor: ({ payload }) =>
        SessionCookie.sameSite.pipe(
          Effect.andThen(Effect.all([ceremony(() => new FactorRefused()), SessionCookie.browser])),
          Effect.flatMap(([ceremony, browser]) => sessions.answerFactor(ceremony, payload, browser)),
          Effect.flatMap((session) => SessionCookie.signedIn(session)),
          asStranger
        ),
      passkeyOptions: () =>
        Effect.andThen(SessionCookie.sameSite, sessions.beginPasskey).pipe(
          Effect.flatMap((ceremony) => SessionCookie.asked(ceremony, ceremony.asked.passkey))
        ),
      signInByPasskey: ({ payload }) =>
        SessionCookie.sameSite.pipe(
          Effect.andThen(Effect.all([ceremony(() => new FactorRefused()), SessionCookie.browser])),
          Effect.flatMap(([ceremony, browser]) => sessions.signInByPasskey(ceremony, payload.response, browser)),
          Effect.flatMap((session) => SessionCookie.signedIn(session)),
          asStranger
        ),
      stepUpOptions: () => asAdmin((admin) => Effect.flatMap(sessions.beginStepUp(admin), SessionCookie.asked)),
      stepUp: ({ payload }) =>
        asAdmin((admin) =>
          Effect.all([SessionCookie.ceremony, SessionCookie.browser]).pipe(
            Effect.flatMap(([ceremony, browser]) => sessions.stepUp(admin, ceremony, payload, browser)),
            Effect.flatMap((session) => SessionCookie.signedIn(session))
          )
        ),
      signOut: () =>
        Effect.andThen(SessionCookie.sameSite, SessionCookie.read).pipe(
          Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: sessions.signOut })),
          Effect.andThen(SessionCookie.signedOut),
          asStranger
        ),
      signInMethods: () => Effect.succeed({ singleSignOn: provider?.name ?? null }),
      setupState: () => Effect.map(admins.isSetupOpen, (open) => ({ open })),
      setup: ({ payload }) =>
        Effect.andThen(SessionCookie.sameSite, SessionCookie.browser).pipe(
          Effect.flatMap((browser) => admins.setup(payload, browser)),
          Effect.flatMap((session) => SessionCookie.signedIn(session)),
          asStranger
        ),
      lookAtLink: ({ payload }) => Effect.andThen(SessionCookie.sameSite, links.look(payload.token)),
      useLink: ({ payload }) =>
        Effect.andThen(SessionCookie.sameSite, SessionCookie.browser).pipe(
          Effect.flatMap((browser) => links.use(payload, browser)),
          Effect.flatMap(SessionCookie.step),
          asStranger
        )
    })
  })
)

const Account = HttpApiBuilder.group(
  SessionsApi,
  "account",
  Effect.fn(function* (handlers) {
    const account = yield* OwnAccount

    return handlers.handleAll({
      changePassword: ({ payload }) =>
        asProven((admin) =>
          Effect.flatMap(account.changePassword(admin, payload.current, payload.next), (session) =>
            SessionCookie.signedIn(session)
          )
        ),
      confirmTotp: ({ payload }) =>
        asProven((admin) => Effect.flatMap(account.confirmTotp(admin, payload.code), enrolled)),
      removeTotp: () =>
        asProven((admin) => Effect.flatMap(account.removeTotp(admin), (session) => SessionCookie.signedIn(session))),
      passkeyEnrolmentOptions: () =>
        asProven((admin) =>
          Effect.flatMap(account.beginPasskey(admin), (ceremony) =>
            SessionCookie.asked(ceremony, ceremony.asked.passkey)
          )
        ),
      enrolPasskey: ({ payload }) =>
        asProven((admin) =>
          ceremony(() => new FactorUnconfirmed()).pipe(
            Effect.flatMap((ceremony) => account.enrolPasskey(admin, ceremony, payload.name, payload.response)),
            Effect.flatMap(enrolled)
          )
        ),
      removePasskey: ({ params }) =>
        asProven((admin) =>
          Effect.flatMap(account.removePasskey(admin, params.id), (session) => SessionCookie.signedIn(session))
        ),
      renewRecoveryCodes: () => asProven((admin) => Effect.flatMap(account.renewRecoveryCodes(admin), enrolled))
    })
  })
)

export const SessionsHttp = Layer.mergeAll(Sessions, Account)
