import { SavedViews } from "@broker/core/saved-views/SavedViews"
import type { SavedViewRequest } from "@broker/domain/SavedView"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const { adminSession, unique } = Fixtures

const request = (fields: Partial<SavedViewRequest> = {}): SavedViewRequest => ({
  page: "servers",
  name: unique("view"),
  search: "q=tag%3Aeu&sort=-load",
  shared: false,
  ...fields
})

const names = Effect.fnUntraced(function* (admin: Fixtures.AdminSession["admin"]) {
  const views = yield* SavedViews
  return (yield* views.list(admin, "servers")).map(({ mine, name }) => [name, mine])
})

layer(Fixtures.audited)("SavedViews", (it) => {
  it.effect("one's own come first, then those that others share; nobody sees the others", () =>
    Effect.gen(function* () {
      const views = yield* SavedViews
      const organizationId = yield* Fixtures.organization
      const ada = yield* adminSession(yield* Fixtures.admin({ organizationId }))
      const bob = yield* adminSession(yield* Fixtures.admin({ organizationId }))
      const stranger = yield* adminSession()
      yield* views.save(ada.admin, request({ name: "a shared", shared: true }))
      yield* views.save(ada.admin, request({ name: "b own" }))
      yield* views.save(bob.admin, request({ name: "c own" }))
      yield* views.save(bob.admin, request({ name: "users", page: "users", shared: true }))
      assert.deepStrictEqual(yield* names(ada.admin), [
        ["a shared", true],
        ["b own", true]
      ])
      assert.deepStrictEqual(yield* names(bob.admin), [
        ["c own", true],
        ["a shared", false]
      ])
      assert.notDeepInclude(yield* names(stranger.admin), ["a shared", false])
    })
  )

  it.effect("under a name that one has already, a view takes the place of the old one", () =>
    Effect.gen(function* () {
      const views = yield* SavedViews
      const { admin } = yield* adminSession()
      const first = yield* views.save(admin, request({ name: "Offline" }))
      const second = yield* views.save(admin, request({ name: "OFFLINE", search: "status=offline", shared: true }))
      assert.strictEqual(second.id, first.id)
      assert.deepStrictEqual([second.name, second.search, second.shared], ["OFFLINE", "status=offline", true])
      assert.strictEqual(second.owner, admin.name)
    })
  )

  it.effect("A5 only whoever saved a view deletes it", () =>
    Effect.gen(function* () {
      const views = yield* SavedViews
      const sql = yield* SqlClient.SqlClient
      const ada = yield* adminSession()
      const bob = yield* adminSession()
      const { id } = yield* views.save(ada.admin, request({ shared: true }))
      const { code } = yield* Effect.flip(views.delete(bob.admin, id))
      assert.strictEqual(code, "saved_view_not_found")
      yield* views.delete(ada.admin, id)
      const entries = yield* sql<{
        action: string
      }>`select action from audit_entries where subject_id = ${id} order by id`
      assert.deepStrictEqual(
        entries.map(({ action }) => action),
        ["saved-views:save", "saved-views:delete"]
      )
    })
  )
})
