import type { ServerId } from "@broker/domain/Server"
import type { UserId } from "@broker/domain/User"
import { decodeServer, decodeUser } from "./fleet.ts"
import { rpc } from "./rpc.ts"

interface Filter {
  readonly userId: UserId | null
  readonly serverId: ServerId | null
}

/** How those are called that something is filtered by; by a stand-in where they are gone. */
export const namesOf = async ({ serverId, userId }: Filter) => {
  const [user, server] = await Promise.all([
    userId === null
      ? null
      : rpc.users.get.query({ id: userId }).then(
          (json) => ({ id: userId, name: decodeUser(json).name }),
          () => ({ id: userId, name: "A user who is gone" })
        ),
    serverId === null
      ? null
      : rpc.servers.get.query({ id: serverId }).then(
          (json) => ({ id: serverId, name: decodeServer(json).name }),
          () => ({ id: serverId, name: "A server that is gone" })
        )
  ])
  return { user, server }
}
