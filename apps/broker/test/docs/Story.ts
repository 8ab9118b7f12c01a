/** What is there before the examples are sent, made by the calls that make it: what `sample` names. */

import { sample } from "@broker/api/Example"
import { ids } from "@broker/api/MachineSamples"
import { type CredentialKind, prefixes } from "@broker/domain/Credential"
import { Permission } from "@broker/domain/Permission"
import { granted, present } from "../wire/Client.ts"
import { procedure, signIn } from "../wire/Dashboard.ts"
import { type Gateway, registration, serving } from "../wire/Gateway.ts"
import type { Json, Wire } from "../wire/Wire.ts"
import type { Names } from "./Likeness.ts"

export interface Story {
  readonly names: Names
  readonly bearers: Readonly<Record<CredentialKind, string>>
  /** `fra-1`. */
  readonly gateway: Gateway
}

export const isCredentialKind = (name: string): name is CredentialKind => name in prefixes

/** An owner who has signed in, and can do all that the dashboard can. */
const owner = async (broker: Wire) => {
  const password = "violet tractor hums at noon"
  await broker.admin("grace", password)
  const cookie = await signIn(broker, "grace", password)
  return async (name: string, input: unknown) => {
    const answer = await procedure(broker, "mutation", name, input, cookie)
    if (answer.status !== 200) throw new Error(`${name}: ${answer.status} ${answer.text}`)
    return (answer.json["result"] as { readonly data: Json }).data
  }
}

const group = (name: string, parentId: unknown) => ({
  parentId,
  name,
  heartbeatIntervalSeconds: null,
  verificationPeriodSeconds: null,
  connectionLimit: null
})

export const begin = async (broker: Wire): Promise<Story> => {
  const done = await owner(broker)
  const scopes = Permission.literals.filter((permission) => !permission.startsWith("saved-views:"))
  const apiToken = await done("account.createApiToken", {
    name: "exporter",
    scopes,
    networks: [],
    expiresInSeconds: 86_400
  })
  const parent = await done("groups.create", group("eu", null))
  const frankfurt = await done("groups.create", group("frankfurt", parent["id"]))
  const lab = await done("registrationKeys.create", {
    name: "lab",
    useLimit: 10,
    expiresInSeconds: 86_400,
    tags: ["eu"],
    approval: false,
    replacesServerId: null,
    groupId: frankfurt["id"]
  })
  const gateway = await serving(broker, String(lab["key"]), "fra-1", {
    version: "1.4.2",
    endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51820 }],
    capabilities: { vpn: { ipv6: true } },
    labels: { rack: "b2" },
    location: { latitude: 50.11, longitude: 8.68 }
  })
  const user = await done("users.create", { name: "Ada Lovelace", email: "ada@example.com", note: "" })
  const personalKey = await done("personalKeys.create", {
    userId: user["id"],
    name: "laptop",
    expiresInSeconds: null,
    connectionLimit: null
  })
  const client = await present(broker, String(personalKey["key"]), {
    fingerprint: "3f0c6a52-laptop",
    name: "Ada's laptop",
    platform: "linux"
  })
  const charles = await done("users.create", { name: "Charles Babbage", email: null, note: "" })
  const spare = await done("personalKeys.create", {
    userId: charles["id"],
    name: "phone",
    expiresInSeconds: null,
    connectionLimit: null
  })
  const phone = await present(broker, String(spare["key"]), {
    fingerprint: "9b1c77e0-phone",
    name: "Old phone",
    platform: "android"
  })
  await done("servers.addNote", { id: gateway.id, body: "Shares its uplink with fra-2." })
  const tomorrow = Date.now() + 86_400_000
  await done("availability.announce", {
    serverId: null,
    groupId: frankfurt["id"],
    reason: "New disks",
    startsAt: new Date(tomorrow).toISOString(),
    endsAt: new Date(tomorrow + 7_200_000).toISOString()
  })
  const { id: connection } = granted(await client.connect({ serverId: gateway.id }))
  await gateway.ask("PUT", `/api/v1/servers/self/connections/${connection}`, { body: { status: "active" } })
  // Somebody who got hold of a key pair, or of a machine's image.
  const copied = registration(broker, String(lab["key"]), "fra-2", gateway.identity)
  await broker.ask("POST", "/api/v1/servers", { bearer: String(lab["key"]), body: copied })
  const [admin] = await broker.sql("select id from admins where name = 'grace'")
  return {
    gateway,
    names: new Map<string, string>(
      Object.entries({
        [sample.server]: gateway.id,
        [sample.group]: frankfurt["id"],
        [sample.parentGroup]: parent["id"],
        [sample.user]: user["id"],
        [sample.personalKey]: personalKey["id"],
        [sample.device]: client.deviceId,
        [ids.charles]: charles["id"],
        [ids.oldPhone]: phone.deviceId,
        [sample.connection]: connection,
        [sample.registrationKey]: lab["id"],
        [sample.admin]: admin?.["id"],
        [sample.apiToken]: apiToken["id"]
      }).map(([name, id]) => [name, String(id)])
    ),
    bearers: {
      registrationKey: String(lab["key"]),
      serverToken: gateway.token,
      personalKey: String(personalKey["key"]),
      clientSession: client.token,
      apiToken: String(apiToken["token"])
    }
  }
}
