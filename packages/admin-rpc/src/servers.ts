import { Challenges } from "@broker/core/challenges/Challenges"
import { Servers } from "@broker/core/servers/Servers"
import { ChallengeSummary, ServerHistory, ServersQuery } from "@broker/domain/Fleet"
import { Page, Text } from "@broker/domain/Primitives"
import { Duty, FleetServer, ServerConnectionLimit, ServerId } from "@broker/domain/Server"
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
    .input(Wire.input(Schema.Struct({ id: ServerId, limit: ServerConnectionLimit })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Servers.use((servers) => servers.limitConnections(ctx.admin.organizationId, input.id, input.limit)))
    ),

  verify: procedure("servers:verify")
    .input(Id)
    .output(Wire.output(ChallengeSummary))
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
