/**
 * Takes what a change will take, before it: what is read then stays so until the transaction ends, so that a change may
 * depend on it. In the order of locks that every change keeps.
 */
import type { DeviceId } from "@broker/domain/Device"
import type { OrganizationId } from "@broker/domain/Organization"
import type { PersonalKeyId } from "@broker/domain/PersonalKey"
import type { RegistrationKeyId } from "@broker/domain/RegistrationKey"
import type { GroupId, ServerId } from "@broker/domain/Server"
import type { UserId } from "@broker/domain/User"
import { type Cause, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as DevicesSql from "./devices/DevicesSql.ts"
import * as GroupsSql from "./groups/GroupsSql.ts"
import * as ServersSql from "./servers/ServersSql.ts"
import * as UsersSql from "./users/UsersSql.ts"

/** All of them join the caller's transaction. What is not there is not held, and found missing by whoever reads it. */
export class Holds extends Context.Service<
  Holds,
  {
    /** All groups of the organization: whoever changes one takes turns. */
    groups(organizationId: OrganizationId): Effect.Effect<void>
    user(organizationId: OrganizationId, id: UserId): Effect.Effect<void>
    /** With the group that it is in, and the one that it is put into. */
    server(organizationId: OrganizationId, id: ServerId, groupId: GroupId | null): Effect.Effect<void>
    registrationKey(organizationId: OrganizationId, id: RegistrationKeyId): Effect.Effect<void>
    /** With its user. */
    personalKey(organizationId: OrganizationId, id: PersonalKeyId): Effect.Effect<void>
    device(organizationId: OrganizationId, id: DeviceId): Effect.Effect<void>
    /** After what waits for it because it failed, as whoever delivers takes them so. */
    webhook(organizationId: OrganizationId, id: string): Effect.Effect<void>
    report(organizationId: OrganizationId, id: string): Effect.Effect<void>
  }
>()("@broker/core/Holds") {
  static readonly layer = Layer.effect(
    Holds,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const ofGroups = yield* GroupsSql.make
      const ofUsers = yield* UsersSql.make
      const ofServers = yield* ServersSql.make
      const ofDevices = yield* DevicesSql.make

      const row = (table: string, organizationId: OrganizationId, id: string) =>
        Effect.asVoid(
          sql`select 1 from ${sql(table)} where organization_id = ${organizationId} and id = ${id} for no key update`
        ).pipe(Effect.orDie)

      const ifThere = <A, E>(lock: Effect.Effect<A, E | Cause.NoSuchElementError>) =>
        lock.pipe(
          Effect.asVoid,
          Effect.catchTag("NoSuchElementError", () => Effect.void),
          Effect.orDie
        )

      return Holds.of({
        groups: (organizationId) => Effect.orDie(ofGroups.hold(organizationId)),
        user: (organizationId, id) => ifThere(ofUsers.lock({ organizationId, id })),
        server: (organizationId, id, groupId) =>
          Effect.andThen(
            Effect.orDie(ofServers.lockGroups({ organizationId, id, groupId })),
            row("servers", organizationId, id)
          ),
        device: (organizationId, id) => ifThere(ofDevices.lock({ organizationId, id })),
        registrationKey: (organizationId, id) => row("registration_keys", organizationId, id),
        personalKey: Effect.fnUntraced(function* (organizationId, id) {
          const [key] = yield* sql<{ userId: string }>`
            select user_id from personal_keys where organization_id = ${organizationId} and id = ${id}`
          if (key === undefined) return
          yield* row("users", organizationId, key.userId)
          yield* row("personal_keys", organizationId, id)
        }, Effect.orDie),
        webhook: Effect.fnUntraced(function* (organizationId, id) {
          yield* Effect.orDie(sql`
            select 1
              from webhook_lanes l
              join webhooks w on w.id = l.webhook_id and w.organization_id = ${organizationId}
             where l.webhook_id = ${id} and l.failures > 0 and l.claim is null
          order by l.subject_id
               for update of l`)
          yield* row("webhooks", organizationId, id)
        }),
        report: (organizationId, id) => row("reports", organizationId, id)
      })
    })
  )
}
