/** The pages of the rail and the palette. */
import type { Permission } from "@broker/domain/Permission"
import Cable from "@lucide/svelte/icons/cable"
import ChartColumn from "@lucide/svelte/icons/chart-column"
import KeyRound from "@lucide/svelte/icons/key-round"
import LayoutDashboard from "@lucide/svelte/icons/layout-dashboard"
import Server from "@lucide/svelte/icons/server"
import Users from "@lucide/svelte/icons/users"

export const navigation = [
  [
    { href: "/", label: "Overview", icon: LayoutDashboard, keys: ["g", "o"] },
    { href: "/servers", label: "Servers", icon: Server, keys: ["g", "s"] },
    { href: "/connections", label: "Connections", icon: Cable, keys: ["g", "c"] },
    { href: "/users", label: "Users", icon: Users, keys: ["g", "u"] },
    { href: "/analytics", label: "Analytics", icon: ChartColumn, keys: ["g", "a"] }
  ],
  [{ href: "/registration-keys", label: "Registration keys", icon: KeyRound, keys: ["g", "k"] }]
] as const

export const isHere = (href: string, path: string) =>
  href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`)

export const canCreateKeys = (permissions: ReadonlyArray<Permission>) =>
  permissions.includes("registration-keys:create")
