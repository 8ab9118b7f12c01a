import { Groups } from "@broker/core/groups/Groups"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import {
  CreatedRegistrationKey,
  RegistrationKey,
  RegistrationKeyId,
  RegistrationKeyNotFound,
  RegistrationKeyRequest,
  RegistrationKeyState
} from "@broker/domain/RegistrationKey"
import { DateTime, Duration, Effect, Option, Redacted, Schema } from "effect"
import { publicOrigin } from "../../Settings.ts"
import * as Kind from "../../settings/Kind.ts"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const seconds = (text: string) =>
  Schema.decodeEffect(Kind.DurationText)(text.trim()).pipe(
    Effect.map(Duration.toSeconds),
    Effect.mapError(() =>
      usage(`--expires is ${JSON.stringify(text)}.`, "Take a time from 1m to 400d, such as 12h or 30d.")
    )
  )

const requestFlags = { name: "--name", useLimit: "--uses", expiresInSeconds: "--expires", tags: "--tag" }

const checkRequest = (request: typeof RegistrationKeyRequest.Encoded) =>
  Schema.decodeEffect(RegistrationKeyRequest)(request, { errors: "all" }).pipe(
    Effect.mapError((error) =>
      usage(
        wrongFlags(error, requestFlags),
        "Uses: 1 to 100000. Expiry: 1m to 400d. Name: 1 to 64 characters. Tags: words of 32 characters at most."
      )
    )
  )

const encodeCreated = Schema.encodeSync(CreatedRegistrationKey)
const encode = Schema.encodeSync(RegistrationKey.json)
const encodePage = Schema.encodeSync(Page(RegistrationKey.json))

export const create = Effect.fnUntraced(function* (
  flags: Common & {
    readonly uses: number
    readonly expires: string
    readonly tags: ReadonlyArray<string>
    readonly approval: boolean
    readonly name: Option.Option<string>
    readonly group: Option.Option<string>
    readonly replaces: Option.Option<string>
  }
) {
  const expiresInSeconds = yield* seconds(flags.expires)
  const request = yield* checkRequest({
    name: Option.getOrElse(flags.name, () => "from the command line"),
    useLimit: flags.uses,
    expiresInSeconds,
    tags: [...new Set(flags.tags)],
    approval: flags.approval,
    replacesServerId: null
  })
  const create = Effect.gen(function* () {
    const servers = yield* Servers
    const replaced = Option.isSome(flags.replaces)
      ? yield* servers.find(defaultOrganizationId, flags.replaces.value)
      : null
    const groups = yield* Groups
    const group = Option.isSome(flags.group)
      ? yield* groups.find(defaultOrganizationId, flags.group.value.trim())
      : null
    return yield* RegistrationKeys.use((keys) =>
      keys.create(defaultOrganizationId, {
        ...request,
        replacesServerId: replaced?.id ?? null,
        groupId: group?.id ?? null
      })
    )
  })
  yield* onDatabase({ dataDir: flags.dataDir, mayBegin: true }, (values) =>
    Effect.gen(function* () {
      const created = yield* create
      if (flags.json) return yield* Output.json(encodeCreated(created))
      yield* Output.text(Redacted.value(created.key))
      yield* Output.note(
        "",
        `Keep it: it is not shown again. Good for ${created.useLimit === 1 ? "one server" : `${created.useLimit} servers`},` +
          ` ${Output.relative(created.expiresAt, yield* DateTime.now)}.`,
        `On the gateway:  broker agent --url ${publicOrigin(values)} --key …`
      )
    })
  )
})

const row = (now: DateTime.Utc) => (key: RegistrationKey) => [
  key.id,
  key.name,
  key.state,
  `${key.uses} of ${key.useLimit}`,
  Output.relative(key.expiresAt, now),
  Output.list(key.tags),
  key.createdBy
]

export const list = Effect.fnUntraced(function* (
  flags: Common & { readonly all: boolean; readonly limit: number; readonly cursor: Option.Option<string> }
) {
  const { cursor, limit } = yield* pageOf(flags)
  const states: ReadonlyArray<RegistrationKeyState> = flags.all ? RegistrationKeyState.literals : ["active"]
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const page = yield* RegistrationKeys.use((keys) => keys.list(defaultOrganizationId, { states, limit, cursor }))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(["ID", "NAME", "STATE", "USES", "EXPIRES", "TAGS", "CREATED BY"], page.items.map(row(now))),
        flags.all
          ? "There are no registration keys."
          : "There is no key that can still be used. `broker registration-key create` makes one; `--all` lists the others."
      )
    })
  )
})

export const revoke = Effect.fnUntraced(function* (flags: Common & { readonly id: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* Schema.decodeEffect(RegistrationKeyId)(flags.id.toLowerCase()).pipe(
        Effect.mapError(() => new RegistrationKeyNotFound())
      )
      const key = yield* RegistrationKeys.use((keys) => keys.revoke(defaultOrganizationId, id))
      yield* Output.either(flags.json, encode(key), [
        `${key.name} lets nobody in any more. ${key.uses} joined with it.`
      ])
    })
  )
})
