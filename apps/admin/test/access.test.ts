import type { AdminId, ListedAdmin } from "@broker/domain/Admin"
import { builtInPermissions } from "@broker/domain/Permission"
import type { Role } from "@broker/domain/Role"
import { DateTime } from "effect"
import { describe, expect, it } from "vitest"
import { factorWords, untouchable } from "../src/lib/access.ts"
import { catalogue, conjunction, whoHas } from "../src/lib/permissions.ts"
import * as Admins from "../src/routes/(app)/access/admins/filters.ts"
import * as Tokens from "../src/routes/(app)/access/api-tokens/filters.ts"
import * as SignIns from "../src/routes/(app)/access/sign-ins/filters.ts"
import {
  effect,
  factorEffect,
  lengthWords,
  offered,
  retentionWords
} from "../src/routes/(app)/settings/security/words.ts"

const ada = "0199aaaa-0000-7000-8000-000000000001" as AdminId
const bob = "0199aaaa-0000-7000-8000-000000000002" as AdminId
const at = DateTime.makeUnsafe("2026-11-23T08:00:00Z")
const none = { totp: false, passkeys: 0, recoveryCodes: 0 }

const admin = (more: Partial<ListedAdmin>): ListedAdmin => ({
  id: bob,
  name: "bob" as ListedAdmin["name"],
  role: "viewer",
  roleName: "Viewer",
  state: "active",
  factors: none,
  singleSignOn: false,
  sessions: 0,
  createdAt: at,
  lastSignInAt: null,
  ...more
})

describe("the lists in the URL", () => {
  it("come back as they were written", () => {
    const admins = "?q=ada&state=disabled&role=owner&factor=no&invite=1"
    expect(Admins.viewSearch(Admins.parseView(new URLSearchParams(admins)))).toBe(admins)
    const tokens = `?q=ci&state=active,revoked&owner=${ada}`
    expect(Tokens.viewSearch(Tokens.parseView(new URLSearchParams(tokens)))).toBe(tokens)
    const signIns = "?q=203.0&kind=admin,address&waiting=1"
    expect(SignIns.viewSearch(SignIns.parseView(new URLSearchParams(signIns)))).toBe(signIns)
  })
})

describe("who may act on whom", () => {
  const me = { admin: { id: ada }, permissions: [...builtInPermissions.admin] }

  it("says why not oneself, and why not those who hold more (A5)", () => {
    expect(untouchable(admin({ id: ada }), me, [])).toMatch(/^This is you/)
    expect(untouchable(admin({ role: "owner" }), me, [])).toBe(
      "Their role holds 2 permissions that yours does not: ask somebody who has them."
    )
    expect(untouchable(admin({ role: "operator" }), me, [])).toBeNull()
  })

  it("leaves a role it does not know to the broker", () => {
    const id = "0199aaaa-0000-7000-8000-00000000000f" as Role["id"]
    expect(untouchable(admin({ role: id }), me, [])).toBeNull()
    const role: Role = { id, name: "Guard", description: "", permissions: ["admins:reset"], builtIn: false, admins: 1 }
    expect(untouchable(admin({ role: id }), me, [role])).toMatch(/^Their role holds 1 permission that/)
  })

  it("has every permission in its catalogue, and says who has one", () => {
    expect(catalogue.flatMap(({ permissions }) => permissions)).toHaveLength(builtInPermissions.owner.size)
    expect(whoHas("audit:read")).toBe("Owners, admins and auditors have it.")
    expect(whoHas("admins:reset")).toBe("Owners have it.")
    expect(conjunction(factorWords({ totp: true, passkeys: 2, recoveryCodes: 8 }))).toBe(
      "authenticator app, 2 passkeys and 8 recovery codes"
    )
  })
})

describe("security settings in words", () => {
  it("count those who would have to add a factor", () => {
    const admins = [admin({}), admin({ factors: { ...none, totp: true } }), admin({ state: "disabled" })]
    expect(factorEffect(admins)).toBe(
      "1 of 2 admins has none and will have to add one: until then they can do nothing else."
    )
    expect(factorEffect([admin({ factors: { ...none, passkeys: 1 } })])).toBe("Every admin has one already.")
    expect(factorEffect(null)).toMatch(/^Admins who have none/)
  })

  it("restate the whole", () => {
    const policy = {
      requireFactor: true,
      sessionIdleSeconds: 7_200,
      sessionLifetimeSeconds: 86_400,
      auditRetentionDays: 365
    }
    expect(effect(policy)).toBe(
      "Everybody needs a second factor, a session ends after 2 hours without use, and after 1 day in any case, and audit entries are deleted after 1 year."
    )
    expect(effect({ ...policy, requireFactor: false, sessionIdleSeconds: 86_400, auditRetentionDays: null })).toBe(
      "A second factor is up to each admin, a session ends after 1 day, used or not, and audit entries are kept for ever."
    )
  })

  it("offer the value that holds, wherever it came from", () => {
    expect(offered([null, 90, 365], 100)).toEqual([null, 90, 100, 365])
    expect(offered([300, 900], 300)).toEqual([300, 900])
    expect([lengthWords(5_400), lengthWords(604_800), retentionWords(180)]).toEqual([
      "90 minutes",
      "7 days",
      "180 days"
    ])
  })
})
