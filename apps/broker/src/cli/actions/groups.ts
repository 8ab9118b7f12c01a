import { Groups } from "@broker/core/groups/Groups"
import { Group, GroupInTree, GroupRequest, pathKey } from "@broker/domain/Group"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { Duration, Effect, Option, Schema } from "effect"
import * as Kind from "../../settings/Kind.ts"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

interface Policy {
  readonly interval: Option.Option<string>
  readonly period: Option.Option<string>
  readonly connections: Option.Option<string>
}

type Encoded = typeof GroupRequest.Encoded

const encode = Schema.encodeSync(Group.json)
const encodePage = Schema.encodeSync(Page(GroupInTree.json))

const requestFlags = {
  name: "NAME",
  heartbeatIntervalSeconds: "--heartbeat-interval",
  verificationPeriodSeconds: "--verification-period",
  connectionLimit: "--connections"
}

/** What leaves it to the group above. */
const inherit = "inherit"

/** What a flag says; what stands where it is left out. */
const said = <E>(
  flag: Option.Option<string>,
  before: number | null,
  read: (text: string) => Effect.Effect<number, E>
): Effect.Effect<number | null, E> => {
  if (Option.isNone(flag)) return Effect.succeed(before)
  const text = flag.value.trim()
  return text === inherit ? Effect.succeed(null) : read(text)
}

const seconds = (flag: string) => (text: string) =>
  Schema.decodeEffect(Kind.DurationText)(text).pipe(
    Effect.map(Duration.toSeconds),
    Effect.mapError(() => usage(`${flag} is ${JSON.stringify(text)}.`, "Take a time such as 10s or 6h, or inherit."))
  )

const whole = (flag: string) => (text: string) =>
  /^\d{1,9}$/u.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(usage(`${flag} is ${JSON.stringify(text)}.`, "Take a number from 0 to 1000000, or inherit."))

const policyOf = Effect.fnUntraced(function* (
  { connections, interval, period }: Policy,
  before: Omit<Encoded, "name" | "parentId"> = {
    heartbeatIntervalSeconds: null,
    verificationPeriodSeconds: null,
    connectionLimit: null
  }
) {
  return {
    heartbeatIntervalSeconds: yield* said(interval, before.heartbeatIntervalSeconds, seconds("--heartbeat-interval")),
    verificationPeriodSeconds: yield* said(period, before.verificationPeriodSeconds, seconds("--verification-period")),
    connectionLimit: yield* said(connections, before.connectionLimit, whole("--connections"))
  }
})

const check = (request: Encoded) =>
  Schema.decodeEffect(GroupRequest)(request, { errors: "all" }).pipe(
    Effect.mapError((error) =>
      usage(
        wrongFlags(error, requestFlags),
        "Names: 1 to 64 characters, no slash. Interval: 1s to 1h. Period: 1m to 30d. Connections: 0 to 1000000."
      )
    )
  )

const find = (idOrPath: string) => Groups.use((groups) => groups.find(defaultOrganizationId, idOrPath.trim()))

/** The group above and the name, of a path. */
const split = Effect.fnUntraced(function* (path: string) {
  const names = path
    .trim()
    .replace(/^\/|\/$/gu, "")
    .split("/")
  const above = names.slice(0, -1).join("/")
  return { name: (names.at(-1) ?? "").trim(), parentId: above === "" ? null : (yield* find(above)).id }
})

/** What holds; in parentheses what a group above says. */
const held = (own: number | null, effective: number | null, show: (value: number) => string) =>
  effective === null ? "–" : own === null ? `(${show(effective)})` : show(effective)

const time = (value: number) => Kind.formatDuration(Duration.seconds(value))

const policyColumns = (group: Group) => [
  held(group.heartbeatIntervalSeconds, group.effectiveHeartbeatIntervalSeconds, time),
  held(group.verificationPeriodSeconds, group.effectiveVerificationPeriodSeconds, time),
  held(group.connectionLimit, group.effectiveConnectionLimit, String)
]

export const list = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const items = yield* Groups.use((groups) => groups.tree(defaultOrganizationId))
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["GROUP", "SERVERS", "WITH BELOW", "AVAILABLE", "INTERVAL", "VERIFIED EVERY", "CONNECTIONS", "ID"],
          items.map((group) => [
            group.path,
            String(group.servers),
            String(group.serversBelow),
            String(group.availableBelow),
            ...policyColumns(group),
            group.id
          ])
        ),
        "There are no groups. `broker group create eu` makes one."
      )
    })
  )

/** As a shell takes it. */
const quoted = (path: string) => (/^[\w./-]+$/u.test(path) ? path : JSON.stringify(path))

const tell = (flags: Common, group: Group, what: string) => Output.either(flags.json, encode(group), [what])

export const create = Effect.fnUntraced(function* (flags: Common & Policy & { readonly path: string }) {
  const policy = yield* policyOf(flags)
  yield* onDatabase({ dataDir: flags.dataDir, mayBegin: true }, () =>
    Effect.gen(function* () {
      const request = yield* check({ ...policy, ...(yield* split(flags.path)) })
      const group = yield* Groups.use((groups) => groups.create(defaultOrganizationId, request))
      yield* tell(
        flags,
        group,
        `${group.path} is there. \`broker server assign SERVER --group ${quoted(group.path)}\` puts a server into it.`
      )
    })
  )
})

const change = Effect.fnUntraced(function* (before: Group, encoded: Encoded) {
  const groups = yield* Groups
  const request = yield* check(encoded)
  const { servers } = yield* groups.preview(defaultOrganizationId, before.id, request)
  return { group: yield* groups.update(defaultOrganizationId, before.id, request), servers }
})

const many = (servers: number) => (servers === 1 ? "one server" : `${servers} servers`)

export const update = (flags: Common & Policy & { readonly group: string; readonly name: Option.Option<string> }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const before = yield* find(flags.group)
      const { group, servers } = yield* change(before, {
        parentId: before.parentId,
        name: Option.getOrElse(flags.name, () => before.name),
        ...(yield* policyOf(flags, before))
      })
      yield* tell(flags, group, `${group.path} is changed, for ${many(servers)}.`)
    })
  )

export const move = (flags: Common & { readonly group: string; readonly into: string }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const before = yield* find(flags.group)
      const parentId = pathKey(flags.into) === "" ? null : (yield* find(flags.into)).id
      const { connectionLimit, heartbeatIntervalSeconds, name, verificationPeriodSeconds } = before
      const { group, servers } = yield* change(before, {
        parentId,
        name,
        heartbeatIntervalSeconds,
        verificationPeriodSeconds,
        connectionLimit
      })
      yield* tell(flags, group, `${before.path} is ${group.path} now, with ${many(servers)}.`)
    })
  )

export const remove = (flags: Common & { readonly group: string }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const group = yield* find(flags.group)
      yield* Groups.use((groups) => groups.delete(defaultOrganizationId, group.id))
      yield* tell(flags, group, `${group.path} is deleted.`)
    })
  )
