import { describe, expect, it } from "vitest"
import { actionChoice, fieldChanges, fieldName, subjectHref, subjectName, told, valueWords } from "../src/lib/audit.ts"
import { changed } from "../src/lib/views.ts"
import { entryOf, exportHref, parseView, toQuery, viewSearch } from "../src/routes/(app)/audit/filters.ts"

const read = (search: string) => parseView(new URLSearchParams(search))
const id = "0199aaaa-0000-7000-8000-000000000001"
const now = Date.parse("2026-11-23T08:00:00Z")

describe("the audit log in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it("comes back as it was written", () => {
    const search = `?q=ada%20%26%20co&action=servers:suspend&by=admin,api-token&actor=${id}&kind=server&subject=${id}&outcome=refused&range=7d&limit=25&after=a%3D%3D`
    expect(viewSearch(read(search))).toBe(search)
    const custom = "?from=2026-11-20T08:00Z&to=2026-11-21T08:30Z"
    expect(viewSearch(read(custom))).toBe(custom)
  })

  it("ignores what makes no sense", () => {
    const nonsense =
      "action=drop%20table&by=ghost&actor=me&kind=thing&subject=1&outcome=maybe&range=1y&from=then&limit=7"
    expect(read(nonsense)).toEqual(read(""))
    expect(entryOf(new URLSearchParams("entry=-3"))).toBeNull()
    expect(entryOf(new URLSearchParams("entry=12"))).toBe(12)
  })

  it("goes back to the first page when the question changes", () => {
    expect(changed(read("after=x&q=ada"), { outcome: "refused" })).toMatchObject({ text: "ada", cursor: null })
  })

  it("asks from a preset's beginning on, and exports the same", () => {
    const view = read("range=24h&by=admin,server&action=servers:")
    expect(toQuery(view, now)).toMatchObject({ from: "2026-11-22T08:00:00.000Z", to: null, action: "servers:" })
    expect(exportHref(view, "csv", now)).toContain("from=2026-11-22T08%3A00%3A00.000Z")
  })
})

describe("what the audit log tells", () => {
  it("tells acts as sentences, by rule where there is no phrase", () => {
    expect(told({ action: "servers:suspend", outcome: "done" })).toBe("Suspended a server")
    expect(told({ action: "servers:suspend", outcome: "refused" })).toBe("Tried to suspend a server")
    expect(told({ action: "admins:sign-in", outcome: "refused" })).toBe("Tried to sign in")
    expect(told({ action: "api-tokens:revoke", outcome: "done" })).toBe("Revoked an API token")
    expect(told({ action: "roles:update", outcome: "done" })).toBe("Changed a role")
    expect(told({ action: "registration-keys:create", outcome: "done" })).toBe("Created a registration key")
    expect(told({ action: "passkeys:enrol", outcome: "done" })).toBe("Enrolled a passkey")
    expect(told({ action: "servers:replace-key", outcome: "done" })).toBe("Replaced the key of a server")
    expect(told({ action: "admins:change-role", outcome: "refused" })).toBe("Tried to change the role of an admin")
    expect(actionChoice("audit-log:verify")).toBe("Verify the audit log")
  })

  const entry = { subjectKind: "server", subjectId: id, details: {}, changes: [] } as const

  it("names the subject by the name it had", () => {
    expect(subjectName({ ...entry, details: { name: "fra-1" } })).toBe("fra-1")
    const change = { table: "servers", id, before: { name: "ams-1" }, after: null }
    expect(subjectName({ ...entry, changes: [change] })).toBe("ams-1")
    expect(subjectName(entry)).toBe("00000001")
    expect(subjectHref(entry)).toBe(`/servers/${id}`)
    expect(subjectHref({ subjectKind: "security-policy", subjectId: null })).toBe("/settings/security")
    expect(subjectHref({ subjectKind: "challenge", subjectId: id })).toBeNull()
  })

  it("tells field by field what was added, removed and changed; secrets stay hidden", () => {
    expect(
      fieldChanges({
        before: { name: "a", note: "x", duty: "serving", token_hash: "(hidden)", same: 1, nothing: null },
        after: { name: "b", note: null, duty: "serving", token_hash: "(hidden)", same: 1, nothing: null, group: "eu" }
      })
    ).toEqual([
      { field: "name", kind: "changed", before: "a", after: "b" },
      { field: "note", kind: "removed", before: "x", after: null },
      { field: "token_hash", kind: "changed", before: "(hidden)", after: "(hidden)" },
      { field: "group", kind: "added", before: null, after: "eu" }
    ])
    expect(fieldName("custom_role_id")).toBe("Custom role")
    expect(valueWords(["a", "b"])).toBe("a, b")
    expect(valueWords({ a: 1 })).toBe('{"a":1}')
    expect(valueWords(false)).toBe("no")
  })
})
