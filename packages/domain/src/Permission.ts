/** What a procedure or an endpoint asks of whoever calls it, and what the roles that come with the broker may do. */
import { Schema } from "effect"
import { Problem } from "./Problem.ts"

/** `noun:verb`. */
export const Permission = Schema.Literals([
  "overview:read",
  "servers:read",
  "servers:approve",
  "servers:suspend",
  "servers:drain",
  "servers:verify",
  "servers:retire",
  "servers:limit",
  "servers:update",
  "groups:read",
  "groups:create",
  "groups:update",
  "groups:delete",
  "metrics:read",
  "verification:read",
  "maintenance:read",
  "maintenance:create",
  "maintenance:delete",
  "fleet-guard:read",
  "fleet-guard:confirm",
  "saved-views:share",
  "broker:read",
  "events:read",
  "security-events:read",
  "webhooks:read",
  "webhooks:create",
  "webhooks:update",
  "webhooks:delete",
  "reports:read",
  "reports:create",
  "reports:update",
  "reports:delete",
  "inventory:export",
  "inventory:import",
  "registration-keys:read",
  "registration-keys:create",
  "registration-keys:revoke",
  "users:read",
  "users:create",
  "users:update",
  "users:suspend",
  "users:delete",
  "personal-keys:create",
  "personal-keys:revoke",
  "devices:block",
  "connections:read",
  "connections:disconnect",
  "analytics:read",
  "admins:read",
  "admins:invite",
  "admins:update",
  "admins:disable",
  "admins:reset",
  "roles:read",
  "roles:create",
  "roles:update",
  "roles:delete",
  "api-tokens:read",
  "api-tokens:create",
  "api-tokens:revoke",
  "audit:read",
  "audit:export",
  "audit:verify",
  "sign-in-failures:read",
  "sign-in-failures:lift",
  "security-policy:read",
  "security-policy:update"
])
export type Permission = typeof Permission.Type

/** What each permission lets one do, for people who put a role together. */
export const meanings: Record<Permission, string> = {
  "overview:read": "See the overview and its live figures",
  "servers:read": "See servers, their history and their metrics",
  "servers:approve": "Let pending and suspended servers in",
  "servers:suspend": "Suspend servers",
  "servers:drain": "Drain servers and put them back to serving",
  "servers:verify": "Ask servers to prove who they are",
  "servers:retire": "Retire servers for good",
  "servers:limit": "Change how many connections a server takes",
  "servers:update": "Change the group, tags, labels and notes of servers",
  "groups:read": "See groups and their policy",
  "groups:create": "Create groups",
  "groups:update": "Change groups, their policy and their place",
  "groups:delete": "Delete groups",
  "metrics:read": "See metrics of servers, groups and the fleet",
  "verification:read": "See who is to be verified, who failed and why",
  "maintenance:read": "See maintenance windows, outages and availability",
  "maintenance:create": "Announce maintenance",
  "maintenance:delete": "Call maintenance off",
  "fleet-guard:read": "See when the fleet guard held servers, and why",
  "fleet-guard:confirm": "Confirm that servers which the fleet guard holds are really gone",
  "saved-views:share": "Share saved views with everybody",
  "broker:read": "See how the broker's nodes, jobs and database do",
  "events:read": "See what happened, as far as one may see what it is about",
  "security-events:read": "See what the broker found suspicious",
  "webhooks:read": "See webhooks and what they delivered",
  "webhooks:create": "Create webhooks",
  "webhooks:update": "Change, test, pause and replay webhooks, and rotate their secrets",
  "webhooks:delete": "Delete webhooks",
  "reports:read": "See and download reports",
  "reports:create": "Make reports, and schedule them",
  "reports:update": "Change reports and their schedules",
  "reports:delete": "Delete reports and their schedules",
  "inventory:export": "Export servers and groups",
  "inventory:import": "Import groups and what admins say of servers",
  "registration-keys:read": "See registration keys and who joined with them",
  "registration-keys:create": "Create registration keys",
  "registration-keys:revoke": "Revoke registration keys",
  "users:read": "See users, their keys and their devices",
  "users:create": "Create users",
  "users:update": "Change users",
  "users:suspend": "Suspend users and let them connect again",
  "users:delete": "Delete users",
  "personal-keys:create": "Create and rotate personal keys",
  "personal-keys:revoke": "Revoke personal keys",
  "devices:block": "Block and remove devices",
  "connections:read": "See connections",
  "connections:disconnect": "End connections",
  "analytics:read": "See analytics",
  "admins:read": "See admins, their roles and whether they have a second factor",
  "admins:invite": "Invite admins",
  "admins:update": "Change the role of admins",
  "admins:disable": "Disable admins and let them in again",
  "admins:reset": "Reset the password or the second factors of other admins",
  "roles:read": "See roles",
  "roles:create": "Create roles",
  "roles:update": "Change roles",
  "roles:delete": "Delete roles",
  "api-tokens:read": "See everybody's API tokens",
  "api-tokens:create": "Create API tokens of one's own",
  "api-tokens:revoke": "Revoke everybody's API tokens",
  "audit:read": "Read the audit log",
  "audit:export": "Export the audit log",
  "audit:verify": "Verify the audit log",
  "sign-in-failures:read": "See failed sign-ins and who has to wait",
  "sign-in-failures:lift": "Let those who have to wait try again at once",
  "security-policy:read": "See the organization's security policy",
  "security-policy:update": "Change the organization's security policy"
}

