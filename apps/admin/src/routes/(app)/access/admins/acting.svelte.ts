/** What one admin does to another, the same from the list and from their page. */
import type { ListedAdmin } from "@broker/domain/Admin"
import type { CreatedLink } from "@broker/domain/AdminLink"
import type { Permission } from "@broker/domain/Permission"
import KeyRound from "@lucide/svelte/icons/key-round"
import LockKeyholeOpen from "@lucide/svelte/icons/lock-keyhole-open"
import RotateCcw from "@lucide/svelte/icons/rotate-ccw"
import UserCog from "@lucide/svelte/icons/user-cog"
import UserX from "@lucide/svelte/icons/user-x"
import { toast } from "svelte-sonner"
import { accessKey } from "#lib/access.ts"
import { complain } from "#lib/acts.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import type { MenuItem } from "#lib/ui/Menu.svelte"
import { invalidate } from "$app/navigation"

export type AdminAct = "role" | "password" | "factors" | "disable"

export class Acting {
  /** What a dialog is open for. */
  asking = $state.raw<{ readonly act: AdminAct; readonly admin: ListedAdmin } | null>(null)
  /** A link that was made, and is shown this once. */
  made = $state.raw<{ readonly name: string; readonly link: CreatedLink } | null>(null)

  readonly close = () => {
    this.asking = null
  }

  /** What is open to do, by permission and by how they stand. */
  possible(admin: ListedAdmin, permissions: ReadonlyArray<Permission>): ReadonlyArray<ReadonlyArray<MenuItem>> {
    const may = (permission: Permission) => permissions.includes(permission)
    const ask = (act: AdminAct) => () => {
      this.asking = { act, admin }
    }
    const resets: ReadonlyArray<MenuItem> = [
      { label: "Reset password…", icon: LockKeyholeOpen, run: ask("password") },
      ...(admin.factors.totp || admin.factors.passkeys > 0
        ? [{ label: "Reset second factors…", icon: KeyRound, run: ask("factors") }]
        : [])
    ]
    return [
      may("admins:update") ? [{ label: "Change role…", icon: UserCog, run: ask("role") }] : [],
      may("admins:reset") ? resets : [],
      !may("admins:disable")
        ? []
        : admin.state === "active"
          ? [{ label: "Disable…", icon: UserX, danger: true, run: ask("disable") }]
          : [{ label: "Enable", icon: RotateCcw, run: () => void enable(admin) }]
    ]
  }
}

const enable = async ({ id, name }: ListedAdmin) => {
  try {
    await rpc.admins.enable.mutate({ id })
    toast.success(`${name} can sign in again`)
  } catch (error) {
    complain(error)
  } finally {
    await invalidate(accessKey)
  }
}
