/**
 * Every setting of the broker, in one place, and the only code that reads flags, environment and file.
 *
 * A flag wins over the environment, that over `broker.yaml`, that over the default. All that is wrong is told at once.
 */
import { ConnectionsPolicy } from "@broker/core/connections/ConnectionsPolicy"
import { EventsPolicy } from "@broker/core/events/EventsPolicy"
import { MailSettings } from "@broker/core/mail/Mail"
import { RateLimitsPolicy } from "@broker/core/rate-limits/RateLimitsPolicy"
import { ReportsPolicy } from "@broker/core/reports/ReportsPolicy"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { SingleSignOnPolicy } from "@broker/core/single-sign-on/SingleSignOn"
import { VerificationPolicy } from "@broker/core/verification/VerificationPolicy"
import { WebhooksPolicy } from "@broker/core/webhooks/WebhooksPolicy"
import { AdminName } from "@broker/domain/Admin"
import { ConfigProvider, Duration, Effect, type FileSystem, Layer, Option, type Path, Redacted, Schema } from "effect"
import * as ConfigFile from "./settings/ConfigFile.ts"
import * as Kind from "./settings/Kind.ts"

interface Declaration<A> {
  /** The environment variable. The key in the file is the name of the setting. */
  readonly variable: string
  readonly kind: Kind.Kind<A>
  /** What a default that is worked out comes to, in words. */
  readonly otherwise?: string
  readonly doc: string
  readonly secret?: boolean
}

interface Setting<A, Default extends A | undefined> extends Declaration<A> {
  readonly default: Default
}

const setting = <A>(declaration: Declaration<A> & { readonly default: NoInfer<A> }): Setting<A, A> => declaration

const optional = <A>(declaration: Declaration<A>): Setting<A, A | undefined> => ({ ...declaration, default: undefined })

const serversPolicy = ServersPolicy.defaultValue()
const connectionsPolicy = ConnectionsPolicy.defaultValue()
const eventsPolicy = EventsPolicy.defaultValue()
const verificationPolicy = VerificationPolicy.defaultValue()
const webhooksPolicy = WebhooksPolicy.defaultValue()
const reportsPolicy = ReportsPolicy.defaultValue()
const rateLimitsPolicy = RateLimitsPolicy.defaultValue()
const mebibyte = 1024 ** 2