/** Those that come with the broker. An organization may add its own. */
export const BuiltInRole = Schema.Literals(["owner", "admin", "operator", "auditor", "viewer"])
export type BuiltInRole = typeof BuiltInRole.Type

const reading = Permission.literals.filter((permission) => permission.endsWith(":read"))

/** What says who guards the organization, and how: not for everybody who may look at its fleet. */
const guarding: ReadonlySet<Permission> = new Set<Permission>([
  "admins:read",
  "roles:read",
  "api-tokens:read",
  "audit:read",
  "sign-in-failures:read",
  "security-policy:read",
  "security-events:read",
  "webhooks:read"
])
const watching = reading.filter((permission) => !guarding.has(permission))

/** Only owners set the rules for all, and help others who lost their factor (A2): no role of an organization's own does. */
export const ownersOwn: ReadonlySet<Permission> = new Set<Permission>(["admins:reset", "security-policy:update"])

/** What each role that comes with the broker may do. */
export const builtInPermissions: Record<BuiltInRole, ReadonlySet<Permission>> = {
  owner: new Set(Permission.literals),
  admin: new Set(Permission.literals.filter((permission) => !ownersOwn.has(permission))),
  operator: new Set<Permission>([
    ...watching,
    "servers:drain",
    "servers:verify",
    "servers:approve",
    "servers:update",
    "maintenance:create",
    "maintenance:delete",
    "fleet-guard:confirm",
    "saved-views:share",
    "devices:block",
    "connections:disconnect",
    "reports:create",
    "inventory:export",
    "security-events:read"
  ]),
  auditor: new Set<Permission>([...reading, "audit:export", "audit:verify"]),
  viewer: new Set(watching)
}

export class PermissionMissing extends Problem<PermissionMissing>()(
  "PermissionMissing",
  {
    code: "permission_missing",
    status: 403,
    title: "Permission missing",
    detail: "You are not allowed to do this.",
    remedy: "Ask an owner for a role that has the permission; an API token needs it among its scopes too."
  },
  { permission: Permission }
) {}

/** A5: nobody grants more than they hold, or acts on somebody who holds more. */
export class MoreThanHeld extends Problem<MoreThanHeld>()(
  "MoreThanHeld",
  {
    code: "more_than_held",
    status: 403,
    title: "More than you hold",
    detail: "This concerns permissions that you do not have yourself.",
    remedy: "Leave them out, or ask somebody who has them."
  },
  { permissions: Schema.Array(Permission) }
) {}

/** A4: what is dangerous asks again who it is. */
export class StepUpRequired extends Problem<StepUpRequired>()("StepUpRequired", {
  code: "step_up_required",
  status: 403,
  title: "Confirm that it is you",
  detail: "This needs a fresh confirmation of who you are.",
  remedy: "Confirm with your second factor, or with your password if you have none, and try again."
}) {}
