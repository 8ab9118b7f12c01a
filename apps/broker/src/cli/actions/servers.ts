import type { Actor } from "@broker/core/audit/Actor"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { type ServerSort, ServersQuery } from "@broker/domain/Fleet"
import { pathKey } from "@broker/domain/Group"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import {
  FleetServer,
  ServerAssignment,
  ServerConnectionLimit,
  type ServerId,
  type ServerStatus
} from "@broker/domain/Server"
import { DateTime, Effect, Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed, usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(FleetServer.json)
const encodePage = Schema.encodeSync(Page(FleetServer.json))

const status = (server: FleetServer) =>
  server.statusReason === null ? server.status : `${server.status} (${server.statusReason})`

const row = (now: DateTime.Utc) => (server: FleetServer) => [
  server.name,
  status(server),
  server.verified ? "yes" : "no",
  String(server.activeConnections),
  Output.relative(server.lastSeenAt, now),
  Output.or(server.version),
  Output.list(server.tags),
  server.id
]

export const list = Effect.fnUntraced(function* (
  flags: Common & {
    readonly statuses: ReadonlyArray<ServerStatus>
    readonly tags: ReadonlyArray<string>
    readonly search: string
    readonly terms: ReadonlyArray<string>
    readonly sort: ServerSort
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const query = yield* Schema.decodeEffect(ServersQuery)({
    ...(yield* pageOf(flags)),
    text: [flags.search, ...flags.terms].filter((text) => text !== "").join(" "),
    statuses: flags.statuses,
    tags: flags.tags,
    verified: null,
    sort: flags.sort
  }).pipe(
    Effect.mapError(
      (error) =>
        new CommandFailed({
          code: ExitCode.usage,
          what: wrongFlags(error, { text: "--search", tags: "--tag", statuses: "--status" }),
          remedy: "Take a text of 512 characters at most, and at most 8 tags, as servers have them."
        })
    )
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const page = yield* Servers.use((servers) => servers.list(defaultOrganizationId, query))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(
          ["NAME", "STATUS", "VERIFIED", "CONNECTIONS", "LAST SEEN", "VERSION", "TAGS", "ID"],
          page.items.map(row(now))
        ),
        "No server matches. `broker registration-key create` makes a key that lets one join."
      )
    })
  )
})

const details = (server: FleetServer, now: DateTime.Utc) =>
  Output.fields([
    ["name", server.name],
    ["id", server.id],
    ["status", `${status(server)}, ${Output.relative(server.statusSince, now)}`],
    ["admission", server.admission],
    ["liveness", server.liveness],
    ["duty", server.duty],
    ["available", server.available ? "yes" : "no"],
    ["verified", server.verifiedAt === null ? "no" : `yes, ${Output.relative(server.verifiedAt, now)}`],
    ["last seen", Output.relative(server.lastSeenAt, now)],
    ["registered", Output.relative(server.registeredAt, now)],
    [
      "connections",
      `${server.liveConnections} of ${server.connectionLimit}; it counts ${server.activeConnections} itself`
    ],
    ["version", Output.or(server.version)],
    ["address", Output.or(server.publicAddress)],
    ["endpoints", Output.list(server.endpoints.map(({ host, port, protocol }) => `${protocol}://${host}:${port}`))],
    ["capabilities", Output.list(Object.keys(server.capabilities))],
    ["group", Output.or(server.group)],
    ["tags", Output.list(server.tags)],
    ["labels", Output.list(Object.entries(server.labels).map(([key, value]) => `${key}=${value}`))],
    ["location", server.location === null ? "–" : `${server.location.latitude}, ${server.location.longitude}`],
    ["public key", server.publicKey]
  ])

/** What a command does to one server, and how it tells. */
const withServer = <E>(
  flags: Common & { readonly server: string },
  change: (id: ServerId) => Effect.Effect<FleetServer, E, Groups | Servers | Actor>,
  told: (server: FleetServer, now: DateTime.Utc) => ReadonlyArray<string>
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const found = yield* Servers.use((servers) => servers.find(defaultOrganizationId, flags.server.trim()))
      const server = yield* change(found.id)
      yield* Output.either(flags.json, encode(server), told(server, yield* DateTime.now))
    })
  )

export const show = (flags: Common & { readonly server: string }) =>
  withServer(flags, (id) => Servers.use((servers) => servers.get(defaultOrganizationId, id)), details)

