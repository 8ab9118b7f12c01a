/** The encryption key of tests: always the same, so that brokers of one test read each other's secrets. */
import { EncryptionKeys, keyIds } from "@broker/core/crypto/Encryption"
import { Layer, Redacted } from "effect"

/** A key by its number. */
export const key = (number = 1) => Redacted.make(new Uint8Array(32).fill(number))

const keys = { current: key(), former: [] }

/** The key as it stands in settings. */
export const text = Buffer.from(Redacted.value(keys.current)).toString("base64url")

/** How the key of a test's brokers is called. */
export const [keyId = ""] = keyIds(keys)

/** What a broker of a test has. */
export const layer = Layer.succeed(EncryptionKeys, keys)
