import { NodeServices } from "@effect/platform-node"
import { assert, describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, FileSystem, Option, Path, Redacted, Schema } from "effect"
import { IpNetwork } from "effect/net"
import * as Settings from "../src/Settings.ts"
import { configurationPage } from "../src/settings/ConfigurationPage.ts"

const read = (sources: {
  readonly flags?: Settings.Flags
  readonly variables?: Readonly<Record<string, string>>
  readonly file?: string
}) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped())
    const config = path.join(directory, "broker.yaml")
    yield* Effect.orDie(fs.writeFileString(config, sources.file ?? ""))
    return yield* Settings.read({ config, ...sources.flags })
  }).pipe(
    Effect.scoped,
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord({ ...sources.variables })),
    Effect.provide(NodeServices.layer)
  )

const values = (sources: Parameters<typeof read>[0]) => Effect.map(read(sources), ({ values }) => values)

const problems = (sources: Parameters<typeof read>[0]) =>
  read(sources).pipe(
    Effect.flip,
    Effect.map(({ problems }) => problems)
  )

/** What each setting takes, as text, and what the program gets. */
const good: ReadonlyArray<readonly [Settings.Key, string, unknown]> = [
  ["port", "0", 0],
  ["port", "65535", 65_535],
  ["host", "0.0.0.0", "0.0.0.0"],
  ["publicUrl", "https://broker.example.com/", "https://broker.example.com"],
  ["publicUrl", "HTTP://Example.com:80", "http://example.com"],
  ["dataDir", "/var/lib/broker", "/var/lib/broker"],
  ["databaseMaxConnections", "20", 20],
  ["logLevel", "WARN", "warn"],
  ["logFormat", "json", "json"],
  ["logFile", "/var/log/broker.log", "/var/log/broker.log"],
  ["logFileMaxSize", "1.5 MB", 1_500_000],
  ["logFileMaxAge", "6h", Duration.hours(6)],
  ["logFileMaxAge", "7d", Duration.days(7)],
  ["logFileCount", "1", 1],
  ["heartbeatInterval", "1m", Duration.minutes(1)],
  ["degradedAfterMissed", "3", 3],
  ["offlineAfterMissed", "9", 9],
  ["sweepInterval", "250ms", Duration.millis(250)],
  ["heartbeatBuffer", "500", 500],
  ["sessionLifetime", "1h", Duration.hours(1)],
  ["intentLifetime", "30s", Duration.seconds(30)],
  ["grantLifetime", "10m", Duration.minutes(10)],
  ["staleLifetime", "0", Duration.zero],
  ["connectionsPerKey", "100", 100],
  ["connectionsPerDevice", "1", 1],
  ["devicesPerUser", "3", 3],
  ["connectionHistory", "30d", Duration.days(30)],
  ["drainDelay", "0", Duration.zero],
  ["drainDelay", "5 s", Duration.seconds(5)]
]

