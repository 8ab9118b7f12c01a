/** What the stories about admins need behind the browser: their factors, links, and the time that has passed. */
import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { everything } from "@broker/core/admins/Authority"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import * as Database from "@broker/core/Database"
import { SecondFactors } from "@broker/core/second-factors/SecondFactors"
import { AdminId, AdminName } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import { totpCode } from "@broker/testing/Authenticator"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { Effect, Exit, ManagedRuntime, Redacted, Schema, Scope } from "effect"
import { SqlClient } from "effect/sql"
import type { Page } from "playwright-core"
import { password } from "./Page.ts"

const decodeIds = Schema.decodeUnknownSync(Schema.Tuple([Schema.Struct({ id: AdminId })]))

interface Enrolled {
  /** What the authenticator app shows now, as if no code had been used before. */
  code(): Promise<string>
  readonly recoveryCodes: ReadonlyArray<string>
}

export interface AccountBroker extends RunningBroker {
  /** An owner with the password above. */
  owner(name: string): Promise<void>
  /** Gives an admin an authenticator app. */
  enrol(name: string): Promise<Enrolled>
  /** The code that an app with this secret shows to whoever confirms it. */
  codeOf(secret: string): string
  /** As if the admin had used no code yet: the next one need not be waited for. */
  forgetCodes(name: string): Promise<void>
  /** An hour passes since admins proved who they are. */
  age(): Promise<void>
  /** Failed sign-ins are forgotten, so that nobody has to wait for those of another story. */
  forgive(): Promise<void>
  invite(name: string, role: BuiltInRole): Promise<string>
  /** Whether the organization demands a second factor of everybody. */
  demand(requireFactor: boolean): Promise<void>
}

/** A broker whose database can be turned: sessions get old in it without waiting. */
export const startAccountBroker = async (): Promise<AccountBroker> => {
  const scope = Scope.makeUnsafe()
  const database = await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope))
  const broker = await startBroker({ database })
  const runtime = ManagedRuntime.make(Database.layer({ url: database, maxConnections: 2, unaudited: "written" }))

  const write = <A, E>(statement: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
    runtime.runPromise(SqlClient.SqlClient.use(statement))
  const asBroker = Effect.provideService(Actor, byBroker)
  const forget = () => broker.run(AdminSessions.use((sessions) => sessions.forget))
  const forgetCodes = async (name: string) => {
    await write((sql) => sql`update admins set totp_step = null where name = ${name}`)
  }

  const memberOf = async (name: string) => {
    const [{ id }] = decodeIds(await write((sql) => sql`select id from admins where name = ${name}`))
    return { id, name: AdminName.make(name), organizationId: defaultOrganizationId }
  }

  return {
    ...broker,
    owner: (name) => broker.admin(name, password),
    enrol: async (name) => {
      const member = await memberOf(name)
      const { secret } = await broker.run(asBroker(SecondFactors.use((factors) => factors.beginTotp(member))))
      const codes = await broker.run(
        asBroker(SecondFactors.use((factors) => factors.confirmTotp(member, totpCode(secret, Date.now()), null)))
      )
      return {
        code: async () => {
          await forgetCodes(name)
          return totpCode(secret, Date.now())
        },
        recoveryCodes: (codes ?? []).map((code) => Redacted.value(code))
      }
    },
    codeOf: (secret) => totpCode(secret, Date.now()),
    forgetCodes,
    age: async () => {
      await write((sql) => sql`update admin_sessions set proven_at = proven_at - interval '1 hour'`)
      await forget()
    },
    forgive: async () => {
      await write((sql) => sql`delete from sign_in_failures`)
    },
    invite: async (name, role) => {
      const invitation = { name: AdminName.make(name), role }
      const { url } = await broker.run(
        asBroker(AdminLinks.use((links) => links.invite(everything(defaultOrganizationId), invitation)))
      )
      return Redacted.value(url)
    },
    demand: async (requireFactor) => {
      await write(
        (sql) => sql`
          insert into security_policies
                 (organization_id, require_factor, session_idle_seconds, session_lifetime_seconds, updated_at)
          values (${defaultOrganizationId}, ${requireFactor}, 7200, 86400, now())
              on conflict (organization_id) do update set require_factor = ${requireFactor}`
      )
      await forget()
    },
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]()
      await runtime.dispose()
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}

/** A fingerprint reader in the tab, which says yes as soon as it is asked. */
export const addAuthenticator = async (page: Page) => {
  const browser = await page.context().newCDPSession(page)
  await browser.send("WebAuthn.enable")
  const { authenticatorId } = await browser.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true
    }
  })
  return {
    /** Whether somebody puts a finger on it when asked. */
    touch: (enabled: boolean) => browser.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled })
  }
}
