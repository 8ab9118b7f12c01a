import { Fleet } from "@broker/core/fleet/Fleet"
import { LiveEvent, Overview, Watch } from "@broker/domain/Fleet"
import { Schema, Stream } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const encode = Schema.encodeEffect(LiveEvent)

export const fleet = router({
  overview: procedure("overview:read")
    .output(Wire.output(Overview))
    .query(({ ctx }) => ctx.run(Fleet.use((fleet) => fleet.overview(ctx.admin.organizationId)))),

  /** The one stream of a tab: snapshot first, then whatever changes of what the tab watches. */
  live: procedure("overview:read")
    .input(Wire.input(Watch))
    .subscription(({ ctx, input }) =>
      ctx.stream(
        Stream.unwrap(Fleet.useSync((fleet) => fleet.live(ctx.admin.organizationId, input))).pipe(
          Stream.mapEffect((event) => encode(event))
        )
      )
    )
})
