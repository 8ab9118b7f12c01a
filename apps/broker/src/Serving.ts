/** A broker by its settings: on their database, at their address, judging servers their way. */

import { createServer } from "node:net"
import { Admins } from "@broker/core/admins/Admins"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import * as Database from "@broker/core/Database"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Effect, Layer, Option, Redacted } from "effect"
import * as Broker from "./Broker.ts"
import { locate } from "./BrokerDatabase.ts"
import * as EncryptionKey from "./EncryptionKey.ts"
import * as Settings from "./Settings.ts"
import * as Tracing from "./Tracing.ts"
import { version } from "./version.ts"

/** Where a broker listens, and how it is called. */
export interface Address {
  readonly port: number
  readonly origin: string
}

/** Listens for a moment: the port, or why it cannot be had. */
const listen = (port: number, host: string) =>
  Effect.callback<number, NodeJS.ErrnoException>((resume) => {
    const server = createServer()
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(port, host, () => {
      const address = server.address()
      const taken = typeof address === "object" && address !== null ? address.port : port
      server.close(() => resume(Effect.succeed(taken)))
    })
  })

/** Whether nobody listens on a port, as far as one can tell without keeping it. */
export const isFree = (port: number, host: string) => Effect.isSuccess(listen(port, host))

/** The port that the settings mean: theirs, or any free one, as the origin is known before the broker listens. */
export const address = Effect.fnUntraced(function* (values: Settings.Values) {
  const port = yield* listen(values.port, values.host)
  return { port, origin: Settings.publicOrigin(values, port) } satisfies Address
})

/** The database of the settings with the schema of this version. */
const database = (values: Settings.Values, onProgress: (line: string) => Effect.Effect<void>) =>
  Layer.unwrap(
    Effect.map(locate(values, { role: "serve", onProgress }), ({ url }) =>
      Database.migrated({ url, maxConnections: values.databaseMaxConnections })
    )
  )

/** Serves until its scope closes. What takes long at the start is told in a line. */
export const layer = (
  values: Settings.Values,
  { origin, port }: Address,
  onProgress: (line: string) => Effect.Effect<void> = Effect.logInfo
) =>
  Broker.layer({
    version,
    audience: origin,
    host: values.host,
    port,
    tls:
      values.tlsCertFile === undefined || values.tlsKeyFile === undefined
        ? undefined
        : { cert: values.tlsCertFile, key: values.tlsKeyFile },
    trustedProxies: values.trustedProxies,
    metricsToken: values.metricsToken,
    drainDelay: values.drainDelay
  }).pipe(
    Layer.provide(EncryptionKey.layer(values, { mayMake: true })),
    Layer.provide(database(values, onProgress)),
    Layer.provide([Settings.policies(values), Tracing.layer(values.otlpUrl)])
  )

/** A1: the first admin is the one of the settings, or whoever opens the link that this answers. */
export const firstAdmin = Effect.fnUntraced(function* ({ adminName, adminPassword }: Settings.Values, origin: string) {
  const admins = yield* Admins
  if (adminName === undefined || adminPassword === undefined) {
    return Option.map(yield* admins.setupTicket, (ticket) => `${origin}/setup#${Redacted.value(ticket)}`)
  }
  if (yield* admins.isSetupOpen) {
    yield* admins
      .create({ organizationId: defaultOrganizationId, name: adminName, password: adminPassword, role: "owner" })
      .pipe(
        Effect.andThen(Effect.logInfo("Created the first admin", { name: adminName })),
        // Another broker was faster with the same settings.
        Effect.catchTag("AdminNameTaken", () => Effect.void),
        Effect.catchTag("WeakPassword", ({ advice }) =>
          Effect.fail(
            new Settings.SettingsInvalid({
              problems: [["ADMIN_PASSWORD is too easy to guess (its value is not shown).", ...advice].join(" ")]
            })
          )
        ),
        Effect.provideService(Actor, byBroker)
      )
  }
  return Option.none<string>()
})
