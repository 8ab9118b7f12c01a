/** Finding people and servers by what somebody types. */
import { ConnectionId } from "@broker/domain/Connection"
import { Schema } from "effect"
import { decodeConnection, decodeServersPage, decodeUsersPage } from "./fleet.ts"
import { rpc } from "./rpc.ts"
import { asSearch } from "./search.ts"

/** One of what was found. */
export interface Found {
  readonly id: string
  readonly name: string
  /** What tells it from others of its name. */
  readonly hint: string | null
}

const enough = 8

export const findUsers = async (text: string) =>
  decodeUsersPage(
    await rpc.users.list.query({ text: text.slice(0, 128), states: [], sort: "name", limit: enough, cursor: null })
  ).items

export const findServers = async (text: string) =>
  decodeServersPage(
    await rpc.servers.list.query({
      text: asSearch(text.slice(0, 128)),
      statuses: [],
      tags: [],
      verified: null,
      sort: "name",
      limit: enough,
      cursor: null
    })
  ).items

const isId = Schema.is(ConnectionId)

/** By the whole of its id; null if there is none. */
export const findConnection = (id: string) =>
  isId(id) ? rpc.connections.get.query({ id }).then(decodeConnection, () => null) : Promise.resolve(null)

export const usersToChoose = async (text: string): Promise<ReadonlyArray<Found>> =>
  (await findUsers(text)).map(({ email, id, name }) => ({ id, name, hint: email }))

export const serversToChoose = async (text: string): Promise<ReadonlyArray<Found>> =>
  (await findServers(text)).map(({ id, name, publicAddress }) => ({ id, name, hint: publicAddress }))
