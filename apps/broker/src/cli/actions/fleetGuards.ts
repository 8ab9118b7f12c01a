import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { FleetGuard } from "@broker/domain/FleetGuard"
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

export const confirm = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const guard = yield* FleetGuards.use((guards) => guards.confirm(defaultOrganizationId))
      yield* Output.either(flags.json, encode(guard), [
        `${guard.held} ${guard.held === 1 ? "server is" : "servers are"} offline now.`
      ])
    })
  )