const table = {
  port: setting({
    variable: "PORT",
    kind: Kind.integer(0, 65_535),
    default: 3000,
    doc: "The port the broker listens on; 0 takes any free one."
  }),
  host: setting({
    variable: "HOST",
    kind: Kind.text("an address or a host name, such as 127.0.0.1 or 0.0.0.0"),
    default: "127.0.0.1",
    doc: "The address the broker listens on. 127.0.0.1 answers this machine only, 0.0.0.0 every network it is in."
  }),
  publicUrl: optional({
    variable: "PUBLIC_URL",
    kind: Kind.origin,
    otherwise: "http://localhost:{port}",
    doc: "Where agents and browsers reach the broker. Servers sign it, so it must be the same for all of them."
  }),
  dataDir: setting({
    variable: "DATA_DIR",
    kind: Kind.text("the path of a directory"),
    default: "./data",
    doc: "Where the broker keeps what is not in an external database: the embedded PostgreSQL, and its encryption key."
  }),
  databaseUrl: optional({
    variable: "DATABASE_URL",
    kind: Kind.postgresUrl,
    otherwise: "an embedded PostgreSQL in the data directory",
    doc: "The PostgreSQL (15 or newer, with contrib) to use. The role must be able to create extensions.",
    secret: true
  }),
  databaseMaxConnections: setting({
    variable: "DATABASE_MAX_CONNECTIONS",
    kind: Kind.integer(2, 1000),
    default: 10,
    doc: "How many connections to the database one broker opens at most, beside three of its own."
  }),
  encryptionKey: optional({
    variable: "ENCRYPTION_KEY",
    kind: Kind.encryptionKey,
    otherwise: "the one in the data directory, made at the first start",
    doc: "What secrets in the database are sealed under. Keep a copy apart from its backups: without it they are lost.",
    secret: true
  }),
  previousEncryptionKeys: optional({
    variable: "PREVIOUS_ENCRYPTION_KEYS",
    kind: Kind.encryptionKeys,
    doc: "Former keys, which only open, until `broker encryption rewrap` has sealed everything under the one of now.",
    secret: true
  }),
  trustedProxies: setting({
    variable: "TRUSTED_PROXIES",
    kind: Kind.networks,
    default: [],
    otherwise: "none",
    doc: "Proxies whose X-Forwarded-For is believed. From anyone else the header is ignored."
  }),
  tlsCertFile: optional({
    variable: "TLS_CERT_FILE",
    kind: Kind.text("the path of a file"),
    otherwise: "none; plain HTTP",
    doc: "A certificate with its chain, as PEM, for HTTPS without a proxy. Read anew when it changes. Needs tlsKeyFile."
  }),
  tlsKeyFile: optional({
    variable: "TLS_KEY_FILE",
    kind: Kind.text("the path of a file"),
    otherwise: "none",
    doc: "The private key of that certificate, as PEM, without a passphrase."
  }),
  rateLimitStore: setting({
    variable: "RATE_LIMIT_STORE",
    kind: Kind.choice(["postgres", "redis", "memory"]),
    default: rateLimitsPolicy.store,
    doc: "Where brokers add up the requests of a caller: their database, a Redis, or each broker for itself."
  }),
  redisUrl: optional({
    variable: "REDIS_URL",
    kind: Kind.redisUrl,
    otherwise: "none",
    doc: "The Redis or Valkey of rateLimitStore. While it is away limits go on, on each broker for itself.",
    secret: true
  }),
  rateLimitApi: setting({
    variable: "RATE_LIMIT_API",
    kind: Kind.integer(0, 10_000_000),
    default: rateLimitsPolicy.quotas.api,
    doc: "Requests a minute per credential to the API; 0 is no limit. An address may send ten times as many."
  }),
  rateLimitSignIn: setting({
    variable: "RATE_LIMIT_SIGN_IN",
    kind: Kind.integer(0, 10_000_000),
    default: rateLimitsPolicy.quotas["sign-in"],
    doc: "The same for signing in, of clients by their keys and of admins; an address may try ten times as often."
  }),
  rateLimitRegistration: setting({
    variable: "RATE_LIMIT_REGISTRATION",
    kind: Kind.integer(0, 10_000_000),
    default: rateLimitsPolicy.quotas.registration,
    doc: "The same for registrations of servers, per registration key."
  }),
  rateLimitDashboard: setting({
    variable: "RATE_LIMIT_DASHBOARD",
    kind: Kind.integer(0, 10_000_000),
    default: rateLimitsPolicy.quotas.dashboard,
    doc: "The same for the dashboard, per admin."
  }),
  rateLimitPages: setting({
    variable: "RATE_LIMIT_PAGES",
    kind: Kind.integer(0, 10_000_000),
    default: rateLimitsPolicy.quotas.pages,
    doc: "Tenth of the requests a minute per address to what anybody may read: documentation, probes, files."
  }),
  rateLimitHeartbeats: optional({
    variable: "RATE_LIMIT_HEARTBEATS",
    kind: Kind.integer(0, 10_000_000),
    otherwise: "ten times what heartbeatInterval comes to, 120 at least",
    doc: "Heartbeats a minute per server; 0 is no limit. An address may send a thousand times as many."
  }),
  metricsToken: optional({
    variable: "METRICS_TOKEN",
    kind: Kind.secret(
      Schema.String.check(Schema.isPattern(/^[!-~]{16,256}$/)),
      "16 to 256 printable characters without spaces"
    ),
    otherwise: "loopback only",
    doc: "The bearer token that lets scrapers on other machines read /metrics.",
    secret: true
  }),
  adminName: optional({
    variable: "ADMIN_NAME",
    kind: Kind.of(AdminName, "2 to 64 characters"),
    otherwise: "a setup link is printed",
    doc: "The first admin, created at the start while there is none. Needs adminPassword."
  }),
  adminPassword: optional({
    variable: "ADMIN_PASSWORD",
    kind: Kind.secret(Schema.String.check(Schema.isBetweenLength(12, 256)), "12 to 256 characters"),
    doc: "The password of that admin, which must not be easy to guess. Later changes of this setting change nothing.",
    secret: true
  }),
  oidcIssuer: optional({
    variable: "OIDC_ISSUER",
    kind: Kind.issuer,
    otherwise: "no single sign-on",
    doc: "The identity provider that admins may sign in through (OpenID Connect), as its discovery document states it. Needs oidcClientId and oidcClientSecret."
  }),
  oidcClientId: optional({
    variable: "OIDC_CLIENT_ID",
    kind: Kind.text("what the provider calls the broker"),
    doc: "What the provider calls the broker. Register {publicUrl}/rpc/single-sign-on/callback as its redirect URI."
  }),
  oidcClientSecret: optional({
    variable: "OIDC_CLIENT_SECRET",
    kind: Kind.secret(Schema.String.check(Schema.isPattern(/^[ -~]{1,1024}$/)), "1 to 1024 printable characters"),
    doc: "What the broker proves itself to the provider with.",
    secret: true
  }),
  oidcName: optional({
    variable: "OIDC_NAME",
    kind: Kind.of(
      Schema.String.check(Schema.isBetweenLength(1, 40), Schema.isPattern(/^[^\p{C}]*$/u)),
      "1 to 40 characters"
    ),
    otherwise: "the issuer's host",
    doc: "What the provider is called on the button of the sign-in page."
  }),
  otlpUrl: optional({
    variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
    kind: Kind.origin,
    otherwise: "none",
    doc: "An OpenTelemetry collector that gets traces, by OTLP over HTTP, such as http://localhost:4318."
  }),
  logLevel: setting({
    variable: "LOG_LEVEL",
    kind: Kind.choice(["trace", "debug", "info", "warn", "error", "off"]),
    default: "info",
    doc: "The least severe lines that are logged."
  }),
  logFormat: setting({
    variable: "LOG_FORMAT",
    kind: Kind.choice(["auto", "pretty", "json"]),
    default: "auto",
    doc: "How lines are written: for people, or one JSON object each; auto is pretty on a terminal."
  }),
  logFile: optional({
    variable: "LOG_FILE",
    kind: Kind.text("the path of a file"),
    otherwise: "none",
    doc: "A file that gets every line as JSON as well."
  }),
  logFileMaxSize: setting({
    variable: "LOG_FILE_MAX_SIZE",
    kind: Kind.bytes(1024, 1024 * mebibyte),
    default: 10 * mebibyte,
    doc: "The size at which a new log file is begun."
  }),
  logFileMaxAge: setting({
    variable: "LOG_FILE_MAX_AGE",
    kind: Kind.rotationAge,
    default: Duration.days(1),
    doc: "The age at which a new log file is begun."
  }),
  logFileCount: setting({
    variable: "LOG_FILE_COUNT",
    kind: Kind.integer(1, 1000),
    default: 14,
    doc: "How many old log files are kept."
  }),
  heartbeatInterval: setting({
    variable: "HEARTBEAT_INTERVAL",
    kind: Kind.duration("1 second", "1 hour"),
    default: serversPolicy.heartbeatInterval,
    doc: "How often servers are told to report, give or take 10 %."
  }),
  degradedAfterMissed: setting({
    variable: "DEGRADED_AFTER_MISSED",
    kind: Kind.integer(1, 100),
    default: serversPolicy.degradedAfterMissed,
    doc: "How many missed heartbeats make a server degraded."
  }),
  offlineAfterMissed: setting({
    variable: "OFFLINE_AFTER_MISSED",
    kind: Kind.integer(2, 1000),
    default: serversPolicy.offlineAfterMissed,
    doc: "How many missed heartbeats make a server offline. More than degradedAfterMissed."
  }),
  sweepInterval: setting({
    variable: "SWEEP_INTERVAL",
    kind: Kind.duration("100 millis", "1 minute"),
    default: serversPolicy.sweepEvery,
    doc: "How often the broker looks for silent servers. Not above heartbeatInterval."
  }),
  heartbeatBuffer: setting({
    variable: "HEARTBEAT_BUFFER",
    kind: Kind.integer(100, 10_000_000),
    default: serversPolicy.heartbeatBuffer,
    doc: "How many heartbeats wait for a database that is away before more are refused with 503."
  }),
  verificationPeriod: setting({
    variable: "VERIFICATION_PERIOD",
    kind: Kind.duration("1 minute", "30 days"),
    default: verificationPolicy.period,
    doc: "How often a server proves its key again, unless its group says otherwise. Earlier where something about it is new."
  }),
  privateChecks: setting({
    variable: "PRIVATE_CHECKS",
    kind: Kind.choice(["no", "yes"]),
    default: "no",
    doc: "Whether checks of capabilities connect to endpoints in private networks too. Anybody who may register a server can then learn which ports are open there."
  }),
  sessionLifetime: setting({
    variable: "SESSION_LIFETIME",
    kind: Kind.duration("1 minute", "1 day"),
    default: connectionsPolicy.sessionLifetime,
    doc: "How long a client is signed in. A revoked key ends its sessions at once all the same."
  }),
  intentLifetime: setting({
    variable: "INTENT_LIFETIME",
    kind: Kind.duration("1 second", "10 minutes"),
    default: connectionsPolicy.intentLifetime,
    doc: "How long a connection that was granted waits for its server to report it."
  }),
  grantLifetime: setting({
    variable: "GRANT_LIFETIME",
    kind: Kind.duration("1 second", "1 hour"),
    default: connectionsPolicy.grantLifetime,
    doc: "How long a server accepts a grant. Not below intentLifetime."
  }),
  staleLifetime: setting({
    variable: "STALE_LIFETIME",
    kind: Kind.duration(0, "1 day"),
    default: connectionsPolicy.staleLifetime,
    doc: "How long the connections of a server that is offline wait for it before they end."
  }),
  connectionsPerKey: setting({
    variable: "CONNECTIONS_PER_KEY",
    kind: Kind.integer(1, 10_000),
    default: connectionsPolicy.connectionsPerKey,
    doc: "How many connections a personal key may have open at once. For keys made from then on, unless told otherwise."
  }),
  connectionsPerDevice: setting({
    variable: "CONNECTIONS_PER_DEVICE",
    kind: Kind.integer(1, 10_000),
    default: connectionsPolicy.connectionsPerDevice,
    doc: "How many connections a device may have open at once. For devices registered from then on."
  }),
  devicesPerUser: setting({
    variable: "DEVICES_PER_USER",
    kind: Kind.integer(1, 10_000),
    default: connectionsPolicy.devicesPerUser,
    doc: "How many devices a user may have."
  }),
  connectionHistory: setting({
    variable: "CONNECTION_HISTORY",
    kind: Kind.duration("1 day", "3650 days"),
    default: connectionsPolicy.history,
    doc: "How long connections that are over are kept one by one. What analytics made of them stays longer."
  }),
  eventHistory: setting({
    variable: "EVENT_HISTORY",
    // Webhooks are tried for three days, and one by one: what is still to be sent has to be there.
    kind: Kind.duration("7 days", "3650 days"),
    default: eventsPolicy.keptFor,
    doc: "How long events can be read again. Whoever follows them and stays away for longer is told that it missed some."
  }),
  smtpUrl: optional({
    variable: "SMTP_URL",
    kind: Kind.smtpUrl,
    otherwise: "none; nothing is sent",
    doc: "The mail server that scheduled reports are sent by. smtp:// takes TLS where the server offers it. Needs smtpFrom.",
    secret: true
  }),
  smtpFrom: optional({
    variable: "SMTP_FROM",
    kind: Kind.mailbox,
    otherwise: "none",
    doc: "Whom the broker's e-mail is from."
  }),
  reportHistory: setting({
    variable: "REPORT_HISTORY",
    kind: Kind.duration("1 day", "3650 days"),
    default: reportsPolicy.history,
    doc: "How long reports that were made can be downloaded again."
  }),
  webhookNetworks: setting({
    variable: "WEBHOOK_NETWORKS",
    kind: Kind.networks,
    default: [],
    otherwise: "none",
    doc: "Networks that webhooks may lead to though they are not on the public internet. Whoever may create webhooks can then have requests sent to every machine in them."
  }),
  webhookHttp: setting({
    variable: "WEBHOOK_HTTP",
    kind: Kind.choice(["no", "yes"]),
    default: "no",
    doc: "Whether webhooks may lead to http too, where anybody on the way reads along."
  }),
  drainDelay: setting({
    variable: "DRAIN_DELAY",
    kind: Kind.duration(0, "1 minute"),
    default: Duration.zero,
    doc: "How long /readyz says no before a stopping broker closes its port, for load balancers to notice."
  })
}

