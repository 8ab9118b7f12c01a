import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { FleetGuard, FleetGuardNotOpen } from "@broker/domain/FleetGuard"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { DateTime, Effect, type Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import * as Output from "../Output.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(FleetGuard)
const encodePage = Schema.encodeSync(Page(FleetGuard))

const cause = ({ cause, causeDetail }: FleetGuard) => (causeDetail === null ? cause : `${cause} ${causeDetail}`)

export const list = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const items = yield* FleetGuards.use((guards) => guards.list(defaultOrganizationId))
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["BEGAN", "END", "EXPECTED", "SEEN", "HELD", "CAUSE", "BY"],
          items.map((guard) => [
            Output.relative(guard.beganAt, now),
            guard.end ?? "holds",
            String(guard.expected),
            String(guard.seen),
            String(guard.held),
            cause(guard),
            Output.or(guard.endedBy)
          ])
        ),
        "The fleet guard never had to hold."
      )
    })
  )

/** The one that holds now; whoever ends it meanwhile, no other is confirmed for it. */
export const confirm = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const guards = yield* FleetGuards
      const current = yield* guards.current(defaultOrganizationId)
      if (current === null) return yield* new FleetGuardNotOpen()
      const guard = yield* guards.confirm(defaultOrganizationId, current.id)
      yield* Output.either(flags.json, encode(guard), [
        `The guard held ${guard.held} ${guard.held === 1 ? "server" : "servers"}: what is not heard again is offline within seconds.`
      ])
    })
  )
