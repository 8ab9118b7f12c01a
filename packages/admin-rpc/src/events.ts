import { Events } from "@broker/core/events/Events"
import { Event, EventId, EventPlace, EventsListQuery, EventsPage, EventsQuery } from "@broker/domain/Event"
import { Page } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

/** Everybody hears of what they may see. Exports are a plain route, because they stream. */
export const events = router({
  list: procedure("events:read")
    .input(Wire.input(EventsListQuery))
    .output(Wire.output(Page(Event)))
    .query(({ ctx, input }) => ctx.run(Events.use((events) => events.list(ctx.admin, input)))),

  get: procedure("events:read")
    .input(Wire.input(Schema.Struct({ id: EventId })))
    .output(Wire.output(Event))
    .query(({ ctx, input }) => ctx.run(Events.use((events) => events.get(ctx.admin, input.id)))),

  /** How far the feed has come: what comes after it is new. */
  newest: procedure("events:read")
    .output(Wire.output(EventPlace))
    .query(({ ctx }) => ctx.run(Events.use((events) => events.newest(ctx.admin.organizationId)))),

  /** What came after a place, in order. */
  later: procedure("events:read")
    .input(Wire.input(EventsQuery))
    .output(Wire.output(EventsPage))
    .query(({ ctx, input }) => ctx.run(Events.use((events) => events.feed(ctx.admin, input))))
})
