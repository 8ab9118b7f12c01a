import { ServerNotes } from "@broker/core/server-notes/ServerNotes"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const { adminSession, joined } = Fixtures

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

const firstPage = { limit: 50, cursor: null }

layer(Fixtures.audited)("ServerNotes", (it) => {
  it.effect("notes are listed with who wrote them, the newest first", () =>
    Effect.gen(function* () {
      const notes = yield* ServerNotes
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const { id } = yield* joined()
      const first = yield* notes.add(admin, id, "Fan is loud.")
      yield* notes.add(admin, id, "Fan is new.")
      const { items } = yield* notes.list(defaultOrganizationId, id, firstPage)
      assert.deepStrictEqual(
        items.map(({ author, body }) => [author, body]),
        [
          [admin.name, "Fan is new."],
          [admin.name, "Fan is loud."]
        ]
      )
      yield* notes.delete(defaultOrganizationId, first.id)
      assert.strictEqual((yield* notes.list(defaultOrganizationId, id, firstPage)).items.length, 1)
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

  it.effect("older notes stand on further pages, each on one, whatever is written meanwhile", () =>
    Effect.gen(function* () {
      const notes = yield* ServerNotes
      const { admin } = yield* adminSession()
      const { id } = yield* joined()
      for (const body of ["1", "2", "3", "4", "5"]) yield* notes.add(admin, id, body)
      const bodies: Array<ReadonlyArray<string>> = []
      let cursor: string | null = null
      do {
        const page: Effect.Success<ReturnType<typeof notes.list>> = yield* notes.list(defaultOrganizationId, id, {
          limit: 2,
          cursor
        })
        bodies.push(page.items.map(({ body }) => body))
        cursor = page.nextCursor
        if (bodies.length === 1) yield* notes.add(admin, id, "6")
      } while (cursor !== null)
      assert.deepStrictEqual(bodies, [["5", "4"], ["3", "2"], ["1"]])
      assert.strictEqual(
        yield* codeOf(notes.list(defaultOrganizationId, id, { limit: 2, cursor: "x" })),
        "invalid_cursor"
      )
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
      assert.strictEqual(yield* codeOf(notes.list(defaultOrganizationId, foreign.id, firstPage)), "server_not_found")
      assert.strictEqual(yield* codeOf(notes.delete(organizationId, own.id)), "server_note_not_found")
    })
  )
})
