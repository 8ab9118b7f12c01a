import { Admins } from "@broker/core/admins/Admins"
import { type Authority, everything } from "@broker/core/admins/Authority"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Roles } from "@broker/core/roles/Roles"
import { SecurityPolicies } from "@broker/core/security-policies/SecurityPolicies"
import { ApiTokenId, type ApiTokenRequest, type CreatedApiToken } from "@broker/domain/ApiToken"
import { format } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { isBuiltIn } from "@broker/domain/Role"
import { usual } from "@broker/domain/SecurityPolicy"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Random, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { anyRole, atWork, audited, codeOf, customRole, member } from "../admins/members.ts"

const request = (fields: Partial<ApiTokenRequest> = {}): ApiTokenRequest => ({
  name: "collector",
  scopes: ["servers:read"],
  networks: [],
  expiresInSeconds: 86_400,
  ...fields
})

/** A token as its holder has it. */
const made = Effect.fnUntraced(function* (
  owner: Pick<Authority, "organizationId"> & { readonly id: Parameters<typeof atWork>[0]["id"] },
  fields: Partial<ApiTokenRequest> = {}
) {
  const tokens = yield* ApiTokens
  const { admin } = yield* atWork(owner)
  const created: CreatedApiToken = yield* tokens.create(admin, request(fields))
  return { ...created, credential: Fixtures.credential("apiToken", created.token) }
})
type Made = Effect.Success<ReturnType<typeof made>>

const use = ({ credential }: Pick<Made, "credential">, address: string | null = "203.0.113.7") =>
  ApiTokens.use((tokens) => tokens.authenticate(credential, address))

/** What a token may do now; null where it is refused. */
const allowed = (token: Pick<Made, "credential">, address?: string) =>
  Effect.match(use(token, address), { onFailure: () => null, onSuccess: ({ permissions }) => [...permissions] })

const listed = Effect.fnUntraced(function* (id: ApiTokenId) {
  const tokens = yield* ApiTokens
  const all = yield* tokens.list(defaultOrganizationId, null)
  return all.find((token) => token.id === id) ?? assert.fail("not listed")
})

const command = everything(defaultOrganizationId)

