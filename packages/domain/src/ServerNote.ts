/** What admins tell each other about a server. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { AdminId } from "./Admin.ts"
import { Instant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { ServerId } from "./Server.ts"

export const ServerNoteId = Uuid.pipe(Schema.brand("ServerNoteId"))

export const NoteBody = Text(4_000).check(Schema.isTrimmed(), Schema.isMinLength(1))

/** One row of `server_notes`. */
export class ServerNote extends Model.Class<ServerNote>("ServerNote")({
  id: Model.UuidV7Insert(ServerNoteId),
  serverId: ServerId,
  body: NoteBody,
  author: Schema.String,
  authorId: AdminId,
  createdAt: Instant
}) {}

export class ServerNoteNotFound extends Problem<ServerNoteNotFound>()("ServerNoteNotFound", {
  code: "server_note_not_found",
  status: 404,
  title: "Note not found",
  detail: "There is no such note.",
  remedy: "Load the page again: somebody may have deleted it."
}) {}
