/** A mail server that really listens, and what else reports are tested with. */
import { createHash } from "node:crypto"
import { Mail, MailSettings } from "@broker/core/mail/Mail"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { GroupId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { SMTPServer } from "smtp-server"
import { fleet, unaudited } from "../fleet-guard/fleets.ts"

export { defaultOrganizationId }

export const password = "s3cret of the post"

interface Letter {
  readonly to: ReadonlyArray<string>
  readonly raw: string
}

export class Post extends Context.Service<
  Post,
  {
    readonly port: number
    /** Nobody answers any more. */
    readonly away: Effect.Effect<void>
    readonly back: Effect.Effect<void>
    readonly received: Effect.Effect<ReadonlyArray<Letter>>
    readonly changePassword: Effect.Effect<void>
  }
>()("@broker/test/reports/Post") {
  static readonly layer = Layer.effect(
    Post,
    Effect.gen(function* () {
      const letters: Array<Letter> = []
      let accepted = password
      let server: SMTPServer | undefined
      const start = (port: number) =>
        Effect.callback<number>((resume) => {
          const fresh = new SMTPServer({
            disabledCommands: ["STARTTLS"],
            allowInsecureAuth: true,
            onAuth: (auth, _, done) =>
              auth.password === accepted ? done(null, { user: "broker" }) : done(new Error("Wrong password")),
            onRcptTo: (address, _, done) =>
              address.address.startsWith("nobody") ? done(new Error("No such mailbox")) : done(),
            onData: (stream, session, done) => {
              const parts: Array<Buffer> = []
              stream.on("data", (part: Buffer) => parts.push(part))
              stream.on("end", () => {
                const to = session.envelope.rcptTo.map(({ address }) => address)
                letters.push({ to, raw: Buffer.concat(parts).toString("latin1") })
                done()
              })
            }
          })
          server = fresh
          fresh.on("error", () => undefined)
          fresh.listen(port, "127.0.0.1", () => {
            const address = fresh.server.address()
            resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
          })
        })
      const away = Effect.callback<void>((resume) => {
        const old = server
        server = undefined
        if (old === undefined) resume(Effect.void)
        else old.close(() => resume(Effect.void))
      })
      const port = yield* Effect.acquireRelease(start(0), () => away)
      return Post.of({
        port,
        away,
        back: Effect.asVoid(start(port)),
        received: Effect.sync(() => [...letters]),
        changePassword: Effect.sync(() => {
          accepted = "another"
        })
      })
    })
  )
}

const settings = Layer.effect(
  MailSettings,
  Post.use(({ port }) =>
    Effect.succeed({
      url: Redacted.make(`smtp://broker:${encodeURIComponent(password)}@127.0.0.1:${port}`),
      from: "Broker <broker@example.com>"
    })
  )
)

/** Who may connect is not asked here: these connections are history. */
const unasked = Layer.effectDiscard(
  SqlClient.SqlClient.use((sql) => sql`alter table connections disable trigger connections_admitted`)
)

export const layer = Layer.merge(unasked, Mail.layer).pipe(
  Layer.provideMerge(Fixtures.layer),
  Layer.provide(settings),
  Layer.provideMerge(Post.layer)
)

/** What the mail server at an address is refused for. */
export const refusedAt = (url: string) =>
  Mail.use(({ check }) => Effect.flip(check)).pipe(
    Effect.map(({ message }) => message),
    Effect.provide(Layer.fresh(Mail.layer)),
    Effect.provideService(MailSettings, { url: Redacted.make(url), from: "broker@example.com" })
  )

/** The port of a mail server with TLS, and a certificate that nobody vouches for. */
export const stranger = Effect.acquireRelease(
  Effect.callback<SMTPServer>((resume) => {
    const server = new SMTPServer({ authOptional: true })
    server.on("error", () => undefined)
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.callback<void>((resume) => server.close(() => resume(Effect.void)))
).pipe(
  Effect.map((server) => {
    const address = server.server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  })
)

/** A message as it was sent, taken apart. */
export const parse = (raw: string) => {
  const split = (part: string) => {
    const at = part.indexOf("\r\n\r\n")
    const unfolded = part.slice(0, at).replaceAll(/\r\n[ \t]+/gu, " ")
    const headers = new Map(
      unfolded.split("\r\n").flatMap((line) => {
        const colon = line.indexOf(": ")
        return colon === -1 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 2)] as const]
      })
    )
    return { headers, body: part.slice(at + 4) }
  }
  const whole = split(raw)
  const boundary = /boundary="([^"]+)"/.exec(whole.headers.get("content-type") ?? "")?.[1] ?? "none"
  const parts = whole.body
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => split(part.replace(/^\r\n/, "")))
  const [text, ...files] = parts
  return {
    headers: whole.headers,
    text: (text?.body ?? "").replaceAll("=\r\n", ""),
    attachments: files.map(({ body, headers }) => ({
      type: (headers.get("content-type") ?? "").split(";")[0],
      sha256: createHash("sha256").update(Buffer.from(body, "base64")).digest("hex")
    }))
  }
}

