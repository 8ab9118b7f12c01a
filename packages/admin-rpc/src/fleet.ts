import { Fleet } from "@broker/core/fleet/Fleet"
import { LiveEvent, Overview, Watch } from "@broker/domain/Fleet"
import type { Permission } from "@broker/domain/Permission"
import { Schema, Stream } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const encode = Schema.encodeEffect(LiveEvent)

type Held = ReadonlySet<Permission>

/**
 * The figures are for whoever may see the overview; which servers they are about, for whoever may see servers, and what
 * the fleet guard knows, for whoever may see that.
 */
const cut = (overview: Overview, held: Held): Overview => ({
  ...overview,
  ...(held.has("servers:read") ? {} : { attention: [], transitions: [] }),
  ...(held.has("fleet-guard:read") ? {} : { guard: null })
})

/** What is watched, cut to what the watcher may see. */
const within = (watch: Watch, held: Held): Watch => ({
  overview: watch.overview,
  servers: held.has("servers:read") ? watch.servers : [],
  joining: watch.joining && held.has("servers:read"),
  connections: held.has("connections:read") ? watch.connections : [],
  connecting: watch.connecting && held.has("connections:read")
})

export const fleet = router({
  overview: procedure("overview:read")
    .output(Wire.output(Overview))
    .query(async ({ ctx }) =>
      cut(await ctx.run(Fleet.use((fleet) => fleet.overview(ctx.admin.organizationId))), ctx.admin.permissions)
    ),

  /** The one stream of a tab: snapshot first, then whatever changes of what the tab watches. */
  live: procedure("overview:read")
    .input(Wire.input(Watch))
    .subscription(({ ctx, input }) =>
      ctx.stream(
        Stream.unwrap(
          Fleet.useSync((fleet) => fleet.live(ctx.admin.organizationId, within(input, ctx.admin.permissions)))
        ).pipe(
          Stream.map((event) =>
            event._tag === "Overview" ? { ...event, overview: cut(event.overview, ctx.admin.permissions) } : event
          ),
          Stream.mapEffect((event) => encode(event))
        )
      )
    )
})
