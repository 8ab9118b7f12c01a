/** What admins tell each other about a server. */
import type { OrganizationId } from "@broker/domain/Organization"
import type { InvalidCursor } from "@broker/domain/Primitives"
import { type ServerId, ServerNotFound } from "@broker/domain/Server"
import { ServerNote, ServerNoteId, ServerNoteNotFound } from "@broker/domain/ServerNote"
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import * as ServerNotesSql from "./ServerNotesSql.ts"

export class ServerNotes extends Context.Service<
  ServerNotes,
  {
    /** The newest first. */
    list(
      organizationId: OrganizationId,
      id: ServerId,
      page: { readonly limit: number; readonly cursor: string | null }
    ): Effect.Effect<
      { readonly items: ReadonlyArray<ServerNote>; readonly nextCursor: string | null },
      ServerNotFound | InvalidCursor
    >
    add(admin: SignedInAdmin, id: ServerId, body: string): Effect.Effect<ServerNote, ServerNotFound, Actor>
    delete(organizationId: OrganizationId, id: typeof ServerNoteId.Type): Effect.Effect<void, ServerNoteNotFound, Actor>
  }
>()("@broker/core/server-notes/ServerNotes") {
  static readonly layerNoDeps = Layer.effect(
    ServerNotes,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ServerNotesSql.make
      const servers = yield* ServersSql.make
      const secrets = yield* Secrets
      const audit = yield* Audit

      const list = Effect.fn("ServerNotes.list")(
        function* (
          organizationId: OrganizationId,
          id: ServerId,
          { cursor, limit }: { readonly limit: number; readonly cursor: string | null }
        ) {
          const after = yield* Cursor.decode(cursor)
          yield* servers.get({ organizationId, id })
          const rows = yield* statements.list({ organizationId, serverId: id, after, limit: limit + 1 })
          return Cursor.page(rows, limit, (note) => ["", note.id])
        },
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const add = Effect.fn("ServerNotes.add")(
        function* (admin: SignedInAdmin, id: ServerId, body: string) {
          const { name } = yield* servers.get({ organizationId: admin.organizationId, id })
          const note = ServerNote.insert.make({
            id: ServerNoteId.make(yield* secrets.id),
            serverId: id,
            body,
            author: admin.name,
            authorId: admin.id,
            createdAt: yield* DateTime.now
          })
          yield* statements.insert(note)
          yield* audit.record({
            organizationId: admin.organizationId,
            action: "servers:add-note",
            subjectKind: "server",
            subjectId: id,
            details: { name, note: note.id }
          })
          return new ServerNote(note)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("ServerNotes.delete")(
        function* (organizationId: OrganizationId, id: typeof ServerNoteId.Type) {
          const { name, serverId } = yield* statements.remove({ organizationId, id })
          yield* audit.record({
            organizationId,
            action: "servers:delete-note",
            subjectKind: "server",
            subjectId: serverId,
            details: { name, note: id }
          })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ServerNoteNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return ServerNotes.of({ list, add, delete: remove })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Audit.layer, Secrets.layer]))
}
