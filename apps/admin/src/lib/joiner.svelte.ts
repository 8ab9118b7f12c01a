/** The first server that joins with a key, from the registration to its first heartbeat. */
import type { RegistrationKeyId } from "@broker/domain/RegistrationKey"
import { decodeServers, type ServerView } from "./fleet.ts"
import { live } from "./live.svelte.ts"
import { rpc } from "./rpc.ts"

/** The stream tells of newcomers; asking now and then finds them also while it is down. */
const poll = 3_000

export class Joiner {
  #server = $state.raw<ServerView | null>(null)

  readonly #key: RegistrationKeyId

  constructor(key: RegistrationKeyId) {
    this.#key = key
  }

  get server() {
    return this.#server
  }

  /** Whether the waiting is over. */
  get heard() {
    return this.#server !== null && this.#server.lastSeenAt !== null
  }

  /** Waits until the returned function is called. */
  follow() {
    const look = () => {
      if (!this.heard) void this.#look()
    }
    const timer = setInterval(look, poll)
    const unwatch = live.watch({ joined: look })
    look()
    return () => {
      clearInterval(timer)
      unwatch()
    }
  }

  /** A question that gets no answer is asked again with the next tick. */
  async #look() {
    const members = await rpc.registrationKeys.members.query({ id: this.#key }).then(decodeServers, () => [])
    this.#server = members.at(0) ?? this.#server
  }
}
