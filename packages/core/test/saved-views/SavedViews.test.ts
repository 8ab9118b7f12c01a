import { SavedViews } from "@broker/core/saved-views/SavedViews"
import { maxSavedViews, type SavedViewRequest } from "@broker/domain/SavedView"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Result } from "effect"
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

  it.effect("A5 whoever saved a view deletes it, and of those that are shared, whoever may share", () =>
    Effect.gen(function* () {
      const views = yield* SavedViews
      const sql = yield* SqlClient.SqlClient
      const ada = yield* adminSession()
      const viewer = yield* adminSession(yield* Fixtures.admin({ role: "viewer" }))
      const owner = yield* adminSession()
      const stranger = yield* adminSession(yield* Fixtures.admin({ organizationId: yield* Fixtures.organization }))
      const { id } = yield* views.save(ada.admin, request({ shared: true }))
      const own = yield* views.save(ada.admin, request())
      const refused = [
        views.delete(viewer.admin, id),
        views.delete(stranger.admin, id),
        views.delete(owner.admin, own.id)
      ]
      for (const attempt of refused) {
        assert.strictEqual((yield* Effect.flip(attempt)).code, "saved_view_not_found")
      }
      yield* views.delete(ada.admin, own.id)
      yield* views.delete(owner.admin, id)
      const entries = yield* sql<{
        action: string
      }>`select action from audit_entries where subject_id = ${id} order by id`
      assert.deepStrictEqual(
        entries.map(({ action }) => action),
        ["saved-views:save", "saved-views:delete"]
      )
    })
  )

  it.effect("an admin has 100 saved views at most, however many are saved at once", () =>
    Effect.gen(function* () {
      const views = yield* SavedViews
      const { admin } = yield* adminSession()
      for (let n = 1; n < maxSavedViews; n++) yield* views.save(admin, request({ name: `view ${n}` }))
      const attempts = ["a", "b", "c"].map((name) => Effect.result(views.save(admin, request({ name }))))
      const results = yield* Effect.all(attempts, { concurrency: "unbounded" })
      const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
      assert.deepStrictEqual(codes, ["too_many_saved_views", "too_many_saved_views"])
      const replaced = yield* views.save(admin, request({ name: "VIEW 7", search: "q=new" }))
      assert.strictEqual(replaced.search, "q=new")
      assert.strictEqual((yield* views.list(admin, "servers")).filter(({ mine }) => mine).length, maxSavedViews)
    })
  )
})