export const group = Effect.fnUntraced(function* (
  name: string,
  parentId: string | null,
  organizationId: string = defaultOrganizationId
) {
  const sql = yield* SqlClient.SqlClient
  const id = GroupId.make(Fixtures.boot())
  yield* sql`insert into groups ${sql.insert({ id, parentId, organizationId, name, nameKey: name, createdAt: new Date() })}`
  return id
})

export const forgetGroups = SqlClient.SqlClient.use(
  (sql) => sql`delete from groups where organization_id = ${defaultOrganizationId}`
)

/**
 * Three servers, two of them in a group, over a day of noon: one was away for two hours, another for a minute and soon
 * again for five, and what one was away in maintenance, and all while the broker was, is nobody's.
 */
export const ailingFleet = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const organizationId = yield* Fixtures.organization
  const groupId = yield* group("eu", null, organizationId)
  const start = Date.parse("2026-11-10T06:00:00Z")
  yield* TestClock.setTime(start + 12 * 86_400_000)
  const members = yield* fleet(organizationId, 3, (index) => (index < 2 ? { groupId, version: "1.2.3" } : {}))
  const at = (minutes: number) => new Date(start + minutes * 60_000)
  yield* sql`delete from broker_outages`
  yield* unaudited(
    sql`update servers set admission_since = ${at(0)}, duty_since = ${at(0)}, registered_at = ${at(0)} where organization_id = ${organizationId}`
  )
  yield* sql`update server_transitions set at = ${at(0)} where organization_id = ${organizationId}`
  const live = (index: number, minutes: number, liveness: string, reason: string) => sql`
    update server_presence set liveness = ${liveness}, liveness_reason = ${reason}, liveness_since = ${at(minutes)},
                               last_seen_at = ${at(minutes)}, interval_seconds = 30
     where server_id = ${members[index]?.id ?? ""}`
  const away = Effect.fnUntraced(function* (index: number, from: number, to: number) {
    yield* live(index, from, "offline", "missed_heartbeats")
    yield* live(index, to, "online", "recovered")
  })
  for (const index of [0, 1, 2]) yield* live(index, 0, "online", "heartbeat")
  yield* away(0, 60, 180)
  yield* away(1, 200, 201)
  yield* away(1, 205, 210)
  yield* away(2, 300, 360)
  yield* unaudited(
    sql`insert into maintenance_windows ${sql.insert({
      id: Fixtures.boot(),
      organizationId,
      serverId: members[2]?.id ?? "",
      groupId: null,
      reason: "works",
      startsAt: at(290),
      endsAt: at(400),
      createdBy: "ada",
      createdAt: at(0)
    })}`
  )
  yield* sql`insert into broker_outages ${sql.insert({ beganAt: at(500), endedAt: at(510) })}`
  return { organizationId, groupId, start }
})
