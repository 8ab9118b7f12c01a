import { Challenges } from "@broker/core/challenges/Challenges"
import { ServerNotes } from "@broker/core/server-notes/ServerNotes"
import { Servers } from "@broker/core/servers/Servers"
import { ServerChange, ServerHistory, ServersQuery } from "@broker/domain/Fleet"
import { Count, Page, PageLimit, Text } from "@broker/domain/Primitives"
import { Duty, FleetServer, ServerAssignment, ServerConnectionLimit, ServerId } from "@broker/domain/Server"
import { NoteBody, ServerNote, ServerNoteId } from "@broker/domain/ServerNote"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: ServerId }))
const Reasoned = Wire.input(Schema.Struct({ id: ServerId, reason: Text(256) }))
const One = Wire.output(FleetServer.json)

export const servers = router({
  list: procedure("servers:read")
    .input(Wire.input(ServersQuery))
    .output(Wire.output(Page(FleetServer.json)))
    .query(({ ctx, input }) => ctx.run(Servers.use((servers) => servers.list(ctx.admin.organizationId, input)))),

  /** How many a list finds on all its pages, up to 100,000. */
  count: procedure("servers:read")
    .input(Wire.input(ServersQuery))
    .output(Wire.output(Schema.Struct({ servers: Count })))
    .query(async ({ ctx, input }) => ({
      servers: await ctx.run(Servers.use((servers) => servers.count(ctx.admin.organizationId, input)))
    })),

  get: procedure("servers:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(Servers.use((servers) => servers.get(ctx.admin.organizationId, input.id)))),

  history: procedure("servers:read")
    .input(Id)
    .output(Wire.output(ServerHistory))
    .query(async ({ ctx, input }) => {
      const history = await ctx.run(Servers.use((servers) => servers.history(ctx.admin.organizationId, input.id)))
      return ctx.admin.permissions.has("registration-keys:read") ? history : { ...history, joinedWith: null }
    }),

  approve: procedure("servers:approve")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.approve(ctx.admin.organizationId, input.id)))
    ),

  suspend: procedure("servers:suspend")
    .input(Reasoned)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.suspend(ctx.admin.organizationId, input.id, input.reason)))
    ),

  setDuty: procedure("servers:drain")
    .input(Wire.input(Schema.Struct({ id: ServerId, duty: Duty })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.setDuty(ctx.admin.organizationId, input.id, input.duty)))
    ),

  limitConnections: procedure("servers:limit")
    .input(Wire.input(Schema.Struct({ id: ServerId, limit: Schema.NullOr(ServerConnectionLimit) })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.limitConnections(ctx.admin.organizationId, input.id, input.limit)))
    ),

  /** Group, tags and labels, as admins give them. */
  assign: procedure("servers:update")
    .input(Wire.input(Schema.Struct({ id: ServerId, assignment: ServerAssignment })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.assign(ctx.admin.organizationId, input.id, input.assignment)))
    ),

  /** What was changed about it, by whomever, the newest first. */
  changes: procedure("servers:read")
    .input(Id)
    .output(Wire.output(Schema.Array(ServerChange)))
    .query(async ({ ctx, input }) => {
      const changes = await ctx.run(Servers.use((servers) => servers.changes(ctx.admin.organizationId, input.id)))
      if (ctx.admin.permissions.has("audit:read")) return changes
      return changes.map((change) => ({ ...change, actorName: null }))
    }),

  notes: procedure("servers:read")
    .input(Wire.input(Schema.Struct({ id: ServerId, limit: PageLimit, cursor: Schema.NullOr(Text(512)) })))
    .output(Wire.output(Page(ServerNote.json)))
    .query(({ ctx, input }) =>
      ctx.run(ServerNotes.use((notes) => notes.list(ctx.admin.organizationId, input.id, input)))
    ),

  addNote: procedure("servers:update")
    .input(Wire.input(Schema.Struct({ id: ServerId, body: NoteBody })))
    .output(Wire.output(ServerNote.json))
    .mutation(({ ctx, input }) => ctx.run(ServerNotes.use((notes) => notes.add(ctx.admin, input.id, input.body)))),

  deleteNote: procedure("servers:update")
    .input(Wire.input(Schema.Struct({ id: ServerNoteId })))
    .mutation(({ ctx, input }) =>
      ctx.run(ServerNotes.use((notes) => notes.delete(ctx.admin.organizationId, input.id)))
    ),

  verify: procedure("servers:verify")
    .input(Id)
    .mutation(({ ctx, input }) =>
      ctx.run(Challenges.use((challenges) => challenges.request(ctx.admin.organizationId, input.id)))
    ),

  retire: procedure("servers:retire")
    .input(Reasoned)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.retire(ctx.admin.organizationId, input.id, input.reason)))
    )
})