layer(Fixtures.layer)("ApiTokens", (it) => {
  it.effect("B9 the secret is shown once: no list, no audit entry and no row has it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const tokens = yield* ApiTokens
      const token = yield* made(yield* member())
      assert.match(Redacted.value(token.token), /^brk_api_/)
      const [row] = yield* sql`select t::text as text from api_tokens t where id = ${token.id}`
      const entries = yield* sql`select details, changes from audit_entries where subject_id = ${token.id}`
      const shown = JSON.stringify([yield* tokens.list(defaultOrganizationId, null), row, entries])
      assert.notInclude(shown, Redacted.value(token.token).slice(30, 62))
      assert.include(Redacted.value(token.token), (yield* listed(token.id)).hint.slice(0, -1))
    })
  )

  it.effect("it may do what its scopes say, and its use is written down once a minute", () =>
    Effect.gen(function* () {
      const token = yield* made(yield* member(), { scopes: ["users:read", "servers:read"] })
      const used = yield* use(token)
      assert.deepStrictEqual([...used.permissions], ["servers:read", "users:read"])
      assert.deepInclude(used, { name: "collector", tokenId: token.id, organizationId: defaultOrganizationId })
      const first = yield* DateTime.now
      const seen = (at: DateTime.Utc, address: string) =>
        Effect.gen(function* () {
          const { lastAddress, lastUsedAt } = yield* listed(token.id)
          if (lastUsedAt === null || !DateTime.Equivalence(lastUsedAt, at) || lastAddress !== address) {
            return yield* Effect.fail("not yet written")
          }
        }).pipe(Effect.eventually)
      yield* seen(first, "203.0.113.7")
      yield* TestClock.adjust("59 seconds")
      yield* use(token, "203.0.113.8")
      yield* TestClock.adjust("1 second")
      yield* use(token, "203.0.113.9")
      yield* seen(yield* DateTime.now, "203.0.113.9")
    })
  )

  it.effect("A5 nobody gives a token more than they hold", () =>
    Effect.gen(function* () {
      const admin = yield* member("admin")
      const refused = yield* Effect.flip(made(admin, { scopes: ["servers:read", "admins:reset"] }))
      assert.deepInclude(refused, { code: "more_than_held", permissions: ["admins:reset"] })
    })
  )

  it.effect("A5 scopes are cut to what the owner may do at the time of use, and come back with it", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const owner = yield* member("admin")
      const token = yield* made(owner, { scopes: ["servers:read", "users:delete", "audit:read"] })
      const before = yield* allowed(token)
      yield* admins.changeRole(command, owner.id, "viewer")
      const cut = yield* allowed(token)
      assert.deepStrictEqual((yield* listed(token.id)).idle, ["users:delete", "audit:read"])
      yield* admins.changeRole(command, owner.id, "auditor")
      const other = yield* allowed(token)
      yield* admins.disable(command, owner.id)
      const disabled = yield* allowed(token)
      assert.deepStrictEqual((yield* listed(token.id)).idle, ["servers:read", "users:delete", "audit:read"])
      yield* admins.enable(command, owner.id)
      assert.deepStrictEqual(
        [before, cut, other, disabled, yield* allowed(token)],
        [
          ["servers:read", "users:delete", "audit:read"],
          ["servers:read"],
          ["servers:read", "audit:read"],
          [],
          ["servers:read", "audit:read"]
        ]
      )
    })
  )

  it.effect("A5 scopes are cut when the owner's role is", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const role = yield* customRole(["servers:read", "users:read"])
      const token = yield* made(yield* member(role), { scopes: ["servers:read", "users:read"] })
      yield* allowed(token)
      yield* roles.update(command, role, {
        name: Fixtures.unique("role"),
        description: "",
        permissions: ["users:read"]
      })
      assert.deepStrictEqual(yield* allowed(token), ["users:read"])
    })
  )

  it.effect("A5 whatever role the owner is given, a token never does more than its scopes and its owner", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const roles = yield* Roles
      const owner = yield* member("owner")
      const scopes = (yield* Random.shuffle(Permission.literals)).slice(0, 12)
      const token = yield* made(owner, { scopes })
      for (let round = 0; round < 12; round++) {
        const role = yield* anyRole()
        yield* admins.changeRole(command, owner.id, role)
        const held = yield* roles.permissions(defaultOrganizationId, role)
        assert.isFalse(isBuiltIn(role))
        assert.deepStrictEqual(new Set(yield* allowed(token)), new Set(scopes.filter((scope) => held.has(scope))))
      }
    })
  )

  it.effect("A2 whoever has yet to enrol a second factor has tokens that do nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policies = yield* SecurityPolicies
      const organizationId = yield* Fixtures.organization
      const [owner, other] = [yield* member("owner", organizationId), yield* member("owner", organizationId)]
      const token = yield* made(other)
      const enrol = (id: string) =>
        sql`update admins set totp_secret = ${new Uint8Array(16)}, totp_confirmed_at = now() where id = ${id}`
      yield* enrol(owner.id)
      const { admin } = yield* atWork(owner)
      const before = yield* allowed(token)
      yield* policies.update(admin, { ...usual, requireFactor: true })
      const demanded = yield* allowed(token)
      yield* enrol(other.id)
      yield* ApiTokens.use(({ forget }) => forget)
      assert.deepStrictEqual([before, demanded, yield* allowed(token)], [["servers:read"], [], ["servers:read"]])
    })
  )

  it.effect("from elsewhere than its networks it is as if unknown", () =>
    Effect.gen(function* () {
      const token = yield* made(yield* member(), { networks: ["203.0.113.0/24", "::ffff:192.0.2.7", "2001:db8::/32"] })
      assert.deepStrictEqual(token.networks, ["203.0.113.0/24", "192.0.2.7/32", "2001:db8::/32"])
      const answers = yield* Effect.forEach(
        ["203.0.113.255", "::ffff:203.0.113.1", "192.0.2.7", "2001:db8::1", "203.0.114.1", "192.0.2.8", "::1"],
        (address) => Effect.map(allowed(token, address), (permissions) => permissions !== null)
      )
      assert.deepStrictEqual(answers, [true, true, true, true, false, false, false])
      assert.strictEqual(yield* codeOf(use(token, null)), "unknown_credential")
      assert.strictEqual(yield* codeOf(use(token, "198.51.100.1")), "unknown_credential")
    })
  )

  it.effect("what is no network is refused, and no token is made", () =>
    Effect.gen(function* () {
      const tokens = yield* ApiTokens
      const owner = yield* member()
      for (const network of ["10.0.0.1/8", "10.0.0.0/33", "::ffff:0:0/80", "1.2.3"]) {
        assert.strictEqual(yield* codeOf(made(owner, { networks: ["203.0.113.0/24", network] })), "invalid_network")
      }
      assert.deepStrictEqual(yield* tokens.list(defaultOrganizationId, owner.id), [])
    })
  )

  it.effect("it ends when it was told to", () =>
    Effect.gen(function* () {
      const token = yield* made(yield* member(), { expiresInSeconds: 3_600 })
      yield* TestClock.adjust("3599 seconds")
      const late = yield* allowed(token)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([late, yield* allowed(token)], [["servers:read"], null])
      assert.strictEqual((yield* listed(token.id)).state, "expired")
    })
  )

  it.effect("a revoked one is refused at once, for good, and revoking again changes nothing", () =>
    Effect.gen(function* () {
      const tokens = yield* ApiTokens
      const token = yield* made(yield* member())
      yield* use(token)
      const first = yield* tokens.revoke(defaultOrganizationId, token.id, null)
      assert.strictEqual(yield* codeOf(use(token)), "unknown_credential")
      yield* TestClock.adjust("1 hour")
      const again = yield* tokens.revoke(defaultOrganizationId, token.id, null)
      assert.deepStrictEqual([again.state, again.revokedAt], ["revoked", first.revokedAt])
      assert.deepStrictEqual(
        (yield* audited(token.id)).map(({ action }) => action),
        ["api-tokens:create", "api-tokens:revoke"]
      )
    })
  )

  it.effect("B9 a wrong secret under a right id is unknown, and so is an id that nobody has", () =>
    Effect.gen(function* () {
      const token = yield* made(yield* member())
      const forged = (id: string) => ({
        credential: Fixtures.credential("apiToken", format("apiToken", id, new Uint8Array(24)))
      })
      const codes = [
        yield* codeOf(use(forged(token.id))),
        yield* codeOf(use(forged("00000000-0000-4000-8000-00000000dead")))
      ]
      assert.deepStrictEqual(codes, ["unknown_credential", "unknown_credential"])
      assert.isNotNull(yield* allowed(token))
    })
  )

  it.effect("A5 nobody revokes another's as if it were theirs, and one of another organization is not found", () =>
    Effect.gen(function* () {
      const tokens = yield* ApiTokens
      const elsewhere = yield* Fixtures.organization
      const mine = yield* member()
      const [theirs, foreign] = [yield* made(yield* member()), yield* made(yield* member("owner", elsewhere))]
      const codes = [
        yield* codeOf(tokens.revoke(defaultOrganizationId, theirs.id, mine.id)),
        yield* codeOf(tokens.revoke(defaultOrganizationId, foreign.id, null)),
        yield* codeOf(tokens.revoke(defaultOrganizationId, ApiTokenId.make(mine.id), null))
      ]
      assert.deepStrictEqual(new Set(codes), new Set(["api_token_not_found"]))
      assert.isNotNull(yield* allowed(theirs))
      assert.strictEqual((yield* use(foreign)).organizationId, elsewhere)
      assert.deepStrictEqual(yield* tokens.list(defaultOrganizationId, mine.id), [])
    })
  )

  it.effect("previews of a change of role count the tokens that it concerns", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const tokens = yield* ApiTokens
      const owner = yield* member("operator")
      yield* made(owner, { scopes: ["servers:read"] })
      yield* made(owner, { scopes: ["servers:read", "servers:drain"] })
      const { id } = yield* made(owner, { scopes: ["servers:drain"] })
      const before = yield* admins.previewRole(defaultOrganizationId, owner.id, "viewer")
      yield* tokens.revoke(defaultOrganizationId, id, owner.id)
      const after = yield* admins.previewRole(defaultOrganizationId, owner.id, "viewer")
      assert.deepStrictEqual([before.apiTokens, after.apiTokens], [2, 1])
    })
  )

  it.effect("two nodes: what one revokes the other refuses within a second", () =>
    Effect.gen(function* () {
      const here = yield* ApiTokens
      const token = yield* made(yield* member())
      yield* Effect.gen(function* () {
        const there = yield* ApiTokens
        const open = there.authenticate(token.credential, null)
        yield* open
        const began = performance.now()
        yield* here.revoke(defaultOrganizationId, token.id, null)
        yield* open.pipe(Effect.flip, Effect.eventually)
        assert.isBelow(performance.now() - began, 1_000)
      }).pipe(Effect.provide(ApiTokens.layer, { local: true }))
    })
  )

  it.effect("the database knows no token without an end, a scope or an owner", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const token = yield* made(yield* member())
      for (const change of [
        sql`update api_tokens set scopes = '{}' where id = ${token.id}`,
        sql`update api_tokens set expires_at = created_at where id = ${token.id}`,
        sql`update api_tokens set owner_id = null where id = ${token.id}`
      ]) {
        assert.strictEqual((yield* Effect.flip(change)).reason._tag, "ConstraintError")
      }
    })
  )
})
