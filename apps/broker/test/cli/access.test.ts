/** Commands about who may do what, beside a running broker. */
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Actor } from "@broker/core/audit/Actor"
import { Roles } from "@broker/core/roles/Roles"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import * as Fixtures from "@broker/testing/Fixtures"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

const someone = (role: BuiltInRole) => Effect.provideService(Fixtures.admin({ role }), Actor, Fixtures.actor)

/** One of the organization's own, as a role of the name. */
const ownRole = (name: string) =>
  Roles.use((roles) =>
    roles.create(everything(defaultOrganizationId), { name, description: "", permissions: ["servers:read"] })
  ).pipe(Effect.provideService(Actor, Fixtures.actor))

const shown = (id: Fixtures.Admin["id"]) => Admins.use((admins) => admins.get(defaultOrganizationId, id))

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("admin", (it) => {
  it.effect("list shows who there is, and what they may do", () =>
    Effect.gen(function* () {
      const ada = yield* someone("auditor")
      const { items } = yield* json("admin", "list")
      const listed = items.find(({ id }: { readonly id: string }) => id === ada.id)
      assert.deepInclude(listed, { name: ada.name, role: "auditor", state: "active", sessions: 0, lastSignInAt: null })
      const { stdout } = yield* onDatabase("admin", "list")
      assert.match(stdout, /^NAME +ROLE +STATE +FACTORS +SESSIONS +LAST SIGN-IN +ID\n/)
      assert.include(stdout, ada.name)
    })
  )

  it.effect("role gives another one, by names of any case, and says who is to sign in anew", () =>
    Effect.gen(function* () {
      yield* someone("owner")
      const bob = yield* someone("viewer")
      const name = Fixtures.unique("night shift")
      const role = yield* ownRole(name)
      const { code, stdout } = yield* onDatabase("admin", "role", bob.name.toUpperCase(), name.toUpperCase())
      assert.deepStrictEqual([code, stdout], [ExitCode.ok, `${bob.name} is ${name} now, and signs in anew.`])
      assert.strictEqual((yield* shown(bob.id)).role, role.id)
      assert.deepInclude(yield* json("admin", "role", bob.id, "operator"), { id: bob.id, role: "operator" })
    })
  )

  it.effect("disable and enable shut out, and let in again", () =>
    Effect.gen(function* () {
      const bob = yield* someone("operator")
      const disabled = yield* onDatabase("admin", "disable", bob.name)
      assert.include(disabled.stdout, `${bob.name} is disabled.`)
      const { state } = yield* shown(bob.id)
      assert.deepInclude(yield* json("admin", "enable", bob.name), { id: bob.id, state: "active" })
      assert.strictEqual(state, "disabled")
    })
  )

  it.effect("invite and reset-password print the link alone, and the rest beside it", () =>
    Effect.gen(function* () {
      const guest = Fixtures.unique("guest")
      const bob = yield* someone("viewer")
      const invited = yield* onDatabase("admin", "invite", guest, "--role", "operator")
      const reset = yield* onDatabase("admin", "reset-password", bob.name)
      for (const { code, stderr, stdout } of [invited, reset]) {
        assert.strictEqual(code, ExitCode.ok, stderr)
        assert.match(stdout, /^http:\/\/\S+$/)
        assert.notInclude(stderr, stdout)
      }
      assert.include(invited.stderr, `${guest}, who becomes operator`)
      assert.include(reset.stderr, "in 1 h")
      assert.containsAllKeys(yield* json("admin", "reset-password", bob.id), ["id", "url", "expiresAt"])
    })
  )

  it.effect("reset-factors signs out", () =>
    Effect.gen(function* () {
      const bob = yield* someone("viewer")
      const sessions = yield* AdminSessions
      yield* sessions
        .open(bob.id, { method: "password", factor: false }, Fixtures.browser)
        .pipe(Effect.provideService(Actor, Fixtures.actor))
      const reset = yield* json("admin", "reset-factors", bob.name)
      assert.deepInclude(reset, { sessions: 0, factors: { totp: false, passkeys: 0, recoveryCodes: 0 } })
    })
  )

  it.effect.each([
    [["disable", "nobody-at-all"], "admin_not_found"],
    [["enable", "00000000-0000-4000-8000-00000000dead"], "admin_not_found"],
    [["reset-password", "nobody-at-all"], "admin_not_found"],
    [["invite", "guest", "--role", "emperor"], "role_not_found"]
  ] as const)("%j is refused", ([args, code]) =>
    Effect.gen(function* () {
      const refused = yield* onDatabase("admin", ...args)
      assert.deepStrictEqual([refused.code, refused.stdout], [ExitCode.refused, ""])
      assert.include(refused.stderr, code)
    })
  )

  it.effect("a name that is none is a wrong command line", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* onDatabase("admin", "invite", "x")).code, ExitCode.usage)
    })
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("The last owner", (it) => {
  it.effect("A2 stays one, whoever may run commands", () =>
    Effect.gen(function* () {
      const { id, name } = yield* someone("owner")
      for (const args of [
        ["disable", name],
        ["role", name, "viewer"]
      ]) {
        const { code, stderr } = yield* onDatabase("admin", ...args)
        assert.strictEqual(code, ExitCode.refused)
        assert.include(stderr, "last_owner")
      }
      assert.deepInclude(yield* shown(id), { role: "owner", state: "active" })
    })
  )
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("role and api-token", (it) => {
  it.effect("role list shows both kinds", () =>
    Effect.gen(function* () {
      const own = yield* ownRole("night shift")
      const { items } = yield* json("role", "list")
      assert.deepStrictEqual(
        items.map(({ name }: { readonly name: string }) => name),
        ["owner", "admin", "operator", "auditor", "viewer", "night shift"]
      )
      const { stdout } = yield* onDatabase("role", "list")
      assert.include(stdout, own.id)
    })
  )

  it.effect("api-token list shows what a token may do, and revoke ends it", () =>
    Effect.gen(function* () {
      const tokens = yield* ApiTokens
      const owner = yield* someone("operator")
      const created = yield* Effect.gen(function* () {
        const { admin } = yield* Fixtures.adminSession(owner)
        return yield* tokens.create(admin, {
          name: "collector",
          scopes: ["servers:read", "servers:drain"],
          networks: ["203.0.113.0/24"],
          expiresInSeconds: 3_600
        })
      }).pipe(Effect.provideService(Actor, Fixtures.actor))
      yield* json("admin", "role", owner.name, "viewer")
      const { stdout } = yield* onDatabase("api-token", "list")
      assert.match(stdout, /collector .*servers:read, \(servers:drain\) +203\.0\.113\.0\/24/)
      const shown = JSON.stringify(yield* json("api-token", "list", "--all"))
      assert.notInclude(shown, Redacted.value(created.token).slice(30, 62))
      const { stdout: told } = yield* onDatabase("api-token", "revoke", created.id)
      assert.strictEqual(told, `collector of ${owner.name} opens nothing any more.`)
      assert.deepStrictEqual((yield* json("api-token", "list")).items, [])
      const { code, stderr } = yield* onDatabase("api-token", "revoke", "nonsense")
      assert.strictEqual(code, ExitCode.refused)
      assert.include(stderr, "api_token_not_found")
    })
  )
})
