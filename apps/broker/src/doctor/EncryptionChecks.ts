/** The encryption key: there, for nobody else to read, and every secret opens by it. */
import { survey } from "@broker/core/crypto/Encryption"
import { Effect, Option, Result } from "effect"
import { SqlClient } from "effect/sql"
import * as EncryptionKey from "../EncryptionKey.ts"
import type { Values } from "../Settings.ts"
import { error, ok, warning } from "./Finding.ts"

const check = "encryption"

/** On the database that is provided, if that has come to this version's schema. */
export const encryption = Effect.fnUntraced(function* (values: Values) {
  const sql = yield* SqlClient.SqlClient
  const [table] = yield* sql`select to_regclass('encryption_keys') is not null as "exists"`
  if (table?.["exists"] !== true) return []
  const found = yield* Effect.result(EncryptionKey.find(values))
  if (Result.isFailure(found)) {
    return [error(check, found.failure.message, "Put it back from where you keep a copy, or set ENCRYPTION_KEY.")]
  }
  const { current, former } = found.success
  const keys = Option.match(current, { onNone: () => null, onSome: (current) => ({ current, former }) })
  const { missing, sealing, secrets, unreadable } = yield* survey(keys)
  if (missing.length > 0) {
    return [
      error(
        check,
        `the key ${missing.join(", ")} is missing, which secrets in the database are sealed under`,
        "Set ENCRYPTION_KEY to it, or put its file back into the data directory; a former one goes into PREVIOUS_ENCRYPTION_KEYS."
      )
    ]
  }
  if (unreadable.length > 0) {
    return [
      error(
        check,
        `${unreadable.length} of ${secrets} secrets do not open: ${unreadable.slice(0, 3).join(", ")}`,
        "They were changed by hand, or moved. docs/encryption.md says what to do about each."
      )
    ]
  }
  if (Option.isNone(sealing)) return [ok(check, "nothing is sealed yet; the first broker names the key")]
  const isMade = values.databaseUrl !== undefined && values.encryptionKey === undefined
  return [
    isMade
      ? warning(
          check,
          `all ${secrets} secrets open by a key that this machine alone has`,
          `Set ENCRYPTION_KEY to what stands in ${EncryptionKey.keyFile(values)}, on every broker of this database.`
        )
      : ok(check, `all ${secrets} secrets open`)
  ]
})
