/** What an admin does to servers, the same from lists, pages and the palette. */
import type { Permission } from "@broker/domain/Permission"
import type { Duty } from "@broker/domain/Server"
import { toast } from "svelte-sonner"
import { decodeServer, type ServerView } from "./fleet.ts"
import { live } from "./live.svelte.ts"
import { explain } from "./problems.ts"
import { rpc } from "./rpc.ts"

/** How long a toast offers to undo. */
const undoFor = 8_000

const done: Record<Duty, string> = { serving: "serves", draining: "drains", maintenance: "is in maintenance" }

export type Asked = "suspend" | "retire" | "replace"

/** What is open to do, by permission and by where the server stands. */
export interface Possible {
  readonly approve: boolean
  readonly suspend: boolean
  readonly serve: boolean
  readonly drain: boolean
  readonly maintain: boolean
  readonly verify: boolean
  readonly replace: boolean
  readonly retire: boolean
}

export const possible = (server: ServerView, permissions: ReadonlyArray<Permission>): Possible => {
  const may = (permission: Permission) => permissions.includes(permission) && server.admission !== "retired"
  const inService = server.admission !== "suspended"
  return {
    approve: may("servers:approve") && (server.admission === "pending" || server.admission === "suspended"),
    suspend: may("servers:suspend") && server.admission === "approved",
    serve: may("servers:drain") && inService && server.duty !== "serving",
    drain: may("servers:drain") && inService && server.duty !== "draining",
    maintain: may("servers:drain") && inService && server.duty !== "maintenance",
    verify: may("servers:verify") && inService,
    replace: may("registration-keys:create") && inService,
    retire: may("servers:retire")
  }
}

export const complain = (error: unknown) => {
  const { message, remedy } = explain(error)
  toast.error(message, remedy === null ? {} : { description: remedy })
}

class Acts {
  /** The dialog that asks before something that cannot be undone by itself. */
  asking = $state.raw<{ readonly kind: Asked; readonly server: ServerView } | null>(null)

  ask(kind: Asked, server: ServerView) {
    this.asking = { kind, server }
  }

  async approve(server: ServerView) {
    try {
      this.#announce(await rpc.servers.approve.mutate({ id: server.id }))
      toast.success(`${server.name} is approved`)
    } catch (error) {
      complain(error)
    }
  }

  async verify(server: Pick<ServerView, "id" | "name">) {
    try {
      await rpc.servers.verify.mutate({ id: server.id })
      toast.success(`${server.name} is asked to prove its key`, { description: "It answers with its next heartbeat." })
    } catch (error) {
      complain(error)
    }
  }

  /** Throws what went wrong, for the dialog that asked. */
  async suspend(server: ServerView, reason: string) {
    this.#announce(await rpc.servers.suspend.mutate({ id: server.id, reason }))
    toast.success(`${server.name} is suspended`)
  }

  async retire(server: ServerView, reason: string) {
    this.#announce(await rpc.servers.retire.mutate({ id: server.id, reason }))
    toast.success(`${server.name} is retired`)
  }

  async setDuty(server: ServerView, duty: Duty) {
    try {
      await this.#duty(server, duty)
      toast.success(`${server.name} ${done[duty]}`, {
        duration: undoFor,
        action: { label: "Undo", onClick: () => void this.#undo(server) }
      })
    } catch (error) {
      complain(error)
    }
  }

  async #undo(before: ServerView) {
    try {
      await this.#duty(before, before.duty)
      toast(`${before.name} ${done[before.duty]} again`)
    } catch (error) {
      complain(error)
    }
  }

  async #duty(server: ServerView, duty: Duty) {
    this.#announce(await rpc.servers.setDuty.mutate({ id: server.id, duty }))
  }

  #announce(json: unknown) {
    live.announce([decodeServer(json)])
  }
}

export const acts = new Acts()
