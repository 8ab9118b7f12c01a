/** The pages of the rail and the palette. Each shows only to those who may read it. */
import type { Permission } from "@broker/domain/Permission"
import Activity from "@lucide/svelte/icons/activity"
import Cable from "@lucide/svelte/icons/cable"
import CalendarClock from "@lucide/svelte/icons/calendar-clock"
import ChartColumn from "@lucide/svelte/icons/chart-column"
import FileChartColumn from "@lucide/svelte/icons/file-chart-column"
import FolderTree from "@lucide/svelte/icons/folder-tree"
import KeyRound from "@lucide/svelte/icons/key-round"
import LayoutDashboard from "@lucide/svelte/icons/layout-dashboard"
import LogIn from "@lucide/svelte/icons/log-in"
import Radio from "@lucide/svelte/icons/radio"
import ScrollText from "@lucide/svelte/icons/scroll-text"
import Server from "@lucide/svelte/icons/server"
import ShieldCheck from "@lucide/svelte/icons/shield-check"
import ShieldQuestionMark from "@lucide/svelte/icons/shield-question-mark"
import SquareAsterisk from "@lucide/svelte/icons/square-asterisk"
import UserCog from "@lucide/svelte/icons/user-cog"
import Users from "@lucide/svelte/icons/users"
import UsersRound from "@lucide/svelte/icons/users-round"
import Webhook from "@lucide/svelte/icons/webhook"
import type { Component } from "svelte"
import type { ShortcutId } from "#lib/shortcuts.ts"

interface Destination {
  readonly href: string
  readonly label: string
  readonly icon: Component<{ class?: string; strokeWidth?: number }>
  readonly permission: Permission
  readonly shortcut: ShortcutId
}

interface Group {
  /** Missing where the pages speak for themselves. */
  readonly title?: string
  readonly pages: ReadonlyArray<Destination>
}

const navigation: ReadonlyArray<Group> = [
  {
    pages: [
      { href: "/", label: "Overview", icon: LayoutDashboard, permission: "overview:read", shortcut: "go-overview" },
      { href: "/servers", label: "Servers", icon: Server, permission: "servers:read", shortcut: "go-servers" },
      { href: "/groups", label: "Groups", icon: FolderTree, permission: "groups:read", shortcut: "go-groups" },
      {
        href: "/connections",
        label: "Connections",
        icon: Cable,
        permission: "connections:read",
        shortcut: "go-connections"
      },
      { href: "/users", label: "Users", icon: Users, permission: "users:read", shortcut: "go-users" },
      { href: "/events", label: "Events", icon: Radio, permission: "events:read", shortcut: "go-events" },
      {
        href: "/analytics",
        label: "Analytics",
        icon: ChartColumn,
        permission: "analytics:read",
        shortcut: "go-analytics"
      }
    ]
  },
  {
    pages: [
      {
        href: "/registration-keys",
        label: "Registration keys",
        icon: KeyRound,
        permission: "registration-keys:read",
        shortcut: "go-keys"
      },
      {
        href: "/verification",
        label: "Verification",
        icon: ShieldQuestionMark,
        permission: "verification:read",
        shortcut: "go-verification"
      },
      {
        href: "/maintenance",
        label: "Maintenance",
        icon: CalendarClock,
        permission: "maintenance:read",
        shortcut: "go-maintenance"
      },
      {
        href: "/reports",
        label: "Reports",
        icon: FileChartColumn,
        permission: "reports:read",
        shortcut: "go-reports"
      },
      { href: "/broker", label: "Broker", icon: Activity, permission: "broker:read", shortcut: "go-broker" }
    ]
  },
  {
    title: "Access",
    pages: [
      { href: "/access/admins", label: "Admins", icon: UserCog, permission: "admins:read", shortcut: "go-admins" },
      { href: "/access/roles", label: "Roles", icon: UsersRound, permission: "roles:read", shortcut: "go-roles" },
      {
        href: "/access/api-tokens",
        label: "API tokens",
        icon: SquareAsterisk,
        permission: "api-tokens:read",
        shortcut: "go-api-tokens"
      },
      {
        href: "/access/sign-ins",
        label: "Sign-ins",
        icon: LogIn,
        permission: "sign-in-failures:read",
        shortcut: "go-sign-ins"
      },
      { href: "/audit", label: "Audit log", icon: ScrollText, permission: "audit:read", shortcut: "go-audit" },
      {
        href: "/settings/security",
        label: "Security settings",
        icon: ShieldCheck,
        permission: "security-policy:read",
        shortcut: "go-security"
      }
    ]
  },
  {
    pages: [
      { href: "/webhooks", label: "Webhooks", icon: Webhook, permission: "webhooks:read", shortcut: "go-webhooks" }
    ]
  }
]

/** The groups that hold anything for whoever has these permissions. */
export const navigationFor = (permissions: ReadonlyArray<Permission>): ReadonlyArray<Group> =>
  navigation
    .map((group) => ({ ...group, pages: group.pages.filter(({ permission }) => permissions.includes(permission)) }))
    .filter(({ pages }) => pages.length > 0)

export const pagesFor = (permissions: ReadonlyArray<Permission>) =>
  navigationFor(permissions).flatMap(({ pages }) => pages)

export const isHere = (href: string, path: string) =>
  href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`)

export const canCreateKeys = (permissions: ReadonlyArray<Permission>) =>
  permissions.includes("registration-keys:create")
