import { Encryption, type Survey } from "@broker/core/crypto/Encryption"
import { Effect, type Option } from "effect"
import * as EncryptionKey from "../../EncryptionKey.ts"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"
import * as Output from "../Output.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

export const status = Effect.fnUntraced(function* (flags: Common) {
  yield* onDatabase({ dataDir: flags.dataDir }, () =>
    Effect.gen(function* () {
      const { configured, counts, former, sealing } = yield* Encryption.use(({ status }) => status)
      const remaining = counts
        .filter(({ keyId }) => keyId !== configured)
        .reduce((sum, { secrets }) => sum + secrets, 0)
      const isDone = sealing === configured && remaining === 0
      yield* Output.either(flags.json, { sealing, configured, former, items: counts, nextCursor: null }, [
        ...Output.fields([
          ["Seals", sealing],
          ["Set", configured],
          ["Former", Output.list(former)]
        ]),
        "",
        ...Output.table(
          ["SECRETS", "KEY", "NUMBER"],
          counts.map(({ column, keyId, secrets }) => [column, keyId, String(secrets)])
        ),
        "",
        isDone
          ? "Everything is sealed under the key that is set."
          : `${remaining} to be sealed anew: \`broker encryption rewrap\`.`
      ])
    })
  )
})

const told = ({ secrets, unreadable }: Survey) =>
  unreadable.length === 0
    ? [
        secrets === 0 ? "Nothing to do: everything is sealed under the key of now." : `Sealed ${secrets} secrets anew.`,
        "Once every broker runs with the key of now, the former one can go from PREVIOUS_ENCRYPTION_KEYS. Keep it as " +
          "long as backups of the database that need it."
      ]
    : [`Sealed ${secrets - unreadable.length} secrets anew.`]

export const rewrap = Effect.fnUntraced(function* (flags: Common) {
  yield* onDatabase({ dataDir: flags.dataDir }, () =>
    Effect.gen(function* () {
      const progress = (column: string, done: number) => Output.note(`${column}: ${done}`)
      const survey = yield* Encryption.use(({ rewrap }) => rewrap(flags.json ? undefined : progress))
      yield* Output.either(flags.json, survey, told(survey))
      if (survey.unreadable.length > 0) {
        return yield* new CommandFailed({
          code: ExitCode.refused,
          what: `${survey.unreadable.length} secrets do not open and stay as they are: ${survey.unreadable.slice(0, 10).join(", ")}`,
          remedy: "They were changed by hand, or moved. docs/encryption.md says what to do about each."
        })
      }
    })
  )
})

export const generate = Effect.fnUntraced(function* (flags: { readonly json: boolean }) {
  const { id, text } = yield* EncryptionKey.generate
  yield* Output.either(flags.json, { id, key: text }, [text])
})
