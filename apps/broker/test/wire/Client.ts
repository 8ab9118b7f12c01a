/** A client by hand: it signs in by a personal key, and asks as the pages of the contract describe it. */

import { randomUUID } from "node:crypto"
import { type Answer, type Ask, ask, type Json } from "./Wire.ts"

interface Home {
  readonly url: string
}

/** The body of a sign-in. What is given of the device stands. */
export const signIn = (given: Json = {}): Json => ({
  device: { fingerprint: randomUUID(), name: "laptop", platform: "linux", ...given }
})

export const enter = ({ url }: Home, key: string, given: Json = {}, asked: Ask = {}) =>
  ask(url, "POST", "/api/v1/sessions", { bearer: key, body: signIn(given), ...asked })

export interface Client {
  readonly token: string
  readonly userId: string
  readonly deviceId: string
  readonly ask: (method: string, path: string, given?: Ask) => Promise<Answer>
  readonly connect: (body: unknown, given?: Ask) => Promise<Answer>
  readonly read: (id: string) => Promise<Answer>
  readonly report: (id: string, body: unknown) => Promise<Answer>
  /** The same client, asking another node. */
  readonly at: (home: Home) => Client
}

const holder = ({ url }: Home, token: string, userId: string, deviceId: string): Client => {
  const asked = (method: string, path: string, given: Ask = {}) => ask(url, method, path, { bearer: token, ...given })
  return {
    token,
    userId,
    deviceId,
    ask: asked,
    connect: (body, given) => asked("POST", "/api/v1/connections", { body, ...given }),
    read: (id) => asked("GET", `/api/v1/connections/${id}`),
    report: (id, body) => asked("PATCH", `/api/v1/connections/${id}`, { body }),
    at: (home) => holder(home, token, userId, deviceId)
  }
}

/** The client that an answer to a sign-in speaks of. */
export const client = (home: Home, signedIn: Answer): Client => {
  if (signedIn.status !== 200) throw new Error(`could not sign in: ${signedIn.status} ${signedIn.text}`)
  const { device, token, user } = signedIn.json as unknown as {
    readonly token: string
    readonly user: { readonly id: string }
    readonly device: { readonly id: string }
  }
  return holder(home, token, user.id, device.id)
}

/** A client that has signed in from a device of its own. */
export const present = async (home: Home, key: string, given: Json = {}) => client(home, await enter(home, key, given))

/** What an answer to an intent holds. */
export const granted = (answer: Answer) => {
  if (answer.status !== 201) throw new Error(`no grant: ${answer.status} ${answer.text}`)
  const { connection, grant, server, explanation } = answer.json as unknown as {
    readonly connection: Json & { readonly id: string; readonly status: string }
    readonly grant: string
    readonly server: Json & { readonly id: string }
    readonly explanation?: Json
  }
  return { id: connection.id, connection, grant, server, explanation }
}
