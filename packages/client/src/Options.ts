/** What agents and clients are told to work with, checked before anything is sent. */
import { type CredentialKind, claimedKind, parse, prefixes, type Secret } from "@broker/domain/Credential"
import { Effect, Option, Schema } from "effect"

/** The options make no sense, so that nothing was sent. */
export class InvalidOptions extends Schema.TaggedError<InvalidOptions>()("InvalidOptions", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The broker's address, without a slash at its end. */
export const brokerUrl = (url: string) =>
  /^https?:$/.test(URL.parse(url)?.protocol ?? "")
    ? Effect.succeed(url.replace(/\/+$/, ""))
    : Effect.fail(new InvalidOptions({ reason: `${url} is no address of a broker, such as https://broker.example` }))

const names = { registrationKey: "registration key", personalKey: "personal key" } as const

/** A key and its id. Misspelled ones and those of another kind would only be refused by the broker. */
export const credential = (kind: CredentialKind & keyof typeof names, key: Secret) => {
  const read = Option.getOrUndefined(parse(key))
  if (read?.kind === kind) return Effect.succeed({ key, id: read.id })
  const claimed = claimedKind(key)
  return Effect.fail(
    new InvalidOptions({
      reason:
        claimed === undefined || claimed === kind
          ? `The ${names[kind]} is misspelled: it starts with ${prefixes[kind]} and is 68 characters long`
          : `This is no ${names[kind]}: those start with ${prefixes[kind]}`
    })
  )
}

/** A failure to decode, as one line. */
export const invalid = (error: Schema.SchemaError) =>
  new InvalidOptions({ reason: error.message.replace(/\s*\n\s*/g, " ") })