type Table = typeof table
export type Key = keyof Table

const keys = Object.keys(table) as ReadonlyArray<Key>

/** The table with the type of the values forgotten: the code below treats all settings alike. */
const settings = table as unknown as Record<Key, Setting<unknown, unknown>>

/** What the broker runs with. */
export type Values = { readonly [K in Key]: Table[K]["default"] }

/** What stood on the command line, as it stood there. */
export interface Flags {
  readonly config?: string | undefined
  readonly port?: string | undefined
  readonly host?: string | undefined
  readonly dataDir?: string | undefined
  readonly logLevel?: string | undefined
}

export type Source = "flag" | "environment" | "file" | "default"

/** The values, and where each came from. */
export interface Reading {
  readonly values: Values
  readonly sources: Readonly<Record<Key, Source>>
  /** The file that was read. */
  readonly file: Option.Option<string>
}

/** All that is wrong with the settings, a sentence each. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message() {
    return this.problems.join("\n")
  }
}

interface Found {
  readonly source: Source
  /** How the source calls the setting. */
  readonly name: string
  readonly text: string
}

const kebab = (key: string) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const find = (
  key: Key,
  flags: Flags,
  environment: ReadonlyMap<Key, string>,
  file: Option.Option<ConfigFile.ConfigFile>
): Found | undefined => {
  const flag = (flags as Partial<Record<Key, string>>)[key]
  if (flag !== undefined) return { source: "flag", name: `--${kebab(key)}`, text: flag }
  const variable = environment.get(key)
  if (variable !== undefined) return { source: "environment", name: settings[key].variable, text: variable }
  const { name = "", values } = Option.getOrElse(file, () => ({ name: "", values: new Map<string, string>() }))
  const written = values.get(key)
  return written === undefined ? undefined : { source: "file", name: `${key} in ${name}`, text: written }
}

