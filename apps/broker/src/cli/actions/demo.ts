import { randomBytes } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import type { AgentEvent } from "@broker/client/AgentEvent"
import { Actor } from "@broker/core/audit/Actor"
import { Groups } from "@broker/core/groups/Groups"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import { Users } from "@broker/core/users/Users"
import { AdminName } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { UserName } from "@broker/domain/User"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Array as Arr, Deferred, Duration, Effect, Latch, Option, Redacted, Scope } from "effect"
import * as ClientLife from "../../demo/ClientLife.ts"
import { type Person, people } from "../../demo/clients.ts"
import { type Gateway, gateways, groups } from "../../demo/gateways.ts"
import * as Life from "../../demo/Life.ts"
import * as Logging from "../../Logging.ts"
import { inUrl } from "../../Loopback.ts"
import * as Serving from "../../Serving.ts"
import * as Settings from "../../Settings.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"

const adminName = AdminName.make("demo")

/** Made once, so that a second run has the same sign-in as the first. */
const password = (directory: string) =>
  Effect.tryPromise({
    try: async () => {
      const file = join(directory, "admin-password")
      await mkdir(directory, { recursive: true })
      await writeFile(file, `${randomBytes(12).toString("base64url")}\n`, { mode: 0o600, flag: "wx" }).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code !== "EEXIST") throw error
        }
      )
      return Redacted.make((await readFile(file, "utf8")).trim())
    },
    catch: (error) =>
      new CommandFailed({
        code: ExitCode.usage,
        what: `${directory} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
        remedy: "Choose another directory with --data-dir."
      })
  })

/** The port that was asked for, or the next one that is free. */
const freePort = Effect.fnUntraced(function* ({ host, port }: Settings.Values) {
  if (port === 0) return port
  for (let next = port; next < Math.min(port + 50, 65_536); next++) {
    if (!(yield* Serving.isFree(next, host))) continue
    if (next !== port) yield* Output.text(`Port ${port} is taken: using ${next}.`)
    return next
  }
  return yield* new CommandFailed({
    code: ExitCode.refused,
    what: `No port from ${port} on is free.`,
    remedy: "Choose another one with --port, or 0 for any."
  })
})

/** What a demo runs with: never a database of somebody's own, and quick enough to watch. */
const demoValues = Effect.fnUntraced(function* (flags: Settings.Flags) {
  const { sources, values } = yield* Settings.read(flags)
  const dataDir = resolve(sources.dataDir === "flag" ? values.dataDir : join(values.dataDir, "demo"))
  const isUsual = sources.heartbeatInterval === "default" && sources.sweepInterval === "default"
  return {
    ...values,
    ...(isUsual ? { heartbeatInterval: Duration.seconds(5), sweepInterval: Duration.seconds(1) } : {}),
    ...(sources.logLevel === "default" ? { logLevel: "warn" as const } : {}),
    dataDir,
    databaseUrl: undefined,
    encryptionKey: undefined,
    previousEncryptionKeys: undefined,
    publicUrl: undefined,
    adminName,
    adminPassword: yield* password(dataDir),
    port: yield* freePort(values)
  } satisfies Settings.Values
})

const byDemo = Actor.of({ kind: "command", id: null, name: "demo", address: null, requestId: null })

/** A key for those that never joined; none when all have. */
const mintKey = Effect.fnUntraced(function* (directory: string, joining: ReadonlyArray<Gateway>, approval: boolean) {
  const strangers = yield* Effect.filter(joining, (gateway) =>
    Effect.map(Life.isMember(directory, gateway), (is) => !is)
  )
  if (strangers.length === 0) return undefined
  const { key } = yield* RegistrationKeys.use((keys) =>
    keys.create(defaultOrganizationId, {
      name: approval ? "Demo, with approval" : "Demo",
      useLimit: strangers.length,
      expiresInSeconds: 86_400,
      tags: [],
      approval,
      replacesServerId: null
    })
  )
  return key
})

/** The groups that are not there yet; those that are keep what an admin changed. */
const plant = Effect.gen(function* () {
  const service = yield* Groups
  for (const { path, policy } of groups) {
    const above = path.split("/").slice(0, -1).join("/")
    const parent = above === "" ? Option.none() : yield* Effect.option(service.find(defaultOrganizationId, above))
    const create = service.create(defaultOrganizationId, {
      heartbeatIntervalSeconds: null,
      verificationPeriodSeconds: null,
      connectionLimit: null,
      ...policy,
      parentId: Option.getOrNull(parent)?.id ?? null,
      name: path.slice(above === "" ? 0 : above.length + 1)
    })
    yield* Effect.ignore(create)
  }
})

/** What an admin would have done with some of them, once. */
const settle = Effect.fnUntraced(function* ({ group, name, standing }: Gateway) {
  const servers = yield* Servers
  const { id } = yield* servers.find(defaultOrganizationId, name)
  const place = yield* Effect.option(Groups.use((service) => service.find(defaultOrganizationId, group)))
  if (Option.isSome(place)) yield* servers.assign(defaultOrganizationId, id, { groupId: place.value.id })
  if (standing === "maintenance") yield* servers.setDuty(defaultOrganizationId, id, "maintenance")
  if (standing === "suspended") {
    yield* servers.suspend(defaultOrganizationId, id, "Seen from two networks at once")
  }
})

const fleet = Effect.fnUntraced(function* (directory: string, url: string) {
  yield* plant
  const key = yield* mintKey(
    directory,
    gateways.filter(({ standing }) => standing !== "pending"),
    false
  )
  const approvalKey = yield* mintKey(
    directory,
    gateways.filter(({ standing }) => standing === "pending"),
    true
  )
  const arrived = new Set<string>()
  const all = yield* Deferred.make<void>()

  const arrive = Effect.fnUntraced(function* ({ name }: Gateway, how: string) {
    if (arrived.has(name)) return
    arrived.add(name)
    yield* Output.text(`  ${String(arrived.size).padStart(2)} of ${gateways.length}  ${name} ${how}`)
    if (arrived.size === gateways.length) yield* Deferred.succeed(all, undefined)
  })

  const onEvent = Effect.fnUntraced(
    function* (gateway: Gateway, event: AgentEvent) {
      if (event._tag === "Registered" && !event.again) yield* Effect.ignore(settle(gateway))
      if (event._tag === "Registered") yield* arrive(gateway, "registered")
      if (event._tag === "Resumed") yield* arrive(gateway, "is back")
    },
    Effect.provideContext(yield* Effect.context<Groups | Servers | Actor>())
  )

  for (const gateway of gateways) {
    const life = Life.live(
      { url, directory, key: gateway.standing === "pending" ? approvalKey : key, onEvent },
      gateway
    )
    yield* life.pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(arrive(gateway, "left"), Effect.logWarning(`${gateway.name} left`, cause))
      ),
      Effect.forkScoped
    )
    yield* Effect.sleep("150 millis")
  }
  yield* Deferred.await(all).pipe(Effect.timeoutOption("20 seconds"))
})

/** The keys of the demo's people are kept, so that a second run has the same users as the first. */
const keyFile = (directory: string, { email }: Person) => join(directory, "people", email, "personal-key")

const mayRead = (file: string) =>
  Effect.promise(() =>
    readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined
      throw error
    })
  )

const findOrCreate = Effect.fnUntraced(function* ({ email, name }: Person) {
  const users = yield* Users
  return yield* users.create(defaultOrganizationId, { name: UserName.make(name), email, note: "Of the demo." }).pipe(
    Effect.map(({ id }) => Option.some(id)),
    Effect.catchTag("EmailTaken", () =>
      Effect.map(
        users.list(defaultOrganizationId, { text: email, states: [], sort: "name", limit: 1, cursor: null }),
        ({ items }) => Option.map(Arr.head(items), ({ id }) => id)
      )
    )
  )
})

/** Null for somebody whom an admin has suspended meanwhile, so that there is no key for them. */
const personalKey = Effect.fnUntraced(function* (directory: string, person: Person) {
  const file = keyFile(directory, person)
  const kept = yield* mayRead(file)
  if (kept !== undefined) return Redacted.make(kept.trim())
  const id = yield* findOrCreate(person)
  if (Option.isNone(id)) return null
  const keys = yield* PersonalKeys
  const { key } = yield* keys.create(defaultOrganizationId, {
    userId: id.value,
    name: "Demo",
    expiresInSeconds: null,
    connectionLimit: null
  })
  yield* Effect.promise(async () => {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(file, `${Redacted.value(key)}\n`, { mode: 0o600 })
  })
  return key
})

/** Thirty clients that come and go. */
const crowd = Effect.fnUntraced(function* (directory: string, url: string) {
  const opened = yield* Latch.make()
  // They all leave at once when the demo ends.
  const street = yield* Effect.acquireRelease(Scope.make("parallel"), (scope, exit) => Scope.close(scope, exit))
  const devices = people.flatMap(({ devices }) => devices)
  yield* Output.text(`${devices.length} clients of ${people.length} users connect to them.`)
  for (const person of people) {
    const key = yield* Effect.catch(personalKey(directory, person), (error) =>
      Effect.as(Effect.logWarning(`${person.name} gets no key`, error), null)
    )
    if (key === null) continue
    for (const device of person.devices) {
      yield* ClientLife.live({ url, directory, personalKey: key, onOpen: Effect.asVoid(opened.open) }, device).pipe(
        Effect.catchCause((cause) => Effect.logWarning(`${device.name} left`, cause)),
        Effect.forkIn(street)
      )
    }
  }
  yield* Effect.timeoutOption(opened.await, "20 seconds")
})

const spareName = "Your own gateways"

/** A few uses for whoever wants to bring a gateway of their own into the picture. The one of the last run gives way. */
const spareKey = Effect.gen(function* () {
  const keys = yield* RegistrationKeys
  const { items } = yield* keys.list(defaultOrganizationId, { states: ["active"], limit: 200, cursor: null })
  for (const { id, name } of items) if (name === spareName) yield* keys.revoke(defaultOrganizationId, id)
  return yield* keys.create(defaultOrganizationId, {
    name: spareName,
    useLimit: 3,
    expiresInSeconds: 86_400,
    tags: ["mine"],
    approval: false,
    replacesServerId: null
  })
})

const invitation = (origin: string, key: Redacted.Redacted<string>) => [
  "Bring in a gateway of your own, from another terminal:",
  "",
  `  npx -y pnpm@12 --silent broker agent --url ${origin} --key ${Redacted.value(key)} --name mine`
]

const signIn = (origin: string, password: Redacted.Redacted) =>
  Output.box([
    `Dashboard   ${origin}`,
    `Name        ${adminName}`,
    `Password    ${Redacted.value(password)}`,
    "",
    "Two gateways come and go, one waits for approval, one is suspended.",
    "Thirty clients connect and leave; one of them vanishes, one counts wrong.",
    "Ctrl-C ends the demo; the next run goes on from here."
  ])

const unspecified = new Set(["0.0.0.0", "::"])

export const demo = Effect.fnUntraced(function* (flags: {
  readonly port: Option.Option<string>
  readonly dataDir: Option.Option<string>
}) {
  const values = yield* demoValues(yield* Flags.settings(flags))
  const address = yield* Serving.address(values)
  const here = unspecified.has(values.host) ? "127.0.0.1" : inUrl(values.host)
  yield* Output.text(`Everything it keeps is in ${values.dataDir}.`)

  const run = Effect.gen(function* () {
    yield* Serving.firstAdmin(values, address.origin)
    yield* Output.text(`The broker listens on ${address.origin}. ${gateways.length} gateways join it:`)
    const url = `http://${here}:${address.port}`
    yield* fleet(values.dataDir, url)
    yield* crowd(values.dataDir, url)
    const { key } = yield* spareKey
    yield* Output.text("", ...signIn(address.origin, values.adminPassword), "", ...invitation(address.origin, key), "")
    return yield* Effect.never
  })

  return yield* run.pipe(
    Effect.scoped,
    Effect.onInterrupt(() => Output.text("Stopping…")),
    Effect.provideService(Actor, byDemo),
    Effect.provide(NodeHttpClient.layerUndici),
    Effect.provide(Serving.layer(values, address, Output.text)),
    Effect.provide(Logging.fromSettings(values, process.stderr))
  )
})
