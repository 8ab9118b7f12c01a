import { Connections } from "@broker/core/connections/Connections"
import { Devices } from "@broker/core/devices/Devices"
import type { DeviceId } from "@broker/domain/Device"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { connect, connected, gateway } from "../connections/parties.ts"

const { personalKey, signedIn, user } = Fixtures

const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

const listed = ({ id, organizationId }: Fixtures.User) =>
  Devices.use((devices) => devices.list(organizationId, id)).pipe(
    Effect.map((devices) => devices.map(({ name }) => name))
  )

/** Actions about a device that the audit log has, the oldest first. */
const audited = Effect.fnUntraced(function* (id: DeviceId) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select action, details from audit_entries where subject_id = ${id} order by id`
})

layer(Fixtures.layer)("Devices", (it) => {
  it.effect("a user's devices are listed, the last seen first", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      for (const name of ["phone", "laptop", "phone"]) {
        yield* signedIn({ user: owner, device: { fingerprint: name, name } })
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(yield* listed(owner), ["phone", "laptop"])
    })
  )

  it.effect("C6 blocking cuts the device's connections, and no other device's", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const connections = yield* Connections
      const server = yield* gateway()
      const key = yield* personalKey(yield* user())
      const [one, two] = [yield* signedIn({ key }), yield* signedIn({ key })]
      const [a, b] = [yield* connected(one, server), yield* connected(two, server)]
      assert.strictEqual((yield* devices.get(defaultOrganizationId, one.deviceId)).liveConnections, 1)
      const blocked = yield* devices.block(defaultOrganizationId, one.deviceId, "stolen")
      assert.deepInclude(blocked, { blockedReason: "stolen", liveConnections: 0 })
      const found = yield* Effect.forEach([a, b], ({ id }) => connections.find(defaultOrganizationId, id))
      assert.deepStrictEqual(
        found.map(({ endReason }) => endReason),
        ["device_blocked", null]
      )
    })
  )

  it.effect("C6 whoever connects while the device is blocked is refused, or cut", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const server = yield* gateway()
      const client = yield* signedIn()
      const connecting = Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.result(connect(client, { serverId: server.id })),
        { concurrency: "unbounded" }
      )
      yield* Effect.all([connecting, devices.block(defaultOrganizationId, client.deviceId, "")], {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* devices.get(defaultOrganizationId, client.deviceId)).liveConnections, 0)
    })
  )

  it.effect("A6 blocking again changes nothing, and each act is recorded once", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const { deviceId } = yield* signedIn({ device: { name: "phone" } })
      const first = yield* devices.block(defaultOrganizationId, deviceId, "stolen")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* devices.block(defaultOrganizationId, deviceId, "lost"), first)
      yield* devices.unblock(defaultOrganizationId, deviceId)
      yield* devices.unblock(defaultOrganizationId, deviceId)
      assert.deepStrictEqual(yield* audited(deviceId), [
        { action: "devices:register", details: { name: "phone", platform: "linux" } },
        { action: "devices:block", details: { name: "phone", reason: "stolen" } },
        { action: "devices:unblock", details: { name: "phone" } }
      ])
    })
  )

  it.effect("a device that is unblocked signs in as itself", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const key = yield* personalKey(yield* user())
      const device = { fingerprint: "phone" }
      const { deviceId } = yield* signedIn({ key, device })
      yield* devices.block(defaultOrganizationId, deviceId, "stolen")
      assert.deepInclude(yield* devices.unblock(defaultOrganizationId, deviceId), {
        blockedAt: null,
        blockedReason: null
      })
      assert.strictEqual((yield* signedIn({ key, device })).deviceId, deviceId)
    })
  )

  it.effect("C7 a removed device is cut, makes room, and comes back as a new one", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const connections = yield* Connections
      const server = yield* gateway()
      const key = yield* personalKey(yield* user())
      const device = { fingerprint: "phone", name: "phone" }
      const client = yield* signedIn({ key, device })
      yield* Effect.forEach(Array.from({ length: 9 }), () => signedIn({ key }))
      const { id } = yield* connected(client, server)
      yield* devices.remove(defaultOrganizationId, client.deviceId)
      assert.deepInclude(yield* connections.find(defaultOrganizationId, id), {
        status: "ended",
        endReason: "device_removed",
        deviceName: "phone"
      })
      assert.notStrictEqual((yield* signedIn({ key, device })).deviceId, client.deviceId)
      assert.deepStrictEqual(
        (yield* audited(client.deviceId)).map(({ action }) => action),
        ["devices:register", "devices:remove"]
      )
    })
  )

  it.effect("A5 a device of another organization is not found, whatever is done", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const { deviceId, userId } = yield* signedIn()
      const elsewhere = yield* Fixtures.organization
      const codes = [
        yield* codeOf(devices.get(elsewhere, deviceId)),
        yield* codeOf(devices.block(elsewhere, deviceId, "")),
        yield* codeOf(devices.unblock(elsewhere, deviceId)),
        yield* codeOf(devices.remove(elsewhere, deviceId)),
        yield* codeOf(devices.list(elsewhere, userId))
      ]
      assert.deepStrictEqual(codes, [
        "device_not_found",
        "device_not_found",
        "device_not_found",
        "device_not_found",
        "user_not_found"
      ])
      assert.isNull((yield* devices.get(defaultOrganizationId, deviceId)).blockedAt)
    })
  )
})