const complaint = ({ kind, secret = false }: Declaration<unknown>, { name, text }: Found) =>
  `${name} is ${secret ? "not valid (its value is not shown)" : JSON.stringify(text)}. It must be ${kind.allowed}.`

/** What no setting can say of itself. Only of settings that are right by themselves. */
const contradictions = (values: Partial<Values>) => {
  const { degradedAfterMissed, grantLifetime, heartbeatInterval, intentLifetime, offlineAfterMissed, sweepInterval } =
    values
  const problems: Array<string> = []
  if (
    degradedAfterMissed !== undefined &&
    offlineAfterMissed !== undefined &&
    offlineAfterMissed <= degradedAfterMissed
  ) {
    problems.push(
      `offlineAfterMissed is ${offlineAfterMissed}. It must be more than degradedAfterMissed, which is ${degradedAfterMissed}.`
    )
  }
  if (heartbeatInterval && sweepInterval && Duration.isGreaterThan(sweepInterval, heartbeatInterval)) {
    problems.push(
      `sweepInterval is ${Kind.formatDuration(sweepInterval)}. It must not be above heartbeatInterval, ` +
        `which is ${Kind.formatDuration(heartbeatInterval)}.`
    )
  }
  if (values.rateLimitStore === "redis" && values.redisUrl === undefined) {
    problems.push("rateLimitStore is redis, and redisUrl does not say where that is.")
  }
  // Otherwise a server would wait for a client whose grant it has to refuse.
  if (grantLifetime && intentLifetime && Duration.isLessThan(grantLifetime, intentLifetime)) {
    problems.push(
      `grantLifetime is ${Kind.formatDuration(grantLifetime)}. It must not be below intentLifetime, ` +
        `which is ${Kind.formatDuration(intentLifetime)}.`
    )
  }
  return problems
}

