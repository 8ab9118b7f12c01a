import { Connections } from "@broker/core/connections/Connections"
import { Cuts } from "@broker/core/connections/Cuts"
import {
  ConnectionCounts,
  ConnectionId,
  ConnectionsQuery,
  Cut,
  CutPreview,
  CutSubject,
  LedgerConnection
} from "@broker/domain/Connection"
import { Page, PageLimit, Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: ConnectionId }))
const One = Wire.output(LedgerConnection.json)

export const connections = router({
  list: procedure("connections:read")
    .input(Wire.input(ConnectionsQuery))
    .output(Wire.output(Page(LedgerConnection.json)))
    .query(({ ctx, input }) =>
      ctx.run(Connections.use((connections) => connections.list(ctx.admin.organizationId, input)))
    ),

  get: procedure("connections:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) =>
      ctx.run(Connections.use((connections) => connections.find(ctx.admin.organizationId, input.id)))
    ),

  counts: procedure("connections:read")
    .output(Wire.output(ConnectionCounts))
    .query(({ ctx }) => ctx.run(Connections.use((connections) => connections.counts(ctx.admin.organizationId)))),

  disconnect: procedure("connections:disconnect")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Connections.use((connections) => connections.disconnect(ctx.admin.organizationId, input.id)))
    ),

  /** The acts that cut connections, and how far each has come; of one subject, or of all. */
  cuts: procedure("connections:read")
    .input(Wire.input(Schema.Struct({ subjectId: Schema.NullOr(Uuid), limit: PageLimit })))
    .output(Wire.output(Schema.Array(Cut.json)))
    .query(({ ctx, input }) => ctx.run(Cuts.use((cuts) => cuts.list(ctx.admin.organizationId, input)))),

  /** What a revocation would end. */
  cutPreview: procedure("connections:read")
    .input(Wire.input(Schema.Struct({ kind: CutSubject, id: Uuid })))
    .output(Wire.output(CutPreview))
    .query(({ ctx, input }) =>
      ctx.run(Cuts.use((cuts) => cuts.preview(ctx.admin.organizationId, input.kind, input.id)))
    )
})