const bad: ReadonlyArray<readonly [Settings.Key, string]> = [
  ["port", "65536"],
  ["port", "-1"],
  ["port", "80.5"],
  ["port", "http"],
  ["port", "0x50"],
  ["publicUrl", "broker.example.com"],
  ["publicUrl", "https://broker.example.com/broker"],
  ["publicUrl", "https://user@broker.example.com"],
  ["publicUrl", "ftp://broker.example.com"],
  ["databaseUrl", "mysql://user:hunter2hunter2@host/db"],
  ["databaseUrl", "host=db password=hunter2hunter2"],
  ["databaseUrl", "postgres://user:hunter2hunter2@host"],
  ["databaseMaxConnections", "1"],
  ["encryptionKey", "hunter2"],
  ["encryptionKey", "hunter2".repeat(6)],
  ["encryptionKey", `${"hunter2".repeat(6)}x==`],
  ["encryptionKey", "hunter2hunter2hunter2hunter2hunter2 hunter2"],
  ["previousEncryptionKeys", `${"A".repeat(43)},hunter2`],
  ["trustedProxies", "10.0.0.0/8, everybody"],
  ["trustedProxies", "10.0.0.0/33"],
  ["trustedProxies", "10.0.0.1/8"],
  ["metricsToken", "hunter2hunter2"],
  ["metricsToken", "hunter2 hunter2 hunter2"],
  ["adminName", "x"],
  ["adminPassword", "hunter2"],
  ["logLevel", "loud"],
  ["logFormat", "xml"],
  ["logFileMaxSize", "10"],
  ["logFileMaxSize", "10 B"],
  ["logFileMaxAge", "5h"],
  ["logFileMaxAge", "0"],
  ["logFileMaxAge", "90s"],
  ["logFileCount", "0"],
  ["heartbeatInterval", "30"],
  ["heartbeatInterval", "0s"],
  ["heartbeatInterval", "2h"],
  ["heartbeatInterval", "soon"],
  ["degradedAfterMissed", "0"],
  ["offlineAfterMissed", "1"],
  ["sweepInterval", "1ms"],
  ["heartbeatBuffer", "10"],
  ["sessionLifetime", "30s"],
  ["intentLifetime", "0"],
  ["grantLifetime", "2h"],
  ["staleLifetime", "2d"],
  ["connectionsPerKey", "0"],
  ["connectionsPerDevice", "10001"],
  ["devicesPerUser", "-1"],
  ["connectionHistory", "1h"],
  ["eventHistory", "3d"],
  ["drainDelay", "2m"]
]

const documented = (key: Settings.Key) => {
  const found = Settings.documentation.find(({ name }) => name === key)
  return found ?? assert.fail(`${key} is not documented`)
}