const lonelyAdmin = (found: Readonly<Record<Key, Found | undefined>>) => {
  if ((found.adminName === undefined) === (found.adminPassword === undefined)) return []
  const [has, lacks] =
    found.adminName === undefined
      ? (["adminPassword", "adminName"] as const)
      : (["adminName", "adminPassword"] as const)
  return [`${table[has].variable} is set and ${table[lacks].variable} is not. The first admin needs both.`]
}

const lonelyTls = (found: Readonly<Record<Key, Found | undefined>>) => {
  if ((found.tlsCertFile === undefined) === (found.tlsKeyFile === undefined)) return []
  const [has, lacks] =
    found.tlsCertFile === undefined
      ? (["tlsKeyFile", "tlsCertFile"] as const)
      : (["tlsCertFile", "tlsKeyFile"] as const)
  return [`${table[has].variable} is set and ${table[lacks].variable} is not. HTTPS needs both.`]
}

const lonelyMail = (found: Readonly<Record<Key, Found | undefined>>) => {
  if ((found.smtpUrl === undefined) === (found.smtpFrom === undefined)) return []
  const [has, lacks] =
    found.smtpUrl === undefined ? (["smtpFrom", "smtpUrl"] as const) : (["smtpUrl", "smtpFrom"] as const)
  return [`${table[has].variable} is set and ${table[lacks].variable} is not. E-mail needs both.`]
}

