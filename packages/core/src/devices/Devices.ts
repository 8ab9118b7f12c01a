/** Users' devices, as admins handle them. A device comes to be when it first signs in. */
import { type Device, type DeviceId, DeviceNotFound } from "@broker/domain/Device"
import type { OrganizationId } from "@broker/domain/Organization"
import { type UserId, UserNotFound } from "@broker/domain/User"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { ClientSessions } from "../client-sessions/ClientSessions.ts"
import { Cuts } from "../connections/Cuts.ts"
import * as DevicesSql from "./DevicesSql.ts"

export class Devices extends Context.Service<
  Devices,
  {
    /** All of a user's devices, the last seen first. */
    list(organizationId: OrganizationId, userId: UserId): Effect.Effect<ReadonlyArray<Device>, UserNotFound>
    get(organizationId: OrganizationId, id: DeviceId): Effect.Effect<Device, DeviceNotFound>
    /** C6: ends its sessions and cuts its connections. Doing it again changes nothing. */
    block(organizationId: OrganizationId, id: DeviceId, reason: string): Effect.Effect<Device, DeviceNotFound, Actor>
    unblock(organizationId: OrganizationId, id: DeviceId): Effect.Effect<Device, DeviceNotFound, Actor>
    /** Forgets it, so that it makes room for another; it may sign in anew as a new one. Its connections are cut. */
    remove(organizationId: OrganizationId, id: DeviceId): Effect.Effect<void, DeviceNotFound, Actor>
  }
>()("@broker/core/devices/Devices") {
  static readonly layerNoDeps = Layer.effect(
    Devices,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* DevicesSql.make
      const sessions = yield* ClientSessions
      const cuts = yield* Cuts
      const audit = yield* Audit

      const list = Effect.fn("Devices.list")(
        function* (organizationId: OrganizationId, userId: UserId) {
          yield* statements.findUser({ organizationId, userId })
          return yield* statements.list({ organizationId, userId })
        },
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const get = Effect.fn("Devices.get")(
        (organizationId: OrganizationId, id: DeviceId) => statements.get({ organizationId, id }),
        Effect.catchTag("NoSuchElementError", () => new DeviceNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const record = (
        organizationId: OrganizationId,
        id: DeviceId,
        action: `devices:${string}`,
        details: { readonly name: string; readonly reason?: string | null; readonly platform?: string }
      ) => audit.record({ organizationId, action, subjectKind: "device", subjectId: id, details })

      /** C6: nothing new begins on the device any more when its sessions and connections end. */
      const cut = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        id: DeviceId,
        name: string,
        reason: string
      ) {
        yield* sessions.end({ deviceId: id })
        yield* cuts.order(organizationId, { kind: "device", id, name }, reason)
      })

      const block = Effect.fn("Devices.block")(
        function* (organizationId: OrganizationId, id: DeviceId, text: string) {
          const reason = text === "" ? null : text
          const blocked = yield* statements.block({ organizationId, id, reason, now: yield* DateTime.now })
          if (Option.isSome(blocked)) {
            const { name } = blocked.value
            yield* cut(organizationId, id, name, "device_blocked")
            yield* record(organizationId, id, "devices:block", { name, reason })
          }
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new DeviceNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const unblock = Effect.fn("Devices.unblock")(
        function* (organizationId: OrganizationId, id: DeviceId) {
          const unblocked = yield* statements.unblock({ organizationId, id })
          if (Option.isSome(unblocked)) yield* record(organizationId, id, "devices:unblock", unblocked.value)
          return yield* statements.get({ organizationId, id })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new DeviceNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("Devices.remove")(
        function* (organizationId: OrganizationId, id: DeviceId) {
          // Under the lock it neither signs in nor connects, until it is gone.
          const { name, platform } = yield* statements.lock({ organizationId, id })
          yield* cut(organizationId, id, name, "device_removed")
          yield* statements.remove({ organizationId, id })
          yield* record(organizationId, id, "devices:remove", { name, platform })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new DeviceNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Devices.of({ list, get, block, unblock, remove })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
