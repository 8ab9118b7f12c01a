import { ServerNotes } from "@broker/core/server-notes/ServerNotes"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const { adminSession, joined } = Fixtures

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

layer(Fixtures.audited)("ServerNotes", (it) => {
  it.effect("notes are listed with who wrote them, the newest first", () =>
    Effect.gen(function* () {
      const notes = yield* ServerNotes
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const { id } = yield* joined()
      const first = yield* notes.add(admin, id, "Fan is loud.")
      yield* notes.add(admin, id, "Fan is new.")
      const listed = yield* notes.list(defaultOrganizationId, id)
      assert.deepStrictEqual(
        listed.map(({ author, body }) => [author, body]),
        [
          [admin.name, "Fan is new."],
          [admin.name, "Fan is loud."]
        ]
      )
      yield* notes.delete(defaultOrganizationId, first.id)
      assert.strictEqual((yield* notes.list(defaultOrganizationId, id)).length, 1)
      assert.strictEqual(yield* codeOf(notes.delete(defaultOrganizationId, first.id)), "server_note_not_found")
      const entries = yield* sql<{ action: string; tables: number }>`
        select action, jsonb_array_length(changes) as tables
          from audit_entries
         where subject_id = ${id} and action like 'servers:%note'
      order by id`
      assert.deepStrictEqual(entries, [
        { action: "servers:add-note", tables: 1 },
        { action: "servers:add-note", tables: 1 },
        { action: "servers:delete-note", tables: 1 }
      ])
    })
  )

  it.effect("A5 servers and notes of another organization are not found", () =>
    Effect.gen(function* () {
      const notes = yield* ServerNotes
      const organizationId = yield* Fixtures.organization
      const { admin } = yield* adminSession()
      const foreign = yield* joined(undefined, { organizationId })
      const own = yield* notes.add(admin, (yield* joined()).id, "Mine.")
      assert.strictEqual(yield* codeOf(notes.add(admin, foreign.id, "x")), "server_not_found")
      assert.strictEqual(yield* codeOf(notes.list(defaultOrganizationId, foreign.id)), "server_not_found")
      assert.strictEqual(yield* codeOf(notes.delete(organizationId, own.id)), "server_note_not_found")
    })
  )
})