/** Tags to give, and those to take back, which begin with a minus; the last word on each counts. */
const tagChanges = (changes: ReadonlyArray<string>) => {
  const wanted = new Map(
    changes.map((change): [tag: string, isGiven: boolean] =>
      change.startsWith("-") ? [change.slice(1), false] : [change, true]
    )
  )
  const those = (given: boolean) => [...wanted].flatMap(([tag, isGiven]) => (isGiven === given ? [tag] : []))
  return { add: those(true), remove: those(false) }
}

/** The same of labels: one without a value is taken back. */
const labelChanges = Effect.fnUntraced(function* (changes: ReadonlyArray<string>) {
  const values = new Map<string, string>()
  for (const change of changes) {
    const [, key, value] = /^([^=]+)=(.*)$/su.exec(change) ?? []
    if (key === undefined || value === undefined) {
      return yield* usage(`--label is ${JSON.stringify(change)}.`, "Write KEY=VALUE, or KEY= to take it back.")
    }
    values.set(key, value)
  }
  const given = [...values]
  return {
    set: Object.fromEntries(given.filter(([, value]) => value !== "")),
    remove: given.flatMap(([key, value]) => (value === "" ? [key] : []))
  }
})

const assignmentFlags = { tags: "--tag", labels: "--label" }

export const assign = (
  flags: Common & {
    readonly server: string
    readonly group: Option.Option<string>
    readonly tags: ReadonlyArray<string>
    readonly labels: ReadonlyArray<string>
  }
) =>
  withServer(
    flags,
    (id) =>
      Effect.gen(function* () {
        const servers = yield* Servers
        const groups = yield* Groups
        const groupOf = (typed: string) =>
          pathKey(typed) === ""
            ? Effect.succeed(null)
            : Effect.map(groups.find(defaultOrganizationId, typed.trim()), ({ id }) => id)
        const assignment = yield* Schema.decodeEffect(ServerAssignment)(
          {
            ...(Option.isNone(flags.group) ? {} : { groupId: yield* groupOf(flags.group.value) }),
            ...(flags.tags.length === 0 ? {} : { tags: tagChanges(flags.tags) }),
            ...(flags.labels.length === 0 ? {} : { labels: yield* labelChanges(flags.labels) })
          },
          { errors: "all" }
        ).pipe(
          Effect.mapError((error) =>
            usage(
              wrongFlags(error, assignmentFlags),
              "Tags: words of 32 characters at most. 32 tags and labels at most."
            )
          )
        )
        return yield* servers.assign(defaultOrganizationId, id, assignment)
      }),
    ({ group, labels, name, tags }) =>
      Output.fields([
        ["name", name],
        ["group", Output.or(group)],
        ["tags", Output.list(tags)],
        ["labels", Output.list(Object.entries(labels).map(([key, value]) => `${key}=${value}`))]
      ])
  )

export const approve = (flags: Common & { readonly server: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.approve(defaultOrganizationId, id)),
    ({ name, status }) => [`${name} is approved (${status}).`]
  )

export const suspend = (flags: Common & { readonly server: string; readonly reason: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.suspend(defaultOrganizationId, id, flags.reason)),
    ({ name }) => [`${name} is suspended. \`broker server approve ${JSON.stringify(name)}\` lets it in again.`]
  )

export const retire = (flags: Common & { readonly server: string; readonly reason: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.retire(defaultOrganizationId, id, flags.reason)),
    ({ name }) => [`${name} is retired, for good.`]
  )

/** A limit of its own, or null for its group's. */
const limitOf = (text: string): Effect.Effect<ServerConnectionLimit | null, CommandFailed> =>
  text.trim() === "inherit"
    ? Effect.succeed(null)
    : Schema.decodeEffect(ServerConnectionLimit)(/^\d{1,9}$/u.test(text.trim()) ? Number(text) : Number.NaN).pipe(
        Effect.mapError(() => usage(`CONNECTIONS is ${text}.`, "Take a number from 0 to 1000000, or inherit."))
      )

export const limit = (flags: Common & { readonly server: string; readonly connections: string }) =>
  withServer(
    flags,
    (id) =>
      limitOf(flags.connections).pipe(
        Effect.flatMap((limit) => Servers.use((servers) => servers.limitConnections(defaultOrganizationId, id, limit)))
      ),
    ({ connectionLimit, liveConnections, name }) => [
      `${name} takes ${connectionLimit} connections at once. It has ${liveConnections}.`
    ]
  )