const lonelyProvider = (found: Readonly<Record<Key, Found | undefined>>) => {
  const needed = ["oidcIssuer", "oidcClientId", "oidcClientSecret"] as const
  const has = [...needed, "oidcName" as const].find((key) => found[key] !== undefined)
  if (has === undefined) return []
  return needed.flatMap((key) =>
    found[key] === undefined
      ? [`${table[has].variable} is set and ${table[key].variable} is not. Single sign-on needs both.`]
      : []
  )
}

const decode = (kind: Kind.Kind<unknown>, text: string) => Schema.decodeOption(kind.schema)(text.trim())

const environment = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const found = new Map<Key, string>()
  for (const key of keys) {
    const node = yield* Effect.orDie(provider.load([settings[key].variable]))
    // An empty variable is how compose files and unit files say nothing.
    if (node?.value !== undefined && node.value.trim() !== "") found.set(key, node.value)
  }
  return found
})

/** Reads every source, and checks all of it. */
export const read = Effect.fn("Settings.read")(function* (
  flags: Flags = {}
): Effect.fn.Return<Reading, SettingsInvalid, FileSystem.FileSystem | Path.Path> {
  const file = yield* ConfigFile.read(flags.config, keys)
  const variables = yield* environment
  const found = Object.fromEntries(keys.map((key) => [key, find(key, flags, variables, file)])) as Record<
    Key,
    Found | undefined
  >
  const problems = Option.toArray(file).flatMap(({ problems }) => problems)
  const values: Partial<Record<Key, unknown>> = {}
  for (const key of keys) {
    const entry = found[key]
    const value = entry === undefined ? Option.some(settings[key].default) : decode(settings[key].kind, entry.text)
    if (Option.isSome(value)) values[key] = value.value
    else if (entry !== undefined) problems.push(complaint(settings[key], entry))
  }
  problems.push(
    ...contradictions(values as Partial<Values>),
    ...lonelyAdmin(found),
    ...lonelyTls(found),
    ...lonelyProvider(found),
    ...lonelyMail(found)
  )
  const [first, ...others] = problems
  if (first !== undefined) return yield* new SettingsInvalid({ problems: [first, ...others] })
  return {
    values: values as unknown as Values,
    sources: Object.fromEntries(keys.map((key) => [key, found[key]?.source ?? "default"])) as Record<Key, Source>,
    file: Option.map(file, ({ path }) => path)
  }
})

/** The defaults with some values of one's own, for tests and for embedding. */
export const make = (values: Partial<Values> = {}): Values => ({
  ...(Object.fromEntries(keys.map((key) => [key, table[key].default])) as Values),
  ...values
})

/** Where people and agents reach a broker that listens on a port; signatures name it as the audience. */
export const publicOrigin = (values: Values, port: number = values.port) =>
  values.publicUrl ?? `${values.tlsCertFile === undefined ? "http" : "https"}://localhost:${port}`

/** Retries, and many servers that report at once, must not come near. */
const heartbeatQuota = ({ heartbeatInterval, rateLimitHeartbeats }: Values) =>
  rateLimitHeartbeats ?? Math.max(120, Math.ceil(600 / Duration.toSeconds(heartbeatInterval)))

/** Null where nothing is sent. */
export const mailServer = ({ smtpFrom, smtpUrl }: Values): typeof MailSettings.Service =>
  smtpUrl === undefined || smtpFrom === undefined ? null : { url: smtpUrl, from: smtpFrom }

/** Null where admins sign in here alone. */
const identityProvider = ({ oidcClientId, oidcClientSecret, oidcIssuer, oidcName }: Values) =>
  oidcIssuer === undefined || oidcClientId === undefined || oidcClientSecret === undefined
    ? null
    : {
        issuer: oidcIssuer,
        clientId: oidcClientId,
        clientSecret: oidcClientSecret,
        name: oidcName ?? new URL(oidcIssuer).host
      }