describe("Settings", () => {
  it.effect("have defaults that need no set-up", () =>
    Effect.gen(function* () {
      const reading = yield* read({})
      assert.deepStrictEqual(reading.values, Settings.make())
      assert.strictEqual(Settings.publicOrigin(reading.values), "http://localhost:3000")
      assert.strictEqual(Settings.publicOrigin(reading.values, 4000), "http://localhost:4000")
      assert.isTrue(Object.values(reading.sources).every((source) => source === "default"))
    })
  )

  it.effect.each(good)("take %s = %s", ([key, text, value]) =>
    Effect.gen(function* () {
      const { variable } = documented(key)
      assert.deepStrictEqual((yield* values({ variables: { [variable]: text } }))[key], value)
      assert.deepStrictEqual((yield* values({ file: `${key}: ${JSON.stringify(text)}` }))[key], value)
    })
  )

  it.effect.each(bad)("refuse %s = %s, and say what is allowed", ([key, text]) =>
    Effect.gen(function* () {
      const { allowed, secret, variable } = documented(key)
      const [fromVariable] = yield* problems({ variables: { [variable]: text } })
      assert.isTrue(fromVariable?.startsWith(`${variable} is `), fromVariable)
      assert.include(fromVariable, `It must be ${allowed}.`)
      const [fromFile] = yield* problems({ file: `${key}: ${JSON.stringify(text)}` })
      assert.match(fromFile ?? "", new RegExp(`^${key} in .*broker\\.yaml is `))
      for (const message of [fromVariable ?? "", fromFile ?? ""]) {
        assert.strictEqual(message.includes(text), !secret, message)
        assert.notInclude(message, "hunter2")
      }
    })
  )

  it.effect.prop(
    "never fail otherwise than by naming the setting, whatever stands there",
    {
      key: Schema.Literals(Settings.documentation.map(({ name }) => name)),
      text: Schema.String.check(Schema.isMaxLength(40))
    },
    ({ key, text }) =>
      Effect.gen(function* () {
        const { variable } = documented(key)
        const outcome = yield* Effect.result(values({ variables: { [variable]: text } }))
        if (outcome._tag === "Success") return
        assert.isTrue(
          outcome.failure.problems.some((problem) => problem.includes(variable)),
          outcome.failure.message
        )
      })
  )

  it.effect("come from a flag before the environment before the file", () =>
    Effect.gen(function* () {
      const file = "port: 1\nhost: file\ndataDir: file\nlogLevel: error\n"
      const variables = { PORT: "2", HOST: "variable", DATA_DIR: "variable" }
      const { sources, values } = yield* read({ file, variables, flags: { port: "3", host: "flag" } })
      assert.strictEqual(values.port, 3)
      assert.strictEqual(values.host, "flag")
      assert.strictEqual(values.dataDir, "variable")
      assert.strictEqual(values.logLevel, "error")
      assert.strictEqual(values.logFormat, "auto")
      assert.strictEqual(sources.port, "flag")
      assert.strictEqual(sources.dataDir, "environment")
      assert.strictEqual(sources.logLevel, "file")
      assert.strictEqual(sources.logFormat, "default")
    })
  )

  it.effect("are not set by an empty variable or an empty line", () =>
    Effect.gen(function* () {
      const { sources } = yield* read({ file: "port:\nlogLevel: ''\n", variables: { PORT: "", LOG_LEVEL: " " } })
      assert.strictEqual(sources.port, "default")
      assert.strictEqual(sources.logLevel, "default")
    })
  )

  it.effect("take lists from a list or from text with commas", () =>
    Effect.gen(function* () {
      const networks = ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "::1/128"]
      const fromFile = yield* values({
        file: "trustedProxies:\n  - 10.0.0.0/8\n  - 192.0.2.7\n  - fd00::/8\n  - ::1\n"
      })
      assert.deepStrictEqual(fromFile.trustedProxies.map(IpNetwork.format), networks)
      const variables = { TRUSTED_PROXIES: "10.0.0.0/8,192.0.2.7, fd00::/8 ,::1" }
      assert.deepStrictEqual((yield* values({ variables })).trustedProxies.map(IpNetwork.format), networks)
    })
  )

  it.effect("name all that is wrong at once", () =>
    Effect.gen(function* () {
      const found = yield* problems({
        file: "prot: 1\nlogLevel: loud\nheartbeatInterval: 10s\n",
        variables: {
          PORT: "x",
          SWEEP_INTERVAL: "20s",
          DEGRADED_AFTER_MISSED: "6",
          GRANT_LIFETIME: "45s",
          ADMIN_NAME: "ada"
        },
        flags: { port: "y" }
      })
      assert.strictEqual(found.length, 7)
      const all = found.join("\n")
      assert.match(all, /has "prot", which is no setting\. Did you mean "port"\?/)
      assert.match(all, /--port is "y"/)
      assert.match(all, /logLevel in .* is "loud"/)
      assert.match(all, /sweepInterval is 20s\. It must not be above heartbeatInterval, which is 10s\./)
      assert.match(all, /offlineAfterMissed is 4\. It must be more than degradedAfterMissed, which is 6\./)
      assert.match(all, /grantLifetime is 45s\. It must not be below intentLifetime, which is 1m\./)
      assert.match(all, /ADMIN_NAME is set and ADMIN_PASSWORD is not/)
    })
  )

  it.effect.each([
    ["data_dir", "dataDir"],
    ["DATABASE_URL", "databaseUrl"],
    ["log-format", "logFormat"],
    ["heartbeatIntervall", "heartbeatInterval"],
    ["trustedProxy", "trustedProxies"]
  ])("suggest for the unknown key %s the key %s", ([wrong, meant]) =>
    Effect.gen(function* () {
      const [problem] = yield* problems({ file: `${wrong}: 1` })
      assert.include(problem, `Did you mean "${meant}"?`)
    })
  )

  it.effect("suggest nothing where nothing is near", () =>
    Effect.gen(function* () {
      assert.include((yield* problems({ file: "colour: red" }))[0], "`broker config` lists them all")
    })
  )

  it.effect.each([
    ["- a\n- b\n", "must be lines of"],
    ["port: [1\n", "is not YAML"],
    ["port: 1\nport: 2\n", "is not YAML"],
    ["port:\n  number: 1\n", "port in"]
  ] as const)("refuse a file like %j", ([file, message]) =>
    Effect.gen(function* () {
      assert.include((yield* problems({ file }))[0], message)
    })
  )

  it.effect("miss a file that was named, and not the default one", () =>
    Effect.gen(function* () {
      assert.match((yield* problems({ flags: { config: "/no/such.yaml" } }))[0], /^\/no\/such\.yaml cannot be read/)
      assert.isTrue(Option.isNone((yield* read({ flags: { config: undefined } })).file))
    })
  )

  it.effect("take encryption keys as programs print random bytes", () =>
    Effect.gen(function* () {
      const [currentBytes, formerBytes] = [new Uint8Array(32).fill(0xfb), new Uint8Array(32).fill(0xff)]
      const current = Buffer.from(currentBytes).toString("base64")
      const former = Buffer.from(formerBytes).toString("base64")
      const read = yield* values({
        variables: {
          ENCRYPTION_KEY: current,
          PREVIOUS_ENCRYPTION_KEYS: `${former}, ${former.replaceAll("/", "_").replace("=", "")}`
        }
      })
      const { encryptionKey, previousEncryptionKeys } = read
      assert.deepStrictEqual(encryptionKey && Redacted.value(encryptionKey), currentBytes)
      assert.deepStrictEqual(previousEncryptionKeys && Redacted.value(previousEncryptionKeys), [
        formerBytes,
        formerBytes
      ])
      assert.deepStrictEqual(
        (yield* values({ file: `previousEncryptionKeys:\n  - ${former}\n` })).previousEncryptionKeys,
        Redacted.make([formerBytes], { label: "secret" })
      )
    })
  )

  it.effect("name an identity provider as a whole, over https unless it is this machine's", () =>
    Effect.gen(function* () {
      const whole = {
        OIDC_ISSUER: "https://login.example.com/realms/main",
        OIDC_CLIENT_ID: "broker",
        OIDC_CLIENT_SECRET: "hunter2"
      }
      const { oidcIssuer, oidcName } = yield* values({ variables: whole })
      assert.deepStrictEqual([oidcIssuer, oidcName], [whole.OIDC_ISSUER, undefined])
      yield* values({ variables: { ...whole, OIDC_ISSUER: "http://localhost:8080" } })
      const { OIDC_CLIENT_SECRET: _, ...lacking } = whole
      assert.deepStrictEqual(yield* problems({ variables: lacking }), [
        "OIDC_ISSUER is set and OIDC_CLIENT_SECRET is not. Single sign-on needs both."
      ])
      assert.lengthOf(yield* problems({ variables: { OIDC_NAME: "Example" } }), 3)
      for (const issuer of ["http://login.example.com", "https://a:b@login.example.com", "https://x/?y", "login"]) {
        assert.include((yield* problems({ variables: { ...whole, OIDC_ISSUER: issuer } }))[0], "OIDC_ISSUER is")
      }
    })
  )

  it.effect("show no secret", () =>
    Effect.gen(function* () {
      const reading = yield* read({
        variables: {
          DATABASE_URL: "postgres://broker:hunter2hunter2@db:5432/broker?password=hunter2hunter2&sslmode=require",
          METRICS_TOKEN: "hunter2hunter2hunter2",
          ENCRYPTION_KEY: "hunter2".repeat(6).concat("A"),
          PREVIOUS_ENCRYPTION_KEYS: "hunter2".repeat(6).concat("A"),
          ADMIN_NAME: "ada",
          ADMIN_PASSWORD: "hunter2hunter2",
          OIDC_ISSUER: "https://login.example.com",
          OIDC_CLIENT_ID: "broker",
          OIDC_CLIENT_SECRET: "hunter2hunter2"
        }
      })
      assert.strictEqual(Redacted.value(reading.values.adminPassword ?? Redacted.make("")), "hunter2hunter2")
      const rows = Settings.describe(reading)
      const shown = JSON.stringify(rows)
      assert.notInclude(shown, "hunter2")
      assert.notInclude(JSON.stringify(reading.values), "hunter2")
      assert.strictEqual(
        rows.find(({ name }) => name === "databaseUrl")?.value,
        "postgres://broker:redacted@db:5432/broker?password=redacted&sslmode=require"
      )
      assert.strictEqual(rows.find(({ name }) => name === "metricsToken")?.value, "<redacted>")
      assert.strictEqual(rows.find(({ name }) => name === "metricsToken")?.source, "environment")
    })
  )

  it("are all on the page about configuration", async () => {
    await expect(configurationPage).toMatchFileSnapshot("../../../docs/configuration.md")
  })
})
