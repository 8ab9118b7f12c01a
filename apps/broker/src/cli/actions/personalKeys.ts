import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { defaultOrganizationId } from "@broker/domain/Organization"
import {
  CreatedPersonalKey,
  PersonalKey,
  PersonalKeyId,
  PersonalKeyNotFound,
  PersonalKeyRequest,
  PersonalKeyRotation
} from "@broker/domain/PersonalKey"
import { DateTime, Duration, Effect, Option, Redacted, Schema } from "effect"
import { publicOrigin } from "../../Settings.ts"
import * as Kind from "../../settings/Kind.ts"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { cutBy, cutWords } from "./cutting.ts"
import { findUser } from "./findUser.ts"
import { idOf } from "./idOf.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encodeCreated = Schema.encodeSync(CreatedPersonalKey)
const encode = Schema.encodeSync(PersonalKey.json)
const encodeList = Schema.encodeSync(Schema.Array(PersonalKey.json))

const seconds = (flag: string, text: string, remedy: string) =>
  Schema.decodeEffect(Kind.DurationText)(text.trim()).pipe(
    Effect.map(Duration.toSeconds),
    Effect.mapError(() => usage(`${flag} is ${JSON.stringify(text)}.`, remedy))
  )

const keyId = (text: string) => idOf(PersonalKeyId, text, () => new PersonalKeyNotFound())

/** When a key ends, as people think of it. */
const expiry = (key: { readonly expiresAt: DateTime.Utc | null }, now: DateTime.Utc) =>
  key.expiresAt === null ? "never" : Output.relative(key.expiresAt, now)

/** The secret alone, and beside it what to do with it. */
const hand = (isJson: boolean, created: CreatedPersonalKey, about: (now: DateTime.Utc) => ReadonlyArray<string>) =>
  Effect.gen(function* () {
    if (isJson) return yield* Output.json(encodeCreated(created))
    yield* Output.text(Redacted.value(created.key))
    yield* Output.note("", ...about(yield* DateTime.now))
  })

export const create = Effect.fnUntraced(function* (
  flags: Common & {
    readonly user: string
    readonly name: Option.Option<string>
    readonly expires: string
    readonly connections: Option.Option<number>
  }
) {
  const expiresInSeconds =
    flags.expires.trim() === "never"
      ? null
      : yield* seconds("--expires", flags.expires, "Take a time from 1m to 3660d, such as 12h or 90d, or `never`.")
  const { userId: _, ...fields } = PersonalKeyRequest.fields
  const request = yield* Schema.decodeEffect(Schema.Struct(fields))(
    {
      name: Option.getOrElse(flags.name, () => "from the command line"),
      expiresInSeconds,
      connectionLimit: Option.getOrNull(flags.connections)
    },
    { errors: "all" }
  ).pipe(
    Effect.mapError((error) =>
      usage(
        wrongFlags(error, { name: "--name", expiresInSeconds: "--expires", connectionLimit: "--connections" }),
        "Name: 1 to 64 characters. Expiry: 1m to 3660d, or never. Connections: 1 to 10000."
      )
    )
  )
  yield* onDatabase(flags, (values) =>
    Effect.gen(function* () {
      const user = yield* findUser(flags.user)
      const created = yield* PersonalKeys.use((keys) =>
        keys.create(defaultOrganizationId, { ...request, userId: user.id })
      )
      yield* hand(flags.json, created, (now) => [
        `Keep it: it is not shown again. It signs ${user.name} in; it expires ${expiry(created, now)}.`,
        `On the device:  broker connect --url ${publicOrigin(values)} --key …`
      ])
    })
  )
})

const row = (now: DateTime.Utc) => (key: PersonalKey) => [
  key.id,
  key.name,
  key.state,
  key.hint,
  expiry(key, now),
  Output.relative(key.lastUsedAt, now),
  `${key.liveConnections} of ${key.connectionLimit}`,
  key.createdBy
]

export const list = Effect.fnUntraced(function* (flags: Common & { readonly user: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const user = yield* findUser(flags.user)
      const keys = yield* PersonalKeys.use((keys) => keys.list(defaultOrganizationId, user.id))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        { items: encodeList(keys), nextCursor: null },
        Output.table(
          ["ID", "NAME", "STATE", "BEGINS", "EXPIRES", "LAST USED", "CONNECTIONS", "CREATED BY"],
          keys.map(row(now))
        ),
        `${user.name} has no keys. \`broker personal-key create --user ${user.id}\` makes one.`
      )
    })
  )
})

const details = (key: PersonalKey, now: DateTime.Utc) =>
  Output.fields([
    ["name", key.name],
    ["id", key.id],
    ["user", key.userId],
    ["state", key.revokedReason === null ? key.state : `${key.state} (${key.revokedReason})`],
    ["begins", key.hint],
    ["expires", expiry(key, now)],
    ["last used", Output.relative(key.lastUsedAt, now)],
    ["last address", Output.or(key.lastAddress)],
    ["connections", `${key.liveConnections} of ${key.connectionLimit}`],
    ["created", `${Output.relative(key.createdAt, now)} by ${key.createdBy}`],
    ["replaced by", Output.or(key.replacedBy)]
  ])

export const show = Effect.fnUntraced(function* (flags: Common & { readonly id: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* keyId(flags.id)
      const key = yield* PersonalKeys.use((keys) => keys.get(defaultOrganizationId, id))
      yield* Output.either(flags.json, encode(key), details(key, yield* DateTime.now))
    })
  )
})

const overlapRemedy = "Take a time from 0s to 30d, such as 1h or 24h."

export const rotate = Effect.fnUntraced(function* (flags: Common & { readonly id: string; readonly overlap: string }) {
  const overlapSeconds = yield* Effect.flatMap(
    seconds("--overlap", flags.overlap, overlapRemedy),
    Schema.decodeEffect(PersonalKeyRotation.fields.overlapSeconds)
  ).pipe(Effect.catchTag("SchemaError", () => usage(`--overlap is ${JSON.stringify(flags.overlap)}.`, overlapRemedy)))
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* keyId(flags.id)
      const created = yield* PersonalKeys.use((keys) => keys.rotate(defaultOrganizationId, { id, overlapSeconds }))
      yield* hand(flags.json, created, (now) => [
        `Keep it: it is not shown again. It expires ${expiry(created, now)}.`,
        overlapSeconds === 0
          ? "The old key is over."
          : `The old key signs in for ${flags.overlap.trim()} at most. What it opened goes on.`
      ])
    })
  )
})

export const revoke = Effect.fnUntraced(function* (flags: Common & { readonly id: string; readonly reason: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* keyId(flags.id)
      const { connections, subject: key } = yield* cutBy(
        PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, id, flags.reason))
      )
      yield* Output.either(flags.json, { ...encode(key), cutConnections: connections }, [
        `${key.name} signs nobody in any more. ${cutWords(connections)}`
      ])
    })
  )
})