/** How the broker judges servers, what it grants clients, and how much anybody may ask, by these settings. */
export const policies = (values: Values) =>
  Layer.mergeAll(
    Layer.succeed(ServersPolicy, {
      ...serversPolicy,
      heartbeatInterval: values.heartbeatInterval,
      degradedAfterMissed: values.degradedAfterMissed,
      offlineAfterMissed: values.offlineAfterMissed,
      sweepEvery: values.sweepInterval,
      heartbeatBuffer: values.heartbeatBuffer
    }),
    Layer.succeed(VerificationPolicy, {
      ...verificationPolicy,
      period: values.verificationPeriod,
      privateChecks: values.privateChecks === "yes"
    }),
    Layer.succeed(ConnectionsPolicy, {
      ...connectionsPolicy,
      sessionLifetime: values.sessionLifetime,
      intentLifetime: values.intentLifetime,
      grantLifetime: values.grantLifetime,
      staleLifetime: values.staleLifetime,
      connectionsPerKey: values.connectionsPerKey,
      connectionsPerDevice: values.connectionsPerDevice,
      devicesPerUser: values.devicesPerUser,
      history: values.connectionHistory
    }),
    Layer.succeed(EventsPolicy, { ...eventsPolicy, keptFor: values.eventHistory }),
    Layer.succeed(WebhooksPolicy, {
      ...webhooksPolicy,
      allowedNetworks: values.webhookNetworks,
      http: values.webhookHttp === "yes"
    }),
    Layer.succeed(ReportsPolicy, { ...reportsPolicy, history: values.reportHistory }),
    Layer.succeed(MailSettings, mailServer(values)),
    Layer.succeed(SingleSignOnPolicy, identityProvider(values)),
    Layer.succeed(RateLimitsPolicy, {
      ...rateLimitsPolicy,
      quotas: {
        heartbeats: heartbeatQuota(values),
        "sign-in": values.rateLimitSignIn,
        registration: values.rateLimitRegistration,
        dashboard: values.rateLimitDashboard,
        api: values.rateLimitApi,
        pages: values.rateLimitPages
      },
      store: values.rateLimitStore,
      redisUrl: values.redisUrl
    })
  )

/** One setting as `broker config` shows it. */
export interface Description {
  readonly name: Key
  readonly variable: string
  /** Null when it is not set. Secrets are not shown. */
  readonly value: string | number | null
  readonly source: Source
  readonly secret: boolean
  readonly doc: string
}

const shown = (key: Key, value: unknown): string | number | null => {
  if (value === undefined) return null
  if (Redacted.isRedacted(value)) {
    return key === "databaseUrl" || key === "redisUrl" || key === "smtpUrl"
      ? Kind.withoutPassword(value as Redacted.Redacted)
      : "<redacted>"
  }
  return typeof value === "number" && Number.isInteger(value) && key !== "logFileMaxSize"
    ? value
    : Schema.encodeSync(settings[key].kind.schema)(value)
}

/** Every setting with its effective value and where that came from, fit to be shown to anyone. */
export const describe = ({ sources, values }: Reading): ReadonlyArray<Description> =>
  keys.map((key) => ({
    name: key,
    variable: settings[key].variable,
    value: shown(key, values[key]),
    source: sources[key],
    secret: settings[key].secret ?? false,
    doc: settings[key].doc
  }))

/** What `docs/configuration.md` says of a setting. */
export interface Documentation {
  readonly name: Key
  readonly variable: string
  readonly flag: string | null
  readonly default: string
  readonly allowed: string
  readonly doc: string
  readonly secret: boolean
}

const flagged: ReadonlySet<Key> = new Set<Key>(["port", "host", "dataDir", "logLevel"])

/** Every setting as the documentation has it. */
export const documentation: ReadonlyArray<Documentation> = keys.map((key) => {
  const value = shown(key, settings[key].default)
  return {
    name: key,
    variable: settings[key].variable,
    flag: flagged.has(key) ? `--${kebab(key)}` : null,
    default: settings[key].otherwise ?? (value === null ? "none" : `\`${value}\``),
    allowed: settings[key].kind.allowed,
    doc: settings[key].doc,
    secret: settings[key].secret ?? false
  }
})
