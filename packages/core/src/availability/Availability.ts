/** For how much of a time servers could be used (H5, H6), and the windows in which nobody expects them to. */
import {
  type AvailabilityFigures,
  type AvailabilityRange,
  type BrokerOutage,
  type GroupAvailability,
  type ListedWindow,
  MaintenanceWindow,
  MaintenanceWindowId,
  MaintenanceWindowNotFound,
  type MaintenanceWindowRequest,
  type ServerAvailability
} from "@broker/domain/Availability"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { type GroupId, type ServerId, ServerNotFound } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { AvailabilityPolicy } from "./AvailabilityPolicy.ts"
import * as AvailabilitySql from "./AvailabilitySql.ts"

/** How long windows that are over are still shown. */
const shownFor = { days: 30 }

type Figures = typeof AvailabilityFigures.Type

/** All seconds of several together. */
const sum = (all: ReadonlyArray<Figures>): Figures => {
  const total = (of: "up" | "down" | "unknown" | "excluded") =>
    all.reduce((seconds, figures) => seconds + figures[of], 0)
  const [up, down] = [total("up"), total("down")]
  return {
    up,
    down,
    unknown: total("unknown"),
    excluded: total("excluded"),
    share: up + down === 0 ? null : up / (up + down)
  }
}

export class Availability extends Context.Service<
  Availability,
  {
    /** Days begin at midnight UTC. */
    ofServer(
      organizationId: OrganizationId,
      id: ServerId,
      range: AvailabilityRange
    ): Effect.Effect<ServerAvailability, ServerNotFound>
    /** Of the servers on a page of a list: the days of each, by its id. */
    ofServers(
      organizationId: OrganizationId,
      ids: ReadonlyArray<ServerId>,
      range: AvailabilityRange
    ): Effect.Effect<Readonly<Record<string, ServerAvailability["days"]>>>
    /** The fleet's first, then each group's. */
    ofGroups(organizationId: OrganizationId, range: AvailabilityRange): Effect.Effect<ReadonlyArray<GroupAvailability>>
    /** The newest first. */
    outages(range: AvailabilityRange): Effect.Effect<ReadonlyArray<BrokerOutage>>
    /** Those that are not over for longer than 30 days, the latest first. */
    windows(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<ListedWindow>>
    announce(
      organizationId: OrganizationId,
      request: MaintenanceWindowRequest
    ): Effect.Effect<ListedWindow, ServerNotFound | GroupNotFound, Actor>
    /** One that has begun ends now; one that has not is deleted. */
    callOff(
      organizationId: OrganizationId,
      id: MaintenanceWindowId
    ): Effect.Effect<void, MaintenanceWindowNotFound, Actor>
  }
>()("@broker/core/availability/Availability") {
  static readonly layerNoDeps = Layer.effect(
    Availability,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const secrets = yield* Secrets
      const statements = yield* AvailabilitySql.make
      const { serversAtOnce } = yield* AvailabilityPolicy

      /** What has not happened yet says nothing: a range ends now at the latest. */
      const past = Effect.fnUntraced(function* (range: AvailabilityRange) {
        return { from: range.from, to: DateTime.max(range.from, DateTime.min(range.to, yield* DateTime.now)) }
      })

      const ofServer = Effect.fn("Availability.ofServer")(
        function* (organizationId: OrganizationId, id: ServerId, asked: AvailabilityRange) {
          yield* statements.hasServer({ organizationId, id })
          const range = { organizationId, id, ...(yield* past(asked)) }
          const { days, falls, outages, spans, windows } = yield* Effect.all(
            {
              days: statements.days({ ...range, ids: [id] }),
              falls: statements.falls(range),
              outages: statements.outages(range),
              spans: statements.spans(range),
              windows: statements.windowsOf({ ...range, to: asked.to })
            },
            { concurrency: "unbounded" }
          )
          const each = days.map((day) => ({ day: day.day, ...AvailabilitySql.figures(day) }))
          return { ...sum(each), ...falls, spans, days: each, outages, windows }
        },
        Effect.catchTag("NoSuchElementError", () => new ServerNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const ofServers = Effect.fn("Availability.ofServers")(function* (
        organizationId: OrganizationId,
        ids: ReadonlyArray<ServerId>,
        asked: AvailabilityRange
      ) {
        const rows = yield* statements.days({ organizationId, ids, ...(yield* past(asked)) })
        const days: Record<string, Array<ServerAvailability["days"][number]>> = {}
        for (const row of rows) {
          const own = days[row.serverId] ?? []
          own.push({ day: row.day, ...AvailabilitySql.figures(row) })
          days[row.serverId] = own
        }
        return days
      }, Effect.orDie)

      const ofGroups = Effect.fn("Availability.ofGroups")(function* (
        organizationId: OrganizationId,
        asked: AvailabilityRange
      ) {
        const range = yield* past(asked)
        const bounds = yield* statements.bounds({ organizationId, size: serversAtOnce })
        const ends = [null, ...bounds.map(({ id }) => id), null]
        const [parts, groups] = yield* Effect.all(
          [
            Effect.forEach(
              ends.slice(1),
              (upTo, part) => statements.byGroup({ organizationId, ...range, after: ends[part] ?? null, upTo }),
              { concurrency: 2 }
            ),
            statements.groups(organizationId)
          ],
          { concurrency: "unbounded" }
        )
        const parents = new Map(groups.map(({ id, parentId }) => [id, parentId]))
        const placed = new Map<GroupId | null, Array<{ readonly servers: number; readonly figures: Figures }>>()
        for (const row of parts.flat()) {
          const part = { servers: row.servers, figures: AvailabilitySql.figures(row) }
          // Each counts for its group, for all above it, and for the fleet.
          for (let id: GroupId | null = row.groupId; ; id = parents.get(id) ?? null) {
            placed.set(id, [...(placed.get(id) ?? []), part])
            if (id === null) break
          }
        }
        const of = (groupId: GroupId | null, path: string | null): GroupAvailability => {
          const own = placed.get(groupId) ?? []
          return {
            groupId,
            path,
            servers: own.reduce((servers, part) => servers + part.servers, 0),
            ...sum(own.map((part) => part.figures))
          }
        }
        return [of(null, null), ...groups.map(({ id, path }) => of(id, path))]
      }, Effect.orDie)

      const outages = Effect.fn("Availability.outages")(
        (range: AvailabilityRange) => statements.outages(range),
        Effect.orDie
      )

      const windows = Effect.fn("Availability.windows")(function* (organizationId: OrganizationId) {
        return yield* statements.windows({
          organizationId,
          since: DateTime.subtract(yield* DateTime.now, shownFor)
        })
      }, Effect.orDie)

      const announce = Effect.fn("Availability.announce")(
        function* (organizationId: OrganizationId, request: MaintenanceWindowRequest) {
          const { groupId, serverId } = request
          if (serverId !== null) {
            yield* Effect.catchTag(
              statements.hasServer({ organizationId, id: serverId }),
              "NoSuchElementError",
              () => new ServerNotFound()
            )
          }
          if (groupId !== null) {
            yield* Effect.catchTag(
              statements.hasGroup({ organizationId, id: groupId }),
              "NoSuchElementError",
              () => new GroupNotFound()
            )
          }
          const window = MaintenanceWindow.insert.make({
            id: MaintenanceWindowId.make(yield* secrets.id),
            organizationId,
            ...request,
            createdBy: (yield* Actor).name,
            createdAt: yield* DateTime.now
          })
          yield* statements.insert(window)
          yield* audit.record({
            organizationId,
            action: "maintenance:create",
            subjectKind: "maintenance-window",
            subjectId: window.id
          })
          return yield* statements.window(window.id)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const callOff = Effect.fn("Availability.callOff")(
        function* (organizationId: OrganizationId, id: MaintenanceWindowId) {
          const one = { organizationId, id, now: yield* DateTime.now }
          const ended = yield* statements.endWindow(one)
          const deleted = ended.length > 0 ? [] : yield* statements.deleteWindow(one)
          if (ended.length + deleted.length === 0) return yield* new MaintenanceWindowNotFound()
          yield* audit.record({
            organizationId,
            action: "maintenance:delete",
            subjectKind: "maintenance-window",
            subjectId: id
          })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Availability.of({ ofServer, ofServers, ofGroups, outages, windows, announce, callOff })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
