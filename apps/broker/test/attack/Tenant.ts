/** An organization with one of everything, made by its own owner over HTTP. */
import { randomUUID } from "node:crypto"
import { OrganizationId } from "@broker/domain/Organization"
import { authenticator } from "@broker/testing/Authenticator"
import { type Browser, browser, enrolTotp } from "../wire/Browser.ts"
import { type Client, granted, present } from "../wire/Client.ts"
import { type Gateway, idOf, serving } from "../wire/Gateway.ts"
import type { Json, Wire } from "../wire/Wire.ts"

export const password = "violet tractor hums at noon"

export interface Tenant {
  readonly organizationId: OrganizationId
  readonly owner: Browser
  readonly gateway: Gateway
  readonly client: Client
  readonly connectionId: string
  readonly registrationKey: string
  readonly personalKey: string
  readonly apiToken: string
  /** The id of one of each kind. */
  readonly ids: Readonly<Record<string, string>>
  /** Whatever must never be read again, by what it is. */
  readonly secrets: ReadonlyMap<string, string>
}

/** Its names all begin with `name`, by which they are found where they do not belong. */
export const tenant = async (broker: Wire, organizationId: OrganizationId, name: string): Promise<Tenant> => {
  const home = broker.of(organizationId)
  await home.admin(`${name} owner`, password)
  await home.admin(`${name} viewer`, password, "viewer")
  const owner = browser(broker)
  const secrets = new Map([["password", password]])
  const entered = await owner.post("session", { name: `${name} owner`, password })
  if (entered.status !== 204) throw new Error(entered.text)
  secrets.set("first session", owner.jar.get("broker_session") ?? "")

  const done = async (procedure: string, input: Json) => {
    const data = await owner.call("mutation", procedure, input)
    if (typeof data === "string") throw new Error(`${procedure}: ${data}`)
    return data
  }
  const read = async <A>(procedure: string, input?: Json) => {
    const data = await owner.call("query", procedure, input)
    if (typeof data === "string") throw new Error(`${procedure}: ${data}`)
    return data as unknown as A
  }

  const { recoveryCodes, secret } = await enrolTotp(owner)
  secrets.set("TOTP secret", secret)
  for (const [at, code] of recoveryCodes.entries()) secrets.set(`recovery code ${at}`, code)
  const options = await owner.post("account/passkeys/options")
  secrets.set("ceremony", owner.jar.get("broker_ceremony") ?? "")
  const key = authenticator(broker.audience)
  const enrolled = await owner.post("account/passkeys", { name: `${name} laptop`, response: key.create(options.json) })
  if (enrolled.status !== 200) throw new Error(enrolled.text)
  secrets.set("session", owner.jar.get("broker_session") ?? "")
  secrets.set("browser", owner.jar.get("broker_browser") ?? "")

  const registrationKey = await home.key({ name: `${name} key`, useLimit: 5 })
  secrets.set("registration key", registrationKey)
  const gateway = await serving(broker, registrationKey, `${name}-gateway`)
  secrets.set("server token", gateway.token)
  const user = await home.user(`${name} user`)
  secrets.set("personal key", user.key)
  const client = await present(broker, user.key)
  secrets.set("client session", client.token)
  const connected = granted(await client.connect({ serverId: gateway.id }))
  secrets.set("grant", connected.grant)

  const role = await done("roles.create", { name: `${name} role`, description: "", permissions: ["servers:read"] })
  const invitation = await done("admins.invite", { name: `${name} guest`, role: "viewer" })
  secrets.set("invitation", String(invitation["url"]).split(/[#/=]/).at(-1) ?? "")
  const machine = await done("account.createApiToken", {
    name: `${name} machine`,
    scopes: ["servers:read", "audit:read"],
    networks: [],
    expiresInSeconds: 3_600
  })
  secrets.set("API token", String(machine["token"]))
  const admins = await read<ReadonlyArray<Json>>("admins.list")
  const viewer = String(admins.find((admin) => admin["name"] === `${name} viewer`)?.["id"])
  const reset = await done("admins.resetPassword", { id: viewer })
  secrets.set("reset", String(reset["url"]).split(/[#/=]/).at(-1) ?? "")
  const [session] = await read<ReadonlyArray<Json>>("account.sessions")
  const [passkey] = await read<ReadonlyArray<Json>>("account.passkeys")

  return {
    organizationId,
    owner,
    gateway,
    client,
    connectionId: connected.id,
    registrationKey,
    personalKey: user.key,
    apiToken: String(machine["token"]),
    secrets,
    ids: {
      organization: organizationId,
      owner: String(admins.find((admin) => admin["name"] === `${name} owner`)?.["id"]),
      viewer,
      server: gateway.id,
      challenge: gateway.challenge.id,
      registrationKey: idOf(registrationKey),
      user: user.userId,
      personalKey: user.keyId,
      device: client.deviceId,
      connection: connected.id,
      role: String(role["id"]),
      invitation: String(invitation["id"]),
      reset: String(reset["id"]),
      apiToken: String(machine["id"]),
      session: String(session?.["id"]),
      passkey: String(passkey?.["id"])
    }
  }
}

/** A second organization beside the one that comes with the broker. */
export const otherOrganization = async (broker: Wire) => {
  const id = OrganizationId.make("00000000-0000-7000-8000-000000000002")
  await broker.sql(`insert into organizations (id, name) values ('${id}', 'elsewhere ${randomUUID()}')`)
  return id
}
